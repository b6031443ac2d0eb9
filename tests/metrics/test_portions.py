"""Rows that come in portions read and look like any others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.lanes import joined
from insights_exporter.metrics.catalogue import (
    CONNECTION_LATENCY,
    LATENCY_BUCKETS,
    OTHER,
    USER_ACTIVITY,
    USER_ACTIVITY_WINDOW,
    USER_LATENCY_P50,
)
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.limits import Limited, Standing, limited
from insights_exporter.metrics.portions import Derived, Memory, Packs, Portion, Portions, span
from insights_exporter.metrics.text import Format, Samples, render
from insights_exporter.snapshot import Distribution

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
CROWD = st.dictionaries(st.sampled_from([*"abcdef"]), st.integers(0, 9).map(float), min_size=1)
PLACES = len(LATENCY_BUCKETS) + 1
NOW = datetime(2026, 1, 14, tzinfo=UTC)
NUMBERS = st.none() | st.floats() | st.integers(-2, 2**53) | st.sampled_from([0.0, -0.0, 1e6, 999_999.5])


def portions(
    *sources: Mapping[str, float | None], window: str = "", users: Mapping[str, str | None] | None = None
) -> Portions:
    """Return a portion for each source, of a template of its own."""
    served = users or {name: name for source in sources for name in source}
    windows = (window,) if window else ()
    return Portions(
        2,
        served,
        [
            Portion.of(("acme", f"go{place}", "", *windows), source, served)
            for place, source in enumerate(sources)
        ],
    )


def packs(*sources: Mapping[str, float | None]) -> Packs:
    """Return the histograms of users, each of whom has one observation for each second of the number."""
    return Packs(
        2,
        {name: name for source in sources for name in source},
        [
            (
                ("acme", f"go{place}", ""),
                {
                    name: Distribution(
                        joined([0] * 3 + [int(number or 0)] + [0] * (PLACES - 4)), PLACES, 1.0, NOW
                    )
                    for name, number in source.items()
                },
            )
            for place, source in enumerate(sources)
        ],
    )


def within(rows: Portions, limit: int) -> Limited:
    """Return the rows as a family within a limit."""
    return limited(Samples(USER_ACTIVITY, rows), limit, may_add=lambda _: True, standing=Standing())


@pytest.mark.parametrize("form", Format)
@given(st.lists(st.dictionaries(NAMES, NUMBERS, max_size=5), max_size=3), NAMES.filter(bool))
def test_portions_are_written_as_their_rows_are(
    form: Format, sources: list[dict[str, float | None]], window: str
) -> None:
    rows = portions(*sources, window=window)
    written = render([Samples(USER_ACTIVITY_WINDOW, rows)], form)

    assert written == render([Samples(USER_ACTIVITY_WINDOW, list(rows))], form)
    assert rows.count == len(list(rows))


@pytest.mark.parametrize("form", Format)
@given(st.lists(st.dictionaries(NAMES, NUMBERS, max_size=5), max_size=3))
def test_counters_in_portions_tell_when_they_began(
    form: Format, sources: list[dict[str, float | None]]
) -> None:
    rows = portions(*sources)
    written = render([Samples(USER_ACTIVITY, rows, created=1.5)], form)

    assert written == render([Samples(USER_ACTIVITY, list(rows), created=1.5)], form)


def test_portions_within_a_limit_stay_portions() -> None:
    rows = portions({"ada": 1.0, "bo": 2.0}, {"ada": 3.0, "cleo": None})
    found = within(rows, 3)

    assert (found.samples.numbers, found.series, found.folded) == (rows, 3, 0)


@given(
    st.lists(st.dictionaries(st.sampled_from([*"abcdef", OTHER]), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(1, 8),
    st.sampled_from([USER_ACTIVITY, USER_ACTIVITY_WINDOW, USER_LATENCY_P50]),
)
def test_portions_above_a_limit_are_folded_as_rows_are(
    sources: list[dict[str, float | None]], limit: int, family: Family
) -> None:
    rows = portions(*sources, window="7d" if "window" in family.labels else "")
    found, plain = (
        limited(Samples(family, one), limit, may_add=lambda _: True, standing=Standing())
        for one in (rows, list(rows))
    )

    assert dict(found.samples.numbers) == dict(plain.samples.numbers)
    assert (found.series, found.folded) == (plain.series, plain.folded)


@given(st.lists(st.lists(CROWD, min_size=2, max_size=3), min_size=2, max_size=3), st.integers(2, 8))
def test_series_that_accumulate_stay_chosen_in_portions_as_in_rows(
    rounds: list[list[dict[str, float | None]]], limit: int
) -> None:
    in_portions, in_rows = Standing(), Standing()
    for sources in rounds:
        rows = portions(*sources)
        found, plain = (
            limited(
                Samples(USER_ACTIVITY, one, created=1.5), limit, may_add=lambda _: True, standing=standing
            )
            for one, standing in ((rows, in_portions), (list(rows), in_rows))
        )

        assert dict(found.samples.numbers) == dict(plain.samples.numbers)
        assert (found.series, found.folded) == (plain.series, plain.folded)
        for form in Format:
            written = render([found.samples], form)

            assert sorted(written.splitlines()) == sorted(render([plain.samples], form).splitlines())


@given(st.lists(st.lists(CROWD, min_size=2, max_size=3), min_size=2, max_size=3), st.integers(1, 6))
def test_histograms_are_chosen_and_folded_crowd_by_crowd_as_row_by_row(
    rounds: list[list[dict[str, float | None]]], users: int
) -> None:
    limit = users * (len(LATENCY_BUCKETS) + 3)
    in_crowds, in_rows = Standing(), Standing()
    for sources in rounds:
        rows = packs(*sources)
        found, plain = (
            limited(
                Samples(CONNECTION_LATENCY, packed=one, bounds=LATENCY_BUCKETS, created=1.5),
                limit,
                may_add=lambda _: True,
                standing=standing,
            )
            for one, standing in ((rows, in_crowds), (list(rows), in_rows))
        )

        assert sorted(found.samples.distributions) == sorted(plain.samples.distributions)
        assert (found.series, found.folded) == (plain.series, plain.folded)


def test_those_who_are_chosen_stay_the_same_portion() -> None:
    standing, whole = Standing(), {"ada": 9.0, "bo": 8.0}
    for others in ({"cleo": 1.0, "dora": 2.0}, {"cleo": 3.0, "dora": 4.0}):
        rows = portions(whole, others)
        samples = Samples(USER_ACTIVITY, rows)
        found = limited(samples, 3, may_add=lambda _: True, standing=standing).samples.numbers

    assert isinstance(found, Portions)
    assert found.portions[0] is rows.portions[0]
    assert list(found.others) == [(("acme", "go1", OTHER), 7.0)]


def test_users_who_came_to_have_one_name_are_added_up() -> None:
    rows = portions({"ada": 1.0, "bo": 2.0}, users={"ada": "same", "bo": "same"})
    found = within(rows, 10)

    assert list(found.samples.numbers) == [(("acme", "go0", "same"), 3.0)]


@given(st.lists(st.integers(0, 1200), max_size=12))
def test_chunks_hold_all_portions_in_order_and_few_rows_each(sizes: list[int]) -> None:
    rows = portions(*({f"user{n}": 1.0 for n in range(size)} for size in sizes))
    chunks = list(rows.chunks())

    assert [portion for chunk in chunks for portion in chunk] == list(rows.portions)
    assert all(sum(one.count for one in chunk[:-1]) < 500 for chunk in chunks)


def test_a_memory_keeps_what_is_used_round_by_round() -> None:
    memory = Memory[str, int]()
    for key, value in (("used", 1), ("unused", 2)):
        memory.keep(key, value)
    memory.turn()
    used = memory.recall("used")
    memory.turn()

    assert (used, memory.recall("used"), memory.recall("unused")) == (1, 1, None)


def test_what_is_derived_of_a_part_is_the_same_while_the_part_is() -> None:
    derived, part = Derived(), {"ada": 1.0}
    first = derived.of("users", part, list)
    derived.turn()
    again = derived.of("users", part, list)
    derived.turn()
    of_an_equal_one = derived.of("users", dict(part), list)

    assert again is first
    assert of_an_equal_one == first
    assert of_an_equal_one is not first


@given(st.lists(NUMBERS, max_size=5))
def test_numbers_have_a_span_where_all_are_floats(numbers: list[float | None]) -> None:
    floats = [number for number in numbers if isinstance(number, float) and not math.isnan(number)]
    plain = bool(numbers) and len(floats) == len(numbers)
    # Both infinities together come to no number.
    plain = plain and not math.isnan(sum(floats))

    assert span(numbers) == ((min(floats), max(floats)) if plain else None)
