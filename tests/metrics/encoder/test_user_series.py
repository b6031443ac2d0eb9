"""Rows that come in portions read and look like any others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.metrics.cardinality import LimitedFamily, StickySelection, apply_limit
from insights_exporter.metrics.catalogue import (
    CONNECTION_LATENCY,
    LATENCY_BUCKETS,
    OTHER,
    USER_ACTIVITY,
    USER_ACTIVITY_WINDOW,
    USER_LATENCY_P50,
)
from insights_exporter.metrics.encoder.text import FamilySamples, Format, encode_families
from insights_exporter.metrics.encoder.user_series import (
    DerivationCache,
    SeriesGroup,
    TwoGenerationCache,
    UserHistograms,
    UserSeries,
    min_max,
)
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.packed_counts import pack_counts
from insights_exporter.snapshot import LatencyHistogram

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES_BY_USER = st.dictionaries(st.sampled_from([*"abcdef"]), st.integers(0, 9).map(float), min_size=1)
BUCKET_COUNT = len(LATENCY_BUCKETS) + 1
NOW = datetime(2026, 1, 14, tzinfo=UTC)
NUMBERS = st.none() | st.floats() | st.integers(-2, 2**53) | st.sampled_from([0.0, -0.0, 1e6, 999_999.5])


def user_series(
    *sources: Mapping[str, float | None], window: str = "", users: Mapping[str, str | None] | None = None
) -> UserSeries:
    """Return a portion for each source, of a template of its own."""
    username_labels = users or {name: name for source in sources for name in source}
    windows = (window,) if window else ()
    return UserSeries(
        2,
        username_labels,
        [
            SeriesGroup.from_values(("acme", f"go{template_index}", "", *windows), source, username_labels)
            for template_index, source in enumerate(sources)
        ],
    )


def user_histograms(*sources: Mapping[str, float | None]) -> UserHistograms:
    """Return the histograms of users, each of whom has one observation for each second of the number."""
    return UserHistograms(
        2,
        {name: name for source in sources for name in source},
        [
            (
                ("acme", f"go{template_index}", ""),
                {
                    name: LatencyHistogram(
                        pack_counts([0] * 3 + [int(number or 0)] + [0] * (BUCKET_COUNT - 4)),
                        BUCKET_COUNT,
                        1.0,
                        NOW,
                    )
                    for name, number in source.items()
                },
            )
            for template_index, source in enumerate(sources)
        ],
    )


def limit_series(rows: UserSeries, limit: int) -> LimitedFamily:
    """Return the rows as a family within a limit."""
    return apply_limit(
        FamilySamples(USER_ACTIVITY, rows),
        limit,
        may_merge=lambda _: True,
        sticky_selection=StickySelection(),
    )


@pytest.mark.parametrize("form", Format)
@given(st.lists(st.dictionaries(NAMES, NUMBERS, max_size=5), max_size=3), NAMES.filter(bool))
def test_user_series_encode_like_plain_samples(
    form: Format, sources: list[dict[str, float | None]], window: str
) -> None:
    rows = user_series(*sources, window=window)
    encoded = encode_families([FamilySamples(USER_ACTIVITY_WINDOW, rows)], form)

    assert encoded == encode_families([FamilySamples(USER_ACTIVITY_WINDOW, list(rows))], form)
    assert rows.count == len(list(rows))


@pytest.mark.parametrize("form", Format)
@given(st.lists(st.dictionaries(NAMES, NUMBERS, max_size=5), max_size=3))
def test_user_counters_have_created_series(form: Format, sources: list[dict[str, float | None]]) -> None:
    rows = user_series(*sources)
    encoded = encode_families([FamilySamples(USER_ACTIVITY, rows, created=1.5)], form)

    assert encoded == encode_families([FamilySamples(USER_ACTIVITY, list(rows), created=1.5)], form)


def test_user_series_within_a_limit_are_unchanged() -> None:
    rows = user_series({"ada": 1.0, "bo": 2.0}, {"ada": 3.0, "cleo": None})
    limited_family = limit_series(rows, 3)

    assert (limited_family.samples.floats, limited_family.series, limited_family.folded) == (rows, 3, 0)


@given(
    st.lists(st.dictionaries(st.sampled_from([*"abcdef", OTHER]), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(1, 8),
    st.sampled_from([USER_ACTIVITY, USER_ACTIVITY_WINDOW, USER_LATENCY_P50]),
)
def test_user_series_fold_like_plain_samples(
    sources: list[dict[str, float | None]], limit: int, family: Family
) -> None:
    rows = user_series(*sources, window="7d" if "window" in family.labels else "")
    grouped, plain = (
        apply_limit(
            FamilySamples(family, floats), limit, may_merge=lambda _: True, sticky_selection=StickySelection()
        )
        for floats in (rows, list(rows))
    )

    assert dict(grouped.samples.floats) == dict(plain.samples.floats)
    assert (grouped.series, grouped.folded) == (plain.series, plain.folded)


@given(st.lists(st.lists(VALUES_BY_USER, min_size=2, max_size=3), min_size=2, max_size=3), st.integers(2, 8))
def test_sticky_selection_of_user_series_equals_plain_samples(
    rounds: list[list[dict[str, float | None]]], limit: int
) -> None:
    grouped_selection, plain_selection = StickySelection(), StickySelection()
    for sources in rounds:
        rows = user_series(*sources)
        grouped, plain = (
            apply_limit(
                FamilySamples(USER_ACTIVITY, floats, created=1.5),
                limit,
                may_merge=lambda _: True,
                sticky_selection=selection,
            )
            for floats, selection in ((rows, grouped_selection), (list(rows), plain_selection))
        )

        assert dict(grouped.samples.floats) == dict(plain.samples.floats)
        assert (grouped.series, grouped.folded) == (plain.series, plain.folded)
        for exposition_format in Format:
            encoded = encode_families([grouped.samples], exposition_format)

            assert sorted(encoded.splitlines()) == sorted(
                encode_families([plain.samples], exposition_format).splitlines()
            )


@given(st.lists(st.lists(VALUES_BY_USER, min_size=2, max_size=3), min_size=2, max_size=3), st.integers(1, 6))
def test_user_histograms_fold_like_plain_histograms(
    rounds: list[list[dict[str, float | None]]], users: int
) -> None:
    limit = users * (len(LATENCY_BUCKETS) + 3)
    grouped_selection, plain_selection = StickySelection(), StickySelection()
    for sources in rounds:
        rows = user_histograms(*sources)
        grouped, plain = (
            apply_limit(
                FamilySamples(
                    CONNECTION_LATENCY, packed_histograms=histograms, bounds=LATENCY_BUCKETS, created=1.5
                ),
                limit,
                may_merge=lambda _: True,
                sticky_selection=selection,
            )
            for histograms, selection in ((rows, grouped_selection), (list(rows), plain_selection))
        )

        assert sorted(grouped.samples.histograms) == sorted(plain.samples.histograms)
        assert (grouped.series, grouped.folded) == (plain.series, plain.folded)


def test_fully_selected_group_is_the_same_object() -> None:
    sticky_selection, selected_users = StickySelection(), {"ada": 9.0, "bo": 8.0}
    for folded_users in ({"cleo": 1.0, "dora": 2.0}, {"cleo": 3.0, "dora": 4.0}):
        rows = user_series(selected_users, folded_users)
        samples = FamilySamples(USER_ACTIVITY, rows)
        limited_series = apply_limit(
            samples, 3, may_merge=lambda _: True, sticky_selection=sticky_selection
        ).samples.floats

    assert isinstance(limited_series, UserSeries)
    assert limited_series.groups[0] is rows.groups[0]
    assert list(limited_series.other_samples) == [(("acme", "go1", OTHER), 7.0)]


def test_users_with_equal_labels_are_summed() -> None:
    rows = user_series({"ada": 1.0, "bo": 2.0}, users={"ada": "same", "bo": "same"})
    limited_family = limit_series(rows, 10)

    assert list(limited_family.samples.floats) == [(("acme", "go0", "same"), 3.0)]


@given(st.lists(st.integers(0, 1200), max_size=12))
def test_chunks_keep_group_order_and_are_bounded(sizes: list[int]) -> None:
    rows = user_series(*({f"user{n}": 1.0 for n in range(size)} for size in sizes))
    chunks = list(rows.chunks())

    assert [group for chunk in chunks for group in chunk] == list(rows.groups)
    assert all(sum(member.count for member in chunk[:-1]) < 500 for chunk in chunks)


def test_cache_keeps_entries_used_in_the_last_generation() -> None:
    cache = TwoGenerationCache[str, int]()
    for key, value in (("used", 1), ("unused", 2)):
        cache.put(key, value)
    cache.rotate()
    used = cache.get("used")
    cache.rotate()

    assert (used, cache.get("used"), cache.get("unused")) == (1, 1, None)


def test_derivation_is_cached_by_identity() -> None:
    derivations, source = DerivationCache(), {"ada": 1.0}
    first = derivations.get_or_compute("users", source, list)
    derivations.rotate()
    cached = derivations.get_or_compute("users", source, list)
    derivations.rotate()
    recomputed = derivations.get_or_compute("users", dict(source), list)

    assert cached is first
    assert recomputed == first
    assert recomputed is not first


@given(st.lists(NUMBERS, max_size=5))
def test_min_max_of_floats(numbers: list[float | None]) -> None:
    floats = [number for number in numbers if isinstance(number, float) and not math.isnan(number)]
    all_floats = bool(numbers) and len(floats) == len(numbers)
    # Both infinities together come to no number.
    all_floats = all_floats and not math.isnan(sum(floats))

    assert min_max(numbers) == ((min(floats), max(floats)) if all_floats else None)
