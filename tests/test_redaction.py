"""How users appear."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.redaction import Redaction
from insights_exporter.settings import UserNames


def test_named_users_appear_as_they_are() -> None:
    assert Redaction(UserNames.NAMED).name("ada") == "ada"


def test_users_that_are_off_do_not_appear() -> None:
    assert Redaction(UserNames.OFF).name("ada") is None


def test_a_hash_is_the_keyed_one_of_the_name_shortened_to_sixteen_digits() -> None:
    """Computed with ``printf ada | openssl dgst -sha256 -hmac key``."""
    assert Redaction(UserNames.HASHED, b"key").name("ada") == "user-708a727d2475357e"


def test_replicas_with_one_key_agree_and_others_do_not() -> None:
    one, same, other = (Redaction(UserNames.HASHED, key).name("ada") for key in (b"a", b"a", b"b"))

    assert one == same
    assert one != other


def test_hashing_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a key"):
        Redaction(UserNames.HASHED)


@settings(max_examples=100)
@given(st.text(st.characters()))
def test_whatever_the_name_its_hash_has_one_form(name: str) -> None:
    hashed = Redaction(UserNames.HASHED, b"key").name(name)

    assert hashed is not None
    assert len(hashed) == len("user-") + 16
    assert set(hashed.removeprefix("user-")) <= set("0123456789abcdef")
