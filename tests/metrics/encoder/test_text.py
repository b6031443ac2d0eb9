"""Text of families: equal to the output of prometheus_client, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate

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
from insights_exporter.metrics.encoder import (
    FamilySamples,
    FloatSample,
    Format,
    Histogram,
    HistogramSample,
)
from insights_exporter.metrics.encoder.text import BLOCK_ROWS
from tests.support.exposition_text import encode_exposition, encode_family

VALUES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["\n", '"', "\\", "\\n", "🦆", ""]
)

NUMBERS = st.floats() | st.integers(0, 10**15).map(float)
FamilyPair = tuple[list[FamilySamples], list[Metric]]


class Families(Collector):
    """Collector of ready families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


def float_samples(label_count: int) -> st.SearchStrategy[list[FloatSample]]:
    """Return samples with that many labels."""
    return st.lists(st.tuples(st.tuples(*[VALUES] * label_count), NUMBERS), max_size=5)


BUCKET_COUNT = len(LATENCY_BUCKETS) + 1
HISTOGRAMS = st.lists(
    st.tuples(
        st.tuples(VALUES, VALUES, VALUES, VALUES),
        st.builds(
            Histogram.from_counts,
            st.lists(st.integers(0, 9), min_size=BUCKET_COUNT, max_size=BUCKET_COUNT),
            st.floats(0, 1e9),
        ),
    ),
    max_size=3,
)


def family_pair(
    gauges: list[FloatSample],
    counters: list[FloatSample],
    latencies: list[HistogramSample],
    created: float | None,
) -> FamilyPair:
    """Return the same families for this encoder and for prometheus_client."""
    families = [
        FamilySamples(COLLECTION_ENABLED, [((), 1)]),
        FamilySamples(TEMPLATE_UNIQUE_USERS, gauges),
        FamilySamples(TEMPLATE_APP_USAGE, counters, created=created),
        FamilySamples(TEMPLATE_USER_LATENCY, latencies, LATENCY_BUCKETS),
        FamilySamples(
            APP_CONNECTION_LATENCY,
            [(values[:3], histogram) for values, histogram in latencies],
            LATENCY_BUCKETS,
            created=created,
        ),
    ]
    enabled = GaugeMetricFamily(COLLECTION_ENABLED.base_name, COLLECTION_ENABLED.help, value=1)
    gauge = GaugeMetricFamily(
        TEMPLATE_UNIQUE_USERS.base_name, TEMPLATE_UNIQUE_USERS.help, labels=TEMPLATE_UNIQUE_USERS.labels
    )
    counter = CounterMetricFamily(
        TEMPLATE_APP_USAGE.base_name,
        TEMPLATE_APP_USAGE.help,
        labels=TEMPLATE_APP_USAGE.labels,
        unit="seconds",
    )
    histogram = GaugeHistogramMetricFamily(
        TEMPLATE_USER_LATENCY.base_name,
        TEMPLATE_USER_LATENCY.help,
        labels=TEMPLATE_USER_LATENCY.labels,
        unit="seconds",
    )
    counter_histogram = HistogramMetricFamily(
        APP_CONNECTION_LATENCY.base_name,
        APP_CONNECTION_LATENCY.help,
        labels=APP_CONNECTION_LATENCY.labels,
        unit="seconds",
    )
    for values, number in gauges:
        gauge.add_metric(values, number)
    for values, number in counters:
        counter.add_metric(values, number, created=created)
    bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
    for values, value in latencies:
        buckets = list(zip(bounds, map(float, accumulate(value.counts)), strict=True))
        histogram.add_metric(values, buckets, value.sum)
        counter_histogram.add_metric(values[:3], buckets, value.sum)
        if created is not None:
            labels = dict(zip(APP_CONNECTION_LATENCY.labels, values[:3], strict=True))
            counter_histogram.add_sample(f"{APP_CONNECTION_LATENCY.base_name}_created", labels, created)
    return families, [enabled, gauge, counter, histogram, counter_histogram]


@settings(max_examples=150)
@given(float_samples(3), float_samples(4), HISTOGRAMS)
def test_text_equals_prometheus_client(
    gauges: list[FloatSample], counters: list[FloatSample], latencies: list[HistogramSample]
) -> None:
    families, reference_families = family_pair(gauges, counters, latencies, None)

    assert generate_latest(Families(reference_families)) == encode_exposition(families, Format.TEXT)


@settings(max_examples=150)
@given(float_samples(3), float_samples(4), HISTOGRAMS, st.none() | st.floats(1, 2e9))
def test_openmetrics_equals_prometheus_client(
    gauges: list[FloatSample],
    counters: list[FloatSample],
    latencies: list[HistogramSample],
    created: float | None,
) -> None:
    families, reference_families = family_pair(gauges, counters, latencies, created)

    expected: bytes = generate_openmetrics(Families(reference_families))  # type: ignore[no-untyped-call]  # Ships no types.

    assert expected == encode_exposition(families, Format.OPENMETRICS)


@pytest.mark.parametrize("count", [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS])
def test_block_boundaries_lose_no_sample(count: int) -> None:
    rows: list[FloatSample] = [(("acme", f"template {n}", "7d"), float(n)) for n in range(count)]
    body = encode_exposition([FamilySamples(TEMPLATE_UNIQUE_USERS, rows)], Format.OPENMETRICS).decode()
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    (family,) = parse(body)

    assert [number for _, number in rows] == [sample.value for sample in family.samples]


def test_text_format_has_no_created_series() -> None:
    samples = FamilySamples(TEMPLATE_APP_USAGE, [(("acme", "go", "ssh", "builtin"), 60.0)], created=1.0)

    assert b"_created" not in encode_family(samples, Format.TEXT)
    assert b"_created" in encode_family(samples, Format.OPENMETRICS)
