"""A family never has more series than its limit, and what is folded is not lost."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.metrics.catalogue import (
    CONNECTION_LATENCY,
    LATENCY_BUCKETS,
    OTHER,
    TEMPLATE_PARAMETER_WORKSPACES,
    USER_ACTIVITY,
    USER_ACTIVITY_WINDOW,
    USER_LATENCY_P95,
)
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.limits import Limited, Standing, limited
from insights_exporter.metrics.text import Distribution, Number, Samples


def cut(
    rows: Iterable[Number],
    limit: int,
    *,
    family: Family = USER_ACTIVITY_WINDOW,
    standing: Standing | None = None,
    created: float | None = None,
    add: bool = True,
) -> Limited:
    """Return the rows of a family within a limit."""
    return limited(
        Samples(family, rows, created=created),
        limit,
        may_add=lambda _: add,
        standing=standing if standing is not None else Standing(),
    )


def served(found: Limited) -> dict[tuple[str, ...], float]:
    """Return the numbers by label values."""
    rows = list(found.samples.numbers)

    assert len(rows) == len(dict(rows)) == found.series

    return dict(rows)


def users(*numbers: float, template: str = "go") -> list[Number]:
    """Return a row per user of a template."""
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


def test_a_family_within_its_limit_is_left_alone() -> None:
    rows = users(3, 1, 2)
    found = cut(rows, 3)

    assert list(found.samples.numbers) == rows
    assert found.folded == 0


def test_the_highest_stay_and_the_rest_is_added_up() -> None:
    found = cut(users(5, 1, 9, 2), 3)

    assert served(found) == {
        ("acme", "go", "user-0", "7d"): 5,
        ("acme", "go", "user-2", "7d"): 9,
        ("acme", "go", OTHER, "7d"): 3,
    }
    assert found.folded == 2


def test_each_template_and_window_has_a_rest_of_its_own() -> None:
    found = served(cut(users(5, 1, 1) + users(4, 2, 2, template="rust"), 4))

    assert found[("acme", "go", OTHER, "7d")] == 2
    assert found[("acme", "rust", OTHER, "7d")] == 4


def test_values_of_a_parameter_fold_as_users_do() -> None:
    rows = [(("acme", "go", "region", "string", f"value-{n}", "7d"), float(n)) for n in range(5)]
    found = served(cut(rows, 2, family=TEMPLATE_PARAMETER_WORKSPACES))

    assert found[("acme", "go", "region", "string", OTHER, "7d")] == 0 + 1 + 2 + 3


def test_where_a_sum_means_nothing_the_rest_is_dropped() -> None:
    found = cut(users(0.3, 0.1, 0.2), 2, family=USER_LATENCY_P95)

    assert sorted(served(found).values()) == [0.2, 0.3]
    assert found.folded == 1


@settings(max_examples=200)
@given(ROWS, st.integers(1, 45))
def test_nothing_is_lost_and_the_limit_holds(rows: list[Number], limit: int) -> None:
    found = cut(rows, limit)
    numbers = served(found)
    groups = {(labels[1], labels[3]) for labels, _ in rows}

    assert found.series <= limit
    if limit >= len(groups):
        assert sum(numbers.values()) == sum(number for _, number in rows)


@settings(max_examples=200)
@given(ROWS, st.integers(1, 20), st.randoms(use_true_random=False))
def test_replicas_agree_whatever_the_order(rows: list[Number], limit: int, rng: random.Random) -> None:
    shuffled = rng.sample(rows, len(rows))

    assert served(cut(rows, limit)) == served(cut(shuffled, limit))


@settings(max_examples=200)
@given(ROWS, st.integers(1, 20))
def test_whoever_is_named_has_no_less_than_whoever_is_not(rows: list[Number], limit: int) -> None:
    numbers = served(cut(rows, limit, family=USER_LATENCY_P95))
    dropped = [number for labels, number in rows if labels not in numbers]

    assert max(dropped, default=0) <= min(numbers.values(), default=0)


def test_equal_label_sets_are_added_where_that_is_legal() -> None:
    rows = [*users(5), *users(2)]

    assert served(cut(rows, 5)) == {("acme", "go", "user-0", "7d"): 7}


def test_equal_label_sets_leave_the_first_where_it_is_not_and_the_rest_is_counted() -> None:
    found = cut([*users(5), *users(2)], 5, add=False)

    assert served(found) == {("acme", "go", "user-0", "7d"): 5}
    assert found.folded == 1


def counter(**seconds: float) -> list[Number]:
    """Return totals of users."""
    return [(("acme", "go", name), value) for name, value in seconds.items()]


def test_a_counter_never_falls_while_its_anchor_stays() -> None:
    """User c overtakes b between polls; naming c instead would take c's past from the rest."""
    standing = Standing()
    before = served(cut(counter(a=9, b=5, c=4), 2, family=USER_ACTIVITY, standing=standing, created=1.0))
    after = served(cut(counter(a=9, b=5, c=8, d=1), 2, family=USER_ACTIVITY, standing=standing, created=1.0))

    assert before == {("acme", "go", "a"): 9, ("acme", "go", OTHER): 9}
    assert after == {("acme", "go", "a"): 9, ("acme", "go", OTHER): 14}


def test_a_new_anchor_chooses_anew() -> None:
    standing = Standing()
    cut(counter(a=9, b=5, c=4), 2, family=USER_ACTIVITY, standing=standing, created=1.0)
    after = served(cut(counter(a=0, b=0, c=3), 2, family=USER_ACTIVITY, standing=standing, created=2.0))

    assert after == {("acme", "go", "c"): 3, ("acme", "go", OTHER): 0}


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=6), st.integers(1, 6)
)
def test_counters_never_fall_whoever_overtakes_whom(steps: list[list[int]], limit: int) -> None:
    standing, totals, last = Standing(), [0] * 6, dict[tuple[str, ...], float]()
    for step in steps:
        totals = [total + more for total, more in zip(totals, step, strict=True)]
        rows = [(("acme", "go", f"user-{n}"), float(total)) for n, total in enumerate(totals)]
        now = served(cut(rows, limit, family=USER_ACTIVITY, standing=standing, created=1.0))

        assert now.keys() >= last.keys()
        assert all(now[labels] >= number for labels, number in last.items())

        last = now


def test_a_histogram_folds_bucket_by_bucket_and_counts_its_lines() -> None:
    buckets = tuple(float(n) for n in range(1, len(LATENCY_BUCKETS) + 2))
    rows: list[Distribution] = [(("acme", "go", f"user-{n}"), buckets, 2.0) for n in range(4)]
    found = limited(
        Samples(CONNECTION_LATENCY, distributions=rows, bounds=LATENCY_BUCKETS),
        2 * 17,
        may_add=lambda _: True,
        standing=Standing(),
    )
    first, other = found.samples.distributions

    assert first == rows[0]
    assert other == (("acme", "go", OTHER), tuple(3 * count for count in buckets), 6.0)
    assert (found.series, found.folded) == (2 * 17, 3 * 17)


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
def test_hostile_numbers_of_rows_are_bounded_in_memory_and_time(order: str) -> None:
    """The rows come one by one, so what is held is what is counted here."""

    def rows(count: int) -> Iterator[Number]:
        for n in range(count):
            number = {"rising": n, "falling": count - n, "equal": 1}[order]
            yield ("acme", "go", f"user-{n * 7919 % count:07}", "7d"), float(number)

    began = time.process_time()
    found = cut(rows(100_000), 1_000)
    took = time.process_time() - began
    tracemalloc.start()
    cut(rows(20_000), 1_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.series == 1_000
    assert found.folded == 99_001
    assert peak < 8_000_000
    assert took < 5
