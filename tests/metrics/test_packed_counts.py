"""Packed bucket counts: addition, comparison and unpacking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.metrics.packed_counts import BITS_PER_COUNT, any_decreased, pack_counts, unpack_counts

BUCKET_COUNT = 15
bucket_counts = st.lists(st.integers(0, 2**62 - 1), min_size=BUCKET_COUNT, max_size=BUCKET_COUNT)


@given(bucket_counts)
def test_unpack_inverts_pack(counts: list[int]) -> None:
    assert unpack_counts(pack_counts(counts), BUCKET_COUNT) == tuple(counts)


@given(bucket_counts, bucket_counts)
def test_addition_adds_all_buckets(left: list[int], right: list[int]) -> None:
    both = unpack_counts(pack_counts(left) + pack_counts(right), BUCKET_COUNT)

    assert both == tuple(a + b for a, b in zip(left, right, strict=True))


@given(st.integers(0, BUCKET_COUNT - 1), st.integers(0, 2**62))
def test_shift_addresses_one_bucket(index: int, count: int) -> None:
    assert unpack_counts(count << BITS_PER_COUNT * index, BUCKET_COUNT) == tuple(
        count if k == index else 0 for k in range(BUCKET_COUNT)
    )


edge_counts = st.lists(st.sampled_from([0, 1, 2, 2**63 - 1]), min_size=BUCKET_COUNT, max_size=BUCKET_COUNT)


@given(edge_counts, edge_counts)
def test_any_decreased_detects_decrease(now: list[int], before: list[int]) -> None:
    decreased = any(a < b for a, b in zip(now, before, strict=True))

    assert any_decreased(pack_counts(now), pack_counts(before), BUCKET_COUNT) == decreased


@given(edge_counts, edge_counts)
def test_any_decreased_ignores_growth(before: list[int], more: list[int]) -> None:
    grown = [min(a + b, 2**63 - 1) for a, b in zip(before, more, strict=True)]

    assert not any_decreased(pack_counts(grown), pack_counts(before), BUCKET_COUNT)


@pytest.mark.parametrize("count", [-1, 2**63, 2**64])
def test_pack_rejects_invalid_count(count: int) -> None:
    with pytest.raises(ValueError, match="expected counts from 0"):
        pack_counts([0, count])
