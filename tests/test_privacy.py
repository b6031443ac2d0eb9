"""How users appear."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.config.settings import UsernameMode
from insights_exporter.privacy import UsernamePolicy


def test_named_mode_returns_username() -> None:
    assert UsernamePolicy(UsernameMode.NAMED).pseudonymize("ada") == "ada"


def test_off_mode_returns_none() -> None:
    assert UsernamePolicy(UsernameMode.OFF).pseudonymize("ada") is None


def test_hashed_mode_returns_truncated_hmac() -> None:
    """Computed with ``printf ada | openssl dgst -sha256 -hmac key``."""
    assert UsernamePolicy(UsernameMode.HASHED, b"key").pseudonymize("ada") == "user-708a727d2475357e"


def test_hash_depends_on_key() -> None:
    first, repeated, other = (
        UsernamePolicy(UsernameMode.HASHED, key).pseudonymize("ada") for key in (b"a", b"a", b"b")
    )

    assert first == repeated
    assert first != other


def test_hashed_mode_requires_key() -> None:
    with pytest.raises(ValueError, match="Expected a key"):
        UsernamePolicy(UsernameMode.HASHED)


@settings(max_examples=100)
@given(st.text(st.characters()))
def test_hash_format_is_stable_for_any_username(name: str) -> None:
    hashed = UsernamePolicy(UsernameMode.HASHED, b"key").pseudonymize(name)

    assert hashed is not None
    assert len(hashed) == len("user-") + 16
    assert set(hashed.removeprefix("user-")) <= set("0123456789abcdef")
