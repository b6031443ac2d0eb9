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
from insights_exporter.metrics.encoder.text import (
    FamilySamples,
    FloatSample,
    Format,
    HistogramSample,
    encode_families,
)

VALUES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["\n", '"', "\\", "\\n", "🦆", ""]
)
NUMBERS = st.floats() | st.integers(0, 10**15).map(float)
FamilyPair = tuple[list[FamilySamples], list[Metric]]


class Families(Collector):
    """Gives prometheus_client families that are ready."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def float_samples(label_count: int) -> st.SearchStrategy[list[FloatSample]]:
    """Return rows with that many labels."""
    return st.lists(st.tuples(st.tuples(*[VALUES] * label_count), NUMBERS), max_size=5)


HISTOGRAMS = st.lists(
    st.tuples(
        st.tuples(VALUES, VALUES, VALUES, VALUES),
        st.lists(st.integers(0, 9), min_size=15, max_size=15).map(
            lambda steps: tuple(float(sum(steps[: n + 1])) for n in range(15))
        ),
        st.floats(0, 1e9),
    ),
    max_size=3,
)


def family_pair(
    gauges: list[FloatSample],
    counters: list[FloatSample],
    latencies: list[HistogramSample],
    created: float | None,
) -> FamilyPair:
    """Return the same families for both renderers."""
    families = [
        FamilySamples(COLLECTION_ENABLED, [((), 1)]),
        FamilySamples(TEMPLATE_UNIQUE_USERS, gauges),
        FamilySamples(TEMPLATE_APP_USAGE, counters, created=created),
        FamilySamples(TEMPLATE_USER_LATENCY, histograms=latencies, bounds=LATENCY_BUCKETS),
        FamilySamples(
            APP_CONNECTION_LATENCY,
            histograms=[
                (values[:3], counts, observation_sum) for values, counts, observation_sum in latencies
            ],
            bounds=LATENCY_BUCKETS,
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
    for values, counts, observation_sum in latencies:
        histogram.add_metric(values, list(zip(bounds, counts, strict=True)), observation_sum)
        counter_histogram.add_metric(values[:3], list(zip(bounds, counts, strict=True)), observation_sum)
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

    assert generate_latest(Families(reference_families)) == bytes(encode_families(families, Format.TEXT))


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

    assert expected == bytes(encode_families(families, Format.OPENMETRICS))


@pytest.mark.parametrize("count", [1, 1999, 2000, 2001, 6000])
def test_block_boundaries_lose_no_sample(count: int) -> None:
    rows: list[FloatSample] = [(("acme", f"template {n}", "7d"), float(n)) for n in range(count)]
    body = encode_families([FamilySamples(TEMPLATE_UNIQUE_USERS, rows)], Format.OPENMETRICS).decode()
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    (family,) = parse(body)

    assert [number for _, number in rows] == [sample.value for sample in family.samples]


def test_text_format_has_no_created_series() -> None:
    samples = FamilySamples(TEMPLATE_APP_USAGE, [(("acme", "go", "ssh", "builtin"), 60.0)], created=1.0)

    assert b"_created" not in encode_families([samples], Format.TEXT)
