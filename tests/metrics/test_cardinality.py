"""Series limits: the highest series are served, the others are summed under ``_other`` or dropped."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.metrics.cardinality import LimitedFamily, StickySelection, apply_limit
from insights_exporter.metrics.catalogue import (
    CONNECTION_LATENCY,
    LATENCY_BUCKETS,
    OTHER,
    TEMPLATE_PARAMETER_WORKSPACES,
    USER_ACTIVITY,
    USER_ACTIVITY_WINDOW,
    USER_LATENCY_P95,
)
from insights_exporter.metrics.encoder import FamilySamples, FloatSample, Histogram, HistogramSample
from insights_exporter.metrics.family import Family


def limit_family(
    rows: Iterable[FloatSample],
    limit: int,
    *,
    family: Family = USER_ACTIVITY_WINDOW,
    sticky_selection: StickySelection | None = None,
    created: float | None = None,
    may_merge: bool = True,
) -> LimitedFamily:
    """Return a family of rows within a limit."""
    return apply_limit(
        FamilySamples(family, rows, created=created),
        limit,
        may_merge=lambda _: may_merge,
        sticky_selection=sticky_selection if sticky_selection is not None else StickySelection(),
    )


def values_by_labels(limited_family: LimitedFamily) -> dict[tuple[str, ...], float]:
    """Return values by label values; fails for duplicates."""
    rows = list(limited_family.samples.floats)

    assert len(rows) == len(dict(rows)) == limited_family.series

    return dict(rows)


def users(*numbers: float, template: str = "go") -> list[FloatSample]:
    """Return one sample per user of a template."""
    return [(("acme", template, f"user-{n}", "7d"), number) for n, number in enumerate(numbers)]


ROWS = st.dictionaries(
    st.tuples(
        st.just("acme"),
        st.sampled_from(["go", "rust", "java"]),
        st.sampled_from([*"abcdefgh", OTHER]),
        st.sampled_from(["7d", "30d"]),
    ),
    st.integers(0, 5).map(float),
    max_size=40,
).map(lambda rows: list(rows.items()))


def test_family_within_its_limit_is_unchanged() -> None:
    rows = users(3, 1, 2)
    limited_family = limit_family(rows, 3)

    assert list(limited_family.samples.floats) == rows
    assert limited_family.folded == 0


def test_highest_series_stay_and_others_are_summed() -> None:
    limited_family = limit_family(users(5, 1, 9, 2), 3)

    assert values_by_labels(limited_family) == {
        ("acme", "go", "user-0", "7d"): 5,
        ("acme", "go", "user-2", "7d"): 9,
        ("acme", "go", OTHER, "7d"): 3,
    }
    assert limited_family.folded == 2


def test_each_template_and_window_has_its_own_other_series() -> None:
    values = values_by_labels(limit_family(users(5, 1, 1) + users(4, 2, 2, template="rust"), 4))

    assert values[("acme", "go", OTHER, "7d")] == 2
    assert values[("acme", "rust", OTHER, "7d")] == 4


def test_parameter_values_fold_like_users() -> None:
    rows = [(("acme", "go", "region", "string", f"value-{n}", "7d"), float(n)) for n in range(5)]
    values = values_by_labels(limit_family(rows, 2, family=TEMPLATE_PARAMETER_WORKSPACES))

    assert values[("acme", "go", "region", "string", OTHER, "7d")] == 0 + 1 + 2 + 3


def test_non_summable_families_drop_excess_series() -> None:
    limited_family = limit_family(users(0.3, 0.1, 0.2), 2, family=USER_LATENCY_P95)

    assert sorted(values_by_labels(limited_family).values()) == [0.2, 0.3]
    assert limited_family.folded == 1


@settings(max_examples=200)
@given(ROWS, st.integers(1, 45))
def test_limit_holds_and_sum_is_preserved(rows: list[FloatSample], limit: int) -> None:
    limited_family = limit_family(rows, limit)
    values = values_by_labels(limited_family)
    groups = {(labels[1], labels[3]) for labels, _ in rows}

    assert limited_family.series <= limit
    if limit >= len(groups):
        assert sum(values.values()) == sum(number for _, number in rows)


@settings(max_examples=200)
@given(ROWS, st.integers(1, 20), st.randoms(use_true_random=False))
def test_selection_is_independent_of_order(rows: list[FloatSample], limit: int, rng: random.Random) -> None:
    shuffled = rng.sample(rows, len(rows))

    assert values_by_labels(limit_family(rows, limit)) == values_by_labels(limit_family(shuffled, limit))


@settings(max_examples=200)
@given(ROWS.filter(lambda rows: len(rows) > 1), st.integers(0, 40))
def test_selected_series_are_at_least_as_high_as_dropped_ones(rows: list[FloatSample], drawn: int) -> None:
    limit = 1 + drawn % (len(rows) - 1)
    values = values_by_labels(limit_family(rows, limit, family=USER_LATENCY_P95))
    dropped = [number for labels, number in rows if labels not in values]

    assert len(values) == limit
    assert max(dropped) <= min(values.values())


def test_equal_label_sets_are_merged_when_allowed() -> None:
    rows = [*users(5), *users(2)]

    assert values_by_labels(limit_family(rows, 5)) == {("acme", "go", "user-0", "7d"): 7}


def test_equal_label_sets_keep_the_first_and_count_the_others() -> None:
    limited_family = limit_family([*users(5), *users(2)], 5, may_merge=False)

    assert values_by_labels(limited_family) == {("acme", "go", "user-0", "7d"): 5}
    assert limited_family.folded == 1


def counter_rows(**seconds: float) -> list[FloatSample]:
    """Return a counter sample per user."""
    return [(("acme", "go", name), value) for name, value in seconds.items()]


def test_limited_counter_is_monotonic_while_created_is_unchanged() -> None:
    """User c overtakes b between polls; selecting c instead of b would make ``_other`` decrease."""
    sticky_selection = StickySelection()
    before = values_by_labels(
        limit_family(
            counter_rows(a=9, b=5, c=4),
            2,
            family=USER_ACTIVITY,
            sticky_selection=sticky_selection,
            created=1.0,
        )
    )
    after = values_by_labels(
        limit_family(
            counter_rows(a=9, b=5, c=8, d=1),
            2,
            family=USER_ACTIVITY,
            sticky_selection=sticky_selection,
            created=1.0,
        )
    )

    assert before == {("acme", "go", "a"): 9, ("acme", "go", OTHER): 9}
    assert after == {("acme", "go", "a"): 9, ("acme", "go", OTHER): 14}


def test_new_created_time_resets_the_selection() -> None:
    sticky_selection = StickySelection()
    limit_family(
        counter_rows(a=9, b=5, c=4), 2, family=USER_ACTIVITY, sticky_selection=sticky_selection, created=1.0
    )
    after = values_by_labels(
        limit_family(
            counter_rows(a=0, b=0, c=3),
            2,
            family=USER_ACTIVITY,
            sticky_selection=sticky_selection,
            created=2.0,
        )
    )

    assert after == {("acme", "go", "c"): 3, ("acme", "go", OTHER): 0}


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=6), st.integers(1, 6)
)
def test_limited_counters_are_monotonic(steps: list[list[int]], limit: int) -> None:
    sticky_selection, totals, previous = StickySelection(), [0] * 6, dict[tuple[str, ...], float]()
    for step in steps:
        totals = [total + increment for total, increment in zip(totals, step, strict=True)]
        rows = [(("acme", "go", f"user-{n}"), float(total)) for n, total in enumerate(totals)]
        current = values_by_labels(
            limit_family(rows, limit, family=USER_ACTIVITY, sticky_selection=sticky_selection, created=1.0)
        )

        assert current.keys() >= previous.keys()
        assert all(current[labels] >= number for labels, number in previous.items())

        previous = current


def test_histograms_fold_per_bucket_and_count_series() -> None:
    counts = range(1, len(LATENCY_BUCKETS) + 2)
    histogram = Histogram.from_counts(counts, 2.0)
    rows: list[HistogramSample] = [(("acme", "go", f"user-{n}"), histogram) for n in range(4)]
    samples = FamilySamples(CONNECTION_LATENCY, rows, LATENCY_BUCKETS)
    limited_family = apply_limit(
        samples,
        2 * samples.series_per_row,
        may_merge=lambda _: True,
        sticky_selection=StickySelection(),
    )
    first, other = limited_family.samples.histograms

    assert first == rows[0]
    assert other == (("acme", "go", OTHER), Histogram.from_counts([3 * count for count in counts], 6.0))
    assert samples.series_per_row == len(LATENCY_BUCKETS) + len(("+Inf", "count", "sum"))
    assert limited_family.series == 2 * samples.series_per_row
    assert limited_family.folded == 3 * samples.series_per_row


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
def test_high_cardinality_is_bounded_in_memory_and_time(order: str) -> None:
    """Samples are generated one by one, so the traced peak is the memory of the limit itself."""

    def rows(count: int) -> Iterator[FloatSample]:
        for n in range(count):
            number = {"rising": n, "falling": count - n, "equal": 1}[order]
            yield ("acme", "go", f"user-{n * 7919 % count:07}", "7d"), float(number)

    def cpu_seconds(function: Callable[[], object]) -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    limited_family = limit_family(rows(100_000), 1_000)
    loop_seconds = min(cpu_seconds(lambda: sorted(rows(20_000))) for _ in range(3))
    limit_seconds = min(cpu_seconds(lambda: limit_family(rows(20_000), 1_000)) for _ in range(3))
    tracemalloc.start()
    limit_family(rows(20_000), 1_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert limited_family.series == 1_000
    assert limited_family.folded == 99_001
    assert peak < 2_000_000
    assert limit_seconds < 20 * loop_seconds
