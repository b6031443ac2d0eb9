"""The page equals, byte by byte, what prometheus_client writes for the same families."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from insights_exporter.metrics.catalogue import (
    APP_CONNECTION_LATENCY,
    COLLECTION_ENABLED,
    LATENCY_BUCKETS,
    TEMPLATE_APP_USAGE,
    TEMPLATE_UNIQUE_USERS,
    TEMPLATE_USER_LATENCY,
)
from insights_exporter.metrics.text import Distribution, Format, Number, Samples, render

VALUES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["\n", '"', "\\", "\\n", "🦆", ""]
)
NUMBERS = st.floats() | st.integers(0, 10**15).map(float)
Pages = tuple[list[Samples], list[Metric]]


class Families(Collector):
    """Gives prometheus_client families that are ready."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def numbers(columns: int) -> st.SearchStrategy[list[Number]]:
    """Return rows with that many labels."""
    return st.lists(st.tuples(st.tuples(*[VALUES] * columns), NUMBERS), max_size=5)


DISTRIBUTIONS = st.lists(
    st.tuples(
        st.tuples(VALUES, VALUES, VALUES, VALUES),
        st.lists(st.integers(0, 9), min_size=15, max_size=15).map(
            lambda steps: tuple(float(sum(steps[: n + 1])) for n in range(15))
        ),
        st.floats(0, 1e9),
    ),
    max_size=3,
)


def pages(
    gauges: list[Number], counters: list[Number], latencies: list[Distribution], created: float | None
) -> Pages:
    """Return the same families for both renderers."""
    ours = [
        Samples(COLLECTION_ENABLED, [((), 1)]),
        Samples(TEMPLATE_UNIQUE_USERS, gauges),
        Samples(TEMPLATE_APP_USAGE, counters, created=created),
        Samples(TEMPLATE_USER_LATENCY, distributions=latencies, bounds=LATENCY_BUCKETS),
        Samples(
            APP_CONNECTION_LATENCY,
            distributions=[(values[:3], counts, observed) for values, counts, observed in latencies],
            bounds=LATENCY_BUCKETS,
            created=created,
        ),
    ]
    enabled = GaugeMetricFamily(COLLECTION_ENABLED.stem, COLLECTION_ENABLED.help, value=1)
    gauge = GaugeMetricFamily(
        TEMPLATE_UNIQUE_USERS.stem, TEMPLATE_UNIQUE_USERS.help, labels=TEMPLATE_UNIQUE_USERS.labels
    )
    counter = CounterMetricFamily(
        TEMPLATE_APP_USAGE.stem, TEMPLATE_APP_USAGE.help, labels=TEMPLATE_APP_USAGE.labels, unit="seconds"
    )
    histogram = GaugeHistogramMetricFamily(
        TEMPLATE_USER_LATENCY.stem,
        TEMPLATE_USER_LATENCY.help,
        labels=TEMPLATE_USER_LATENCY.labels,
        unit="seconds",
    )
    counting = HistogramMetricFamily(
        APP_CONNECTION_LATENCY.stem,
        APP_CONNECTION_LATENCY.help,
        labels=APP_CONNECTION_LATENCY.labels,
        unit="seconds",
    )
    for values, number in gauges:
        gauge.add_metric(values, number)
    for values, number in counters:
        counter.add_metric(values, number, created=created)
    bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
    for values, counts, observed in latencies:
        histogram.add_metric(values, list(zip(bounds, counts, strict=True)), observed)
        counting.add_metric(values[:3], list(zip(bounds, counts, strict=True)), observed)
        if created is not None:
            named = dict(zip(APP_CONNECTION_LATENCY.labels, values[:3], strict=True))
            counting.add_sample(f"{APP_CONNECTION_LATENCY.stem}_created", named, created)
    return ours, [enabled, gauge, counter, histogram, counting]


@settings(max_examples=150)
@given(numbers(3), numbers(4), DISTRIBUTIONS)
def test_text_equals_the_reference(
    gauges: list[Number], counters: list[Number], latencies: list[Distribution]
) -> None:
    ours, theirs = pages(gauges, counters, latencies, None)

    assert generate_latest(Families(theirs)) == bytes(render(ours, Format.TEXT))


@settings(max_examples=150)
@given(numbers(3), numbers(4), DISTRIBUTIONS, st.none() | st.floats(1, 2e9))
def test_openmetrics_equals_the_reference(
    gauges: list[Number], counters: list[Number], latencies: list[Distribution], created: float | None
) -> None:
    ours, theirs = pages(gauges, counters, latencies, created)

    expected: bytes = generate_openmetrics(Families(theirs))  # type: ignore[no-untyped-call]  # Ships no types.

    assert expected == bytes(render(ours, Format.OPENMETRICS))


@pytest.mark.parametrize("count", [1, 1999, 2000, 2001, 6000])
def test_no_row_is_lost_between_blocks(count: int) -> None:
    rows: list[Number] = [(("acme", f"template {n}", "7d"), float(n)) for n in range(count)]
    page = render([Samples(TEMPLATE_UNIQUE_USERS, rows)], Format.OPENMETRICS).decode()
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    (family,) = parse(page)

    assert [number for _, number in rows] == [sample.value for sample in family.samples]


def test_text_does_not_turn_the_anchor_into_series() -> None:
    samples = Samples(TEMPLATE_APP_USAGE, [(("acme", "go", "ssh", "builtin"), 60.0)], created=1.0)

    assert b"_created" not in render([samples], Format.TEXT)
