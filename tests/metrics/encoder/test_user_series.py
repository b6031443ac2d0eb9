"""Grouped per-user samples: encoded and limited like plain samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from insights_exporter.metrics.cardinality import LimitedFamily, StickySelection, apply_limit
from insights_exporter.metrics.catalogue import OTHER, USER_ACTIVITY, USER_ACTIVITY_WINDOW, USER_LATENCY_P50
from insights_exporter.metrics.encoder import FamilySamples, Format, SeriesGroup, min_max
from insights_exporter.metrics.family import Family
from tests.support.exposition_text import encode_family

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES_BY_USER = st.dictionaries(st.sampled_from([*"abcdef"]), st.integers(0, 9).map(float), min_size=1)
NUMBERS = st.none() | st.floats() | st.integers(-2, 2**53) | st.sampled_from([0.0, -0.0, 1e6, 999_999.5])


def user_series(
    family: Family,
    *sources: Mapping[str, float | None],
    window: str = "7d",
    users: Mapping[str, str | None] | None = None,
    created: float | None = None,
) -> FamilySamples:
    """Return a family with a group per source, each of another template."""
    username_labels = users or {name: name for source in sources for name in source}
    windows = (window,) if "window" in family.labels else ()
    groups = [
        SeriesGroup.from_values(("acme", f"go{template_index}", "", *windows), source, username_labels)
        for template_index, source in enumerate(sources)
    ]
    return FamilySamples(family, created=created, groups=groups, username_labels=username_labels)


def without_groups(samples: FamilySamples) -> FamilySamples:
    """Return the same samples as plain rows."""
    return replace(samples, rows=list(samples), groups=())


def limit_series(
    samples: FamilySamples, limit: int, sticky_selection: StickySelection | None = None
) -> LimitedFamily:
    """Return a family within a limit."""
    return apply_limit(
        samples,
        limit,
        may_merge=lambda _: True,
        sticky_selection=StickySelection() if sticky_selection is None else sticky_selection,
    )


@pytest.mark.parametrize("exposition_format", Format)
@given(st.lists(st.dictionaries(NAMES, NUMBERS, max_size=5), max_size=3), NAMES)
def test_groups_are_encoded_like_plain_rows(
    exposition_format: Format, sources: list[dict[str, float | None]], window: str
) -> None:
    samples = user_series(USER_ACTIVITY_WINDOW, *sources, window=window)

    assert encode_family(samples, exposition_format) == encode_family(
        without_groups(samples), exposition_format
    )
    assert sum(group.count for group in samples.groups) == len(list(samples))


@pytest.mark.parametrize("exposition_format", Format)
@given(st.lists(st.dictionaries(NAMES, NUMBERS, max_size=5), max_size=3))
def test_grouped_counters_have_created_series(
    exposition_format: Format, sources: list[dict[str, float | None]]
) -> None:
    samples = user_series(USER_ACTIVITY, *sources, created=1.5)
    encoded = encode_family(samples, exposition_format)

    assert encoded == encode_family(without_groups(samples), exposition_format)
    assert encoded.count(b"_created{") == (
        len(list(samples)) if exposition_format is Format.OPENMETRICS else 0
    )


def test_groups_within_the_limit_are_unchanged() -> None:
    samples = user_series(USER_ACTIVITY, {"ada": 1.0, "bo": 2.0}, {"ada": 3.0, "cleo": None})
    limited_family = limit_series(samples, 3)

    assert limited_family.samples is samples
    assert (limited_family.series, limited_family.folded) == (3, 0)


@given(
    st.lists(st.dictionaries(st.sampled_from([*"abcdef", OTHER]), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(1, 8),
    st.sampled_from([USER_ACTIVITY, USER_ACTIVITY_WINDOW, USER_LATENCY_P50]),
)
def test_groups_are_limited_like_plain_rows(
    sources: list[dict[str, float | None]], limit: int, family: Family
) -> None:
    samples = user_series(family, *sources)
    grouped, plain = (limit_series(one, limit) for one in (samples, without_groups(samples)))

    assert dict(grouped.samples.floats) == dict(plain.samples.floats)
    assert (grouped.series, grouped.folded) == (plain.series, plain.folded)


@given(st.lists(st.lists(VALUES_BY_USER, min_size=2, max_size=3), min_size=2, max_size=3), st.integers(2, 8))
def test_sticky_selection_of_groups_equals_plain_rows(
    rounds: list[list[dict[str, float | None]]], limit: int
) -> None:
    grouped_selection, plain_selection = StickySelection(), StickySelection()
    for sources in rounds:
        samples = user_series(USER_ACTIVITY, *sources, created=1.5)
        grouped = limit_series(samples, limit, grouped_selection)
        plain = limit_series(without_groups(samples), limit, plain_selection)

        assert dict(grouped.samples.floats) == dict(plain.samples.floats)
        assert (grouped.series, grouped.folded) == (plain.series, plain.folded)
        for exposition_format in Format:
            assert sorted(encode_family(grouped.samples, exposition_format).splitlines()) == sorted(
                encode_family(plain.samples, exposition_format).splitlines()
            )


def test_fully_selected_group_is_the_same_object() -> None:
    sticky_selection, selected_users = StickySelection(), {"ada": 9.0, "bo": 8.0}
    for folded_users in ({"cleo": 1.0, "dora": 2.0}, {"cleo": 3.0, "dora": 4.0}):
        samples = user_series(USER_ACTIVITY, selected_users, folded_users)
        limited = limit_series(samples, 3, sticky_selection).samples

    assert limited.groups[0] is samples.groups[0]
    assert list(limited.rows) == [(("acme", "go1", OTHER), 7.0)]


def test_users_with_equal_labels_are_summed() -> None:
    samples = user_series(USER_ACTIVITY, {"ada": 1.0, "bo": 2.0}, users={"ada": "same", "bo": "same"})
    limited_family = limit_series(samples, 10)

    assert list(limited_family.samples.floats) == [(("acme", "go0", "same"), 3.0)]


@given(st.lists(VALUES_BY_USER, min_size=1, max_size=4), st.integers(1, 6))
def test_highest_samples_and_the_rest_are_complete(
    sources: list[dict[str, float | None]], count: int
) -> None:
    samples = user_series(USER_ACTIVITY, *sources)
    all_rows = list(samples)
    assume(len(all_rows) >= count)
    rows, rest = samples.split_highest(count)
    highest = list(rows)
    rest_values = [value for values in rest.values() for value in values]

    assert len(highest) >= count
    assert min(value for _, value in highest) > max(rest_values, default=-1.0)
    assert sorted([value for _, value in highest] + rest_values) == sorted(value for _, value in all_rows)


@given(st.lists(NUMBERS, max_size=5))
def test_min_max_of_floats(numbers: list[float | None]) -> None:
    floats = [number for number in numbers if isinstance(number, float) and not math.isnan(number)]
    all_floats = bool(numbers) and len(floats) == len(numbers)
    # Both infinities together come to no number.
    all_floats = all_floats and not math.isnan(sum(floats))

    assert min_max(numbers) == ((min(floats), max(floats)) if all_floats else None)
