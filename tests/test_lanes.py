"""Buckets side by side in one integer are the same buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.lanes import LANE, joined, less_anywhere, split

PLACES = 15
buckets = st.lists(st.integers(0, 2**62 - 1), min_size=PLACES, max_size=PLACES)


@given(buckets)
def test_what_was_joined_can_be_split(counts: list[int]) -> None:
    assert split(joined(counts), PLACES) == tuple(counts)


@given(buckets, buckets)
def test_one_addition_adds_up_all_buckets(one: list[int], other: list[int]) -> None:
    both = split(joined(one) + joined(other), PLACES)

    assert both == tuple(a + b for a, b in zip(one, other, strict=True))


@given(st.integers(0, PLACES - 1), st.integers(0, 2**62))
def test_a_bucket_is_found_at_its_place(place: int, count: int) -> None:
    assert split(count << LANE * place, PLACES) == tuple(count if k == place else 0 for k in range(PLACES))


small = st.lists(st.sampled_from([0, 1, 2, 2**63 - 1]), min_size=PLACES, max_size=PLACES)


@given(small, small)
def test_a_bucket_that_fell_is_seen(now: list[int], before: list[int]) -> None:
    fell = any(a < b for a, b in zip(now, before, strict=True))

    assert less_anywhere(joined(now), joined(before), PLACES) == fell


@given(small, small)
def test_what_only_grew_did_not_fall(before: list[int], more: list[int]) -> None:
    grown = [min(a + b, 2**63 - 1) for a, b in zip(before, more, strict=True)]

    assert not less_anywhere(joined(grown), joined(before), PLACES)


@pytest.mark.parametrize("count", [-1, 2**63, 2**64])
def test_what_is_no_count_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="Expected counts from 0"):
        joined([0, count])
