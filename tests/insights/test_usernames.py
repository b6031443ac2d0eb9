"""Usernames by id: fallback, caching, and renames."""

from __future__ import annotations

from insights_exporter.insights.normalization import ActivityReport
from insights_exporter.insights.usernames import ResolvedUsernames, UsernameIndex


def test_username_falls_back_to_id() -> None:
    index = UsernameIndex()
    index.update({"id-1": "ada", "id-2": ""})

    assert [index.username(user_id) for user_id in ("id-1", "id-2", "id-3")] == ["ada", "id-2", "id-3"]


def test_matches_compares_known_usernames() -> None:
    index = UsernameIndex()
    index.update({"id-1": "ada", "id-2": "bob"})

    assert index.matches(["id-1", "id-2"], ["ada", "bob"])
    assert not index.matches(["id-1", "id-2"], ["ada", "robert"])
    assert not index.matches(["id-1", "id-3"], ["ada", "cy"])
    assert not index.matches(["id-1"], ["ada", "bob"])


def test_resolved_usernames_grow_and_refresh_after_rename() -> None:
    index, resolved = UsernameIndex(), ResolvedUsernames()
    index.update({"id-1": "ada", "id-2": "bob"})
    users = {"id-1": 1.0}
    first = list(resolved.resolve(users, index))
    users["id-2"] = 2.0
    grown = list(resolved.resolve(users, index))
    index.update({"id-1": "ada-lovelace"})

    assert first == ["ada"]
    assert grown == ["ada", "bob"]
    assert resolved.resolve(users, index) == ["ada-lovelace", "bob"]


def test_known_usernames_keep_version() -> None:
    index = UsernameIndex()
    index.update({"id-1": "ada"})
    version = index.version
    index.update({"id-1": "ada"})

    assert index.version is version


def test_activity_uses_current_usernames() -> None:
    """Also if two accounts get the same name; earlier results stay unchanged."""
    index, activity = UsernameIndex(), ActivityReport({"id-1": 60.0, "id-2": 5.0})
    index.update({"id-1": "ada", "id-2": "bob"})
    before = activity.by_username(index)
    index.update({"id-2": "ada"})

    assert activity.by_username(index) == {"ada": 65.0}
    assert before == {"ada": 60.0, "bob": 5.0}


def test_resolved_usernames_do_not_affect_equality() -> None:
    index, resolved, unresolved = (
        UsernameIndex(),
        ActivityReport({"id-1": 60.0}),
        ActivityReport({"id-1": 60.0}),
    )
    resolved.by_username(index)

    assert resolved == unresolved
