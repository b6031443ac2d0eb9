"""Hashed usernames: equal for equal keys, and unguessable without the key."""

from __future__ import annotations

import hmac
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from insights_exporter.config.settings import LimitSettings, PrivacySettings, UsernameMode
from insights_exporter.errors import SecretError
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import load_username_policy
from insights_exporter.secrets import EnvironmentSecret, FileSecret, LiteralSecret, Secret, SecretSource
from insights_exporter.snapshot import Snapshot
from tests.support.agent_stats import with_pseudonymized_agent_stats
from tests.support.snapshots import rich_snapshot

KEY, OTHER_KEY = "the key of all replicas", "another key altogether"
USER_FAMILIES = [family.name for family in catalogue.FAMILIES if "username" in family.labels]


def literal_secret(key: str) -> SecretSource:
    return LiteralSecret(Secret(key))


def served_usernames(
    key: SecretSource, snapshot: Snapshot, users: UsernameMode = UsernameMode.HASHED
) -> dict[str, set[str]]:
    """Return the exported usernames of each family with the label ``username``."""
    username_policy = load_username_policy(PrivacySettings(users=users, hash_key=key))
    snapshot = with_pseudonymized_agent_stats(snapshot, username_policy)
    rendered = build_families(snapshot, username_policy=username_policy, limits=LimitSettings())
    usernames = {}
    for samples in rendered.samples:
        if "username" in samples.family.labels:
            label_index = samples.family.labels.index("username")
            labels = [*(row[0] for row in samples.floats), *(row[0] for row in samples.histograms)]
            usernames[samples.family.name] = {values[label_index] for values in labels}
    return usernames


def test_same_key_gives_same_hashes_in_every_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source of the key and the order of the users have no effect."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("HASH_KEY", KEY)
    snapshot = rich_snapshot()
    assert snapshot.inventory is not None
    inventory = snapshot.inventory.value
    reordered = replace(
        snapshot, inventory=replace(snapshot.inventory, value=replace(inventory, users=inventory.users[::-1]))
    )

    first = served_usernames(literal_secret(KEY), snapshot)
    other_results = [
        served_usernames(key, reordered)
        for key in (
            literal_secret(KEY),
            FileSecret(tmp_path / "key"),
            EnvironmentSecret("HASH_KEY", os.environ),
        )
    ]

    assert set(first) == set(USER_FAMILIES)
    assert all(first.values())
    assert other_results == [first] * 3


def test_user_has_one_hash_in_all_families() -> None:
    hashes_by_family = served_usernames(literal_secret(KEY), rich_snapshot())
    names_by_family = served_usernames(literal_secret(KEY), rich_snapshot(), UsernameMode.NAMED)
    accounts = len(names_by_family[catalogue.USER_INFO.name])

    assert accounts > 0
    assert len(hashes_by_family[catalogue.USER_INFO.name]) == accounts
    assert len(set().union(*names_by_family.values())) == accounts
    assert len(set().union(*hashes_by_family.values())) == accounts


def test_other_key_gives_disjoint_hashes() -> None:
    hashes, other_hashes = (
        set().union(*served_usernames(literal_secret(key), rich_snapshot()).values())
        for key in (KEY, OTHER_KEY)
    )

    assert len(hashes) == len(other_hashes)
    assert hashes.isdisjoint(other_hashes)


def test_hashes_cannot_be_guessed_without_the_key() -> None:
    """Neither plain digests nor HMACs with an empty or a guessed key match."""
    snapshot = rich_snapshot()
    names = set().union(*served_usernames(literal_secret(KEY), snapshot, UsernameMode.NAMED).values())
    digests = {
        digest.hex()
        for name in names
        for digest in (
            sha256(name.encode()).digest(),
            *(hmac.digest(key, name.encode(), "sha256") for key in (b"", b"\0", b"key", name.encode())),
        )
    }
    served_hashes = {
        hash_.removeprefix("user-")
        for hash_ in set().union(*served_usernames(literal_secret(KEY), snapshot).values())
    }
    expected_digests = {hmac.digest(KEY.encode(), name.encode(), "sha256").hex() for name in names}

    assert served_hashes == {digest[:16] for digest in expected_digests}
    assert not [served_hash for served_hash in served_hashes for digest in digests if served_hash in digest]


def test_unreadable_key_raises(tmp_path: Path) -> None:
    with pytest.raises(SecretError):
        served_usernames(FileSecret(tmp_path / "key"), rich_snapshot())
