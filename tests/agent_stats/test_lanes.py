"""Buckets side by side in one integer are the same buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.collectors.agent_stats.lanes import LANE, PLACES, joined, split

buckets = st.lists(st.integers(0, 2**62), min_size=PLACES, max_size=PLACES)


@given(buckets)
def test_what_was_joined_can_be_split(counts: list[int]) -> None:
    assert split(joined(counts)) == tuple(counts)


@given(buckets, buckets)
def test_one_addition_adds_up_all_buckets(one: list[int], other: list[int]) -> None:
    assert split(joined(one) + joined(other)) == tuple(a + b for a, b in zip(one, other, strict=True))


@given(st.integers(0, PLACES - 1), st.integers(0, 2**62))
def test_a_bucket_is_found_at_its_place(place: int, count: int) -> None:
    assert split(count << LANE * place) == tuple(count if k == place else 0 for k in range(PLACES))


@pytest.mark.parametrize("counts", [[], [0] * (PLACES + 1), [-1, *[0] * (PLACES - 1)], [2**64] * PLACES])
def test_what_are_no_buckets_is_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match=f"Expected {PLACES} counts"):
        joined(counts)
