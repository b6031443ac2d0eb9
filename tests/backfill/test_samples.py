"""Samples between two boundaries."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.backfill.boundaries import Boundary
from insights_exporter.backfill.family_rows import FamilyRows
from insights_exporter.backfill.samples import RangeSamples, SampleSteps
from insights_exporter.coder.time_ranges import Window
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from tests.support.backfill import read_samples

START = datetime(2026, 10, 1, tzinfo=UTC)
DAY = Window("2026-10-01", START, START + timedelta(days=1))
ANCHOR = date(2026, 10, 1)
COUNTER = catalogue.TEMPLATE_USAGE
USER_COUNTER = catalogue.USER_ACTIVITY
GAUGE = catalogue.DEPLOYMENT_UNIQUE_USERS


def boundary(family: Family, *values: tuple[str, float], anchor: date = ANCHOR) -> Boundary:
    """Return a boundary with one family, whose series differ in one label."""
    keys = {f'{family.name}{{x="{name}"}}'.encode(): value for name, value in values}
    metrics = {key: (b"%s %a " % (key, value),) for key, value in keys.items()}
    return Boundary(anchor, {family.name: FamilyRows(family, b"", metrics)} if metrics else {})


def sample(
    family: Family, before: Boundary, after: Boundary, *, is_first: bool = False, is_last: bool = False
) -> dict[str, dict[float, float]]:
    """Return values by hours after the start, by the label of the series."""
    samples = RangeSamples(
        window=DAY,
        before=before,
        after=after,
        steps=SampleSteps(3600, 4 * 3600),
        is_first=is_first,
        is_last=is_last,
    )
    series = read_samples(samples.text())
    assert samples.sample_count == sum(map(len, series.values()))
    return {
        dict(labels)["x"]: {(time - START.timestamp()) / 3600: value for time, value in values.items()}
        for (name, labels), values in series.items()
        if name == family.name
    }


def test_a_gauge_has_the_old_value_at_the_start_and_then_the_new_one() -> None:
    values = sample(GAUGE, boundary(GAUGE, ("a", 3)), boundary(GAUGE, ("a", 5)))

    assert values == {"a": {0: 3, **dict.fromkeys(range(1, 24), 5)}}


def test_a_counter_rises_evenly_from_the_old_value() -> None:
    values = sample(COUNTER, boundary(COUNTER, ("a", 100)), boundary(COUNTER, ("a", 2500)))

    assert values == {"a": {hour: 100 + 100 * hour for hour in range(24)}}


def test_the_last_range_includes_its_end() -> None:
    values = sample(COUNTER, boundary(COUNTER, ("a", 0)), boundary(COUNTER, ("a", 2400)), is_last=True)

    assert values["a"][24] == 2400


def test_the_first_range_has_only_counters_at_its_start() -> None:
    gauges = sample(GAUGE, boundary(GAUGE, ("a", 3)), boundary(GAUGE, ("a", 5)), is_first=True)
    counters = sample(COUNTER, boundary(COUNTER, ("a", 3)), boundary(COUNTER, ("a", 5)), is_first=True)

    assert min(gauges["a"]) == 1
    assert min(counters["a"]) == 0


def test_a_new_counter_begins_with_zero() -> None:
    values = sample(COUNTER, boundary(COUNTER), boundary(COUNTER, ("a", 2400)))

    assert values["a"][0] == 0
    assert values["a"][1] == 100


def test_a_series_that_ends_has_its_last_value_at_the_start() -> None:
    for family in (COUNTER, GAUGE):
        assert sample(family, boundary(family, ("a", 7)), boundary(family)) == {"a": {0: 7}}


def test_a_moved_anchor_resets_a_counter_after_its_last_value() -> None:
    before = boundary(COUNTER, ("a", 9000), anchor=date(2026, 7, 1))
    values = sample(COUNTER, before, boundary(COUNTER, ("a", 2400)))

    assert [values["a"][hour] for hour in (0, 1, 2)] == [9000, 100, 200]


def test_series_by_user_have_their_own_step() -> None:
    values = sample(USER_COUNTER, boundary(USER_COUNTER), boundary(USER_COUNTER, ("a", 600)))

    assert values == {"a": {0: 0, 4: 100, 8: 200, 12: 300, 16: 400, 20: 500}}


def test_lines_of_a_histogram_stay_together() -> None:
    family = catalogue.TEMPLATE_USER_LATENCY
    metric = (b'h_bucket{le="1.0"} 1.0 ', b'h_bucket{le="+Inf"} 2.0 ', b"h_gcount 2.0 ")
    after = Boundary(ANCHOR, {family.name: FamilyRows(family, b"", {b"h": metric})})
    samples = RangeSamples(
        window=Window("hour", START, START + timedelta(hours=3)),
        before=boundary(family),
        after=after,
        steps=SampleSteps(3600, 3600),
    )
    lines = b"".join(samples.text()).decode().splitlines()

    assert [line.rsplit(" ", 1)[1] for line in lines] == ["1790816400"] * 3 + ["1790820000"] * 3
    assert [line.split(" ")[0] for line in lines[:3]] == [
        'h_bucket{le="1.0"}',
        'h_bucket{le="+Inf"}',
        "h_gcount",
    ]


@given(
    totals=st.lists(st.integers(0, 10**7), min_size=2, max_size=8).map(sorted),
    step=st.sampled_from([300, 900, 3600]),
)
def test_counters_never_decrease_and_meet_every_boundary(totals: list[int], step: int) -> None:
    values: dict[float, float] = {}
    for number in range(len(totals) - 1):
        start = START + timedelta(days=number)
        samples = RangeSamples(
            window=Window("", start, start + timedelta(days=1)),
            before=boundary(COUNTER, ("a", float(totals[number]))),
            after=boundary(COUNTER, ("a", float(totals[number + 1]))),
            steps=SampleSteps(step, 3600),
            is_last=number == len(totals) - 2,
        )
        (series,) = read_samples(samples.text()).values()
        values |= series

    ordered = [values[time] for time in sorted(values)]

    assert ordered == sorted(ordered)
    assert [values[START.timestamp() + 86400 * number] for number in range(len(totals))] == totals


@pytest.mark.parametrize("in_milliseconds", [False, True])
def test_timestamps_are_seconds_or_milliseconds(in_milliseconds: bool) -> None:  # noqa: FBT001 # A parameter.
    samples = RangeSamples(
        window=DAY,
        before=boundary(GAUGE),
        after=boundary(GAUGE, ("a", 1)),
        steps=SampleSteps(3600, 3600),
        in_milliseconds=in_milliseconds,
    )
    (values,) = read_samples(samples.text()).values()

    assert min(values) == (START.timestamp() + 3600) * (1000 if in_milliseconds else 1)


@given(hours=st.sampled_from([2, 6, 18, 54]), day=st.integers(0, 40))
def test_parts_end_at_block_boundaries_and_have_all_samples(hours: int, day: int) -> None:
    start = START + timedelta(days=day)
    samples = RangeSamples(
        window=Window("", start, start + timedelta(days=1)),
        before=boundary(COUNTER, ("a", 60)),
        after=boundary(COUNTER, ("a", 2460)),
        steps=SampleSteps(3600, 3600),
        is_last=True,
    )
    (whole,) = read_samples(samples.text()).values()
    parts = samples.parts(hours * 3600)
    joined = read_samples(block for part in parts for block in samples.text(part))

    assert list(joined.values()) == [whole]
    assert all(part.stop % (hours * 3600) == 0 for part in parts[:-1])
    assert [part.stop for part in parts[:-1]] == [part.start for part in parts[1:]]
