"""Hashes of people are the same wherever the key is, and tell nothing where it is not."""

from __future__ import annotations

import hmac
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from insights_exporter.errors import SecretError
from insights_exporter.generation import redaction_of
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families import families
from insights_exporter.secret import EnvironmentSecret, FileSecret, LiteralSecret, Secret, SecretSource
from insights_exporter.settings import LimitSettings, PrivacySettings, UserNames
from insights_exporter.snapshot import Snapshot
from tests.support.snapshots import rich_snapshot

KEY, OTHER = "the key of all replicas", "another key altogether"
PERSONAL = [family.name for family in catalogue.FAMILIES if "username" in family.labels]


def literal(key: str) -> SecretSource:
    return LiteralSecret(Secret(key))


def shown(key: SecretSource, snapshot: Snapshot, users: UserNames = UserNames.HASHED) -> dict[str, set[str]]:
    """Return who is served in each family that tells of people, the key read as a start reads it."""
    redaction = redaction_of(PrivacySettings(users=users, hash_key=key))
    served = families(snapshot, redaction=redaction, limits=LimitSettings())
    found = {}
    for one in served.samples:
        if "username" in one.family.labels:
            place = one.family.labels.index("username")
            labels = [*(row[0] for row in one.numbers), *(row[0] for row in one.distributions)]
            found[one.family.name] = {values[place] for values in labels}
    return found


def test_a_restart_and_a_replica_with_the_same_key_show_the_same_in_every_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the key is given, and though the replica lists people in another order."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("HASH_KEY", KEY)
    snapshot = rich_snapshot()
    assert snapshot.inventory is not None
    held = snapshot.inventory.value
    turned = replace(
        snapshot, inventory=replace(snapshot.inventory, value=replace(held, users=held.users[::-1]))
    )

    first = shown(literal(KEY), snapshot)
    others = [
        shown(key, turned)
        for key in (literal(KEY), FileSecret(tmp_path / "key"), EnvironmentSecret("HASH_KEY", os.environ))
    ]

    assert set(first) == set(PERSONAL)
    assert all(first.values())
    assert others == [first] * 3


def test_a_person_has_one_hash_in_all_families() -> None:
    found = shown(literal(KEY), rich_snapshot())
    everybody = shown(literal(KEY), rich_snapshot(), UserNames.NAMED)
    (accounts,) = {len(found[catalogue.USER_INFO.name]), len(everybody[catalogue.USER_INFO.name])}

    assert len(set().union(*found.values())) == len(set().union(*everybody.values())) == accounts


def test_another_key_shows_nobody_under_the_same_hash() -> None:
    one, other = (set().union(*shown(literal(key), rich_snapshot()).values()) for key in (KEY, OTHER))

    assert len(one) == len(other)
    assert one.isdisjoint(other)


def test_who_lists_usernames_without_the_key_finds_nobody() -> None:
    """Neither by plain digests nor by keyed ones under no key or a guessed one."""
    snapshot = rich_snapshot()
    names = set().union(*shown(literal(KEY), snapshot, UserNames.NAMED).values())
    digests = {
        digest.hex()
        for name in names
        for digest in (
            sha256(name.encode()).digest(),
            *(hmac.digest(key, name.encode(), "sha256") for key in (b"", b"\0", b"key", name.encode())),
        )
    }
    ours = {hash_.removeprefix("user-") for hash_ in set().union(*shown(literal(KEY), snapshot).values())}
    keyed = {hmac.digest(KEY.encode(), name.encode(), "sha256").hex() for name in names}

    assert ours == {digest[:16] for digest in keyed}
    assert not [one for one in ours for digest in digests if one in digest]


def test_a_key_that_cannot_be_read_shows_nobody_at_all(tmp_path: Path) -> None:
    with pytest.raises(SecretError):
        shown(FileSecret(tmp_path / "key"), rich_snapshot())
