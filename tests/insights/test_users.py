"""Users of a range: names, seconds and latency."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.coder.models import ConnectionLatency, UserLatency, UserLatencyReport
from insights_exporter.insights.users import (
    ActivityReport,
    UsernameIndex,
    normalize_latency,
)
from insights_exporter.snapshot import Latency

milliseconds = st.sampled_from((-1.0, 0.0, 20.0, 25.5, 31.0))
users = st.builds(
    UserLatency,
    user_id=st.sampled_from(("id-1", "id-2", "id-3")),
    username=st.sampled_from(("ada", "bob", "cy", "")),
    latency_ms=st.builds(ConnectionLatency, p50=milliseconds, p95=milliseconds),
)
reports = st.builds(UserLatencyReport, users=st.lists(users, max_size=3, unique_by=lambda user: user.user_id))
FAST = UserLatency("id-fast", latency_ms=ConnectionLatency(20.0, 30.0))
SLOW = UserLatency("id-slow", latency_ms=ConnectionLatency(40.0, 50.0))


@given(report=reports)
def test_latency_keeps_identity_while_usernames_are_unchanged(report: UserLatencyReport) -> None:
    index = UsernameIndex()
    latency = normalize_latency(report)
    resolved = latency.by_username(index, None)

    assert latency.by_username(index, None) is resolved
    assert latency == normalize_latency(report)
    assert set(resolved.users) == {user.user_id for user in report.users}


def test_latency_of_a_shared_name_is_the_slower_one() -> None:
    index, report = UsernameIndex(), UserLatencyReport(users=[FAST, SLOW])
    index.update({"id-fast": "ada", "id-slow": "ada"})

    assert normalize_latency(report).by_username(index, None) == Latency(
        ("ada",), {"ada": 0.04}, {"ada": 0.05}
    )


def test_renamed_user_keeps_latency() -> None:
    index, report = UsernameIndex(), normalize_latency(UserLatencyReport(users=[FAST, SLOW]))
    index.update({"id-fast": "ada", "id-slow": "bob"})
    before = report.by_username(index, None)
    index.update({"id-slow": "cy"})

    assert before.p50 == {"ada": 0.02, "bob": 0.04}
    assert report.by_username(index, None).p50 == {"ada": 0.02, "cy": 0.04}


def test_rejected_user_has_no_latency() -> None:
    index, report = UsernameIndex(), normalize_latency(UserLatencyReport(users=[FAST, SLOW]))
    index.update({"id-fast": "ada", "id-slow": "bob"})

    assert report.by_username(index, lambda username: username != "ada").users == ("bob",)


def test_user_without_measurement_is_listed() -> None:
    unmeasured = UserLatency("id-1", "ada", latency_ms=ConnectionLatency(-1.0, -1.0))
    latency = normalize_latency(UserLatencyReport(users=[unmeasured])).by_username(UsernameIndex(), None)

    assert latency == Latency(("id-1",), {}, {})


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
