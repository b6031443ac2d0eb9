"""Label values are cleaned, cut and redacted, and clashes are known."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.metrics.catalogue import (
    TEMPLATE_APP_USAGE,
    TEMPLATE_UNIQUE_USERS,
    USER_ACTIVITY,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.redaction import Redaction
from insights_exporter.settings import UserNames


def values(length: int = 8, users: UserNames = UserNames.NAMED) -> LabelValues:
    """Return label values that are cut early."""
    return LabelValues(Redaction(users, b"key"), length=length)


def test_a_value_is_cut_by_characters_not_by_bytes() -> None:
    assert values()["app"]["🦆" * 9] == "🦆" * 8


def test_control_characters_and_lone_surrogates_are_replaced_but_newlines_stay() -> None:
    assert values()["app"]["a\x00\ud800\n\r\x85b"] == "a��\n��b"


@settings(max_examples=200)
@given(st.text(st.characters()))
def test_every_value_can_be_encoded_and_is_short(raw: str) -> None:
    served = values()["app"][raw]

    served.encode()

    assert len(served) == min(8, len(raw))


def test_hashed_names_are_shorter_than_any_sensible_cut_and_off_means_none() -> None:
    assert str(values(128, UserNames.HASHED).users["ada"]).startswith("user-")
    assert values(users=UserNames.OFF).users["ada"] is None


def test_equal_values_of_a_summable_label_may_be_added() -> None:
    served = values()

    assert served["username"]["a" * 9] == served["username"]["a" * 10]
    assert served.may_add(USER_ACTIVITY)


def test_equal_values_of_another_label_may_not() -> None:
    served = values()

    assert served["app"]["a" * 9] == served["app"]["a" * 10]
    assert not served.may_add(TEMPLATE_APP_USAGE)
    assert served.may_add(USER_ACTIVITY)


def test_a_family_without_legal_sums_never_adds() -> None:
    assert not values().may_add(TEMPLATE_UNIQUE_USERS)
