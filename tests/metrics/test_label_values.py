"""Label values: cleaned, cut, pseudonymized; collisions are detected."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.config.settings import UsernameMode
from insights_exporter.metrics.catalogue import (
    TEMPLATE_APP_USAGE,
    TEMPLATE_UNIQUE_USERS,
    USER_ACTIVITY,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.privacy import UsernamePolicy


def label_values(length: int = 8, users: UsernameMode = UsernameMode.NAMED) -> LabelValues:
    """Return label values with a short maximum length."""
    return LabelValues(UsernamePolicy(users, b"key"), max_length=length)


def test_values_are_truncated_by_characters() -> None:
    assert label_values()["app"]["🦆" * 9] == "🦆" * 8


def test_control_characters_and_lone_surrogates_are_replaced_but_newlines_stay() -> None:
    assert label_values()["app"]["a\x00\ud800\n\r\x85b"] == "a��\n��b"


@settings(max_examples=200)
@given(st.text(st.characters()))
def test_every_value_is_encodable_and_within_the_limit(raw: str) -> None:
    clean = label_values()["app"][raw]

    clean.encode()

    assert len(clean) == min(8, len(raw))


def test_hashed_usernames_are_never_truncated_and_off_is_none() -> None:
    assert str(label_values(128, UsernameMode.HASHED).username_labels["ada"]).startswith("user-")
    assert label_values(users=UsernameMode.OFF).username_labels["ada"] is None


def test_collisions_of_a_summable_label_may_merge() -> None:
    clean = label_values()

    assert clean["username"]["a" * 9] == clean["username"]["a" * 10]
    assert clean.may_merge(USER_ACTIVITY)


def test_collisions_of_other_labels_may_not_merge() -> None:
    clean = label_values()

    assert clean["app"]["a" * 9] == clean["app"]["a" * 10]
    assert not clean.may_merge(TEMPLATE_APP_USAGE)
    assert clean.may_merge(USER_ACTIVITY)


def test_a_family_without_summable_labels_never_merges() -> None:
    assert not label_values().may_merge(TEMPLATE_UNIQUE_USERS)
