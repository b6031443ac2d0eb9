"""OpenTelemetry instruments of the self metrics, read through OpenTelemetry's Prometheus exporter.

``instrument_name`` and ``instrument_unit`` translate the catalogue to OpenTelemetry, also for OTLP. The
standard translation to Prometheus (dots to underscores, unit and ``_total`` appended) gives the family's name
back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    Counter,
    MeterProvider,
    ObservableGauge,
)
from opentelemetry.sdk.metrics import Histogram as OtelHistogram
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from insights_exporter import __version__
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples, Histogram, HistogramSample
from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = ["Instruments", "instrument_name", "instrument_unit"]

_CARDINALITY_LIMIT: Final = 10_000
"""Label sets per instrument; above it the SDK would merge unrelated label sets."""

_UCUM_UNITS: Final = {"seconds": "s", "bytes": "By", "": ""}


def instrument_name(family: Family) -> str:
    """Return the OpenTelemetry name, which translates back to the family's name."""
    # The translation appends nothing to an info. Gauge histograms become gauges, without a unit.
    name = family.name if family.type is MetricType.INFO else family.base_name
    if instrument_unit(family):
        name = name.removesuffix(f"_{family.unit}")
    return "coder.insights." + name.removeprefix(PREFIX).replace("exporter_", "exporter.", 1)


def instrument_unit(family: Family) -> str:
    """Return the unit in UCUM notation; none for a gauge histogram, whose gauges have different units."""
    return "" if family.type is MetricType.GAUGE_HISTOGRAM else _UCUM_UNITS[family.unit]


class Instruments:
    """One instrument per family, in a meter provider of its own: nothing is global."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = tuple(families)
        self.registry = CollectorRegistry()
        reader = PrometheusMetricReader(
            disable_target_info=True,
            scope_info_enabled=False,
            registry=self.registry,
            cardinality_limits={
                Counter: _CARDINALITY_LIMIT,
                OtelHistogram: _CARDINALITY_LIMIT,
                ObservableGauge: _CARDINALITY_LIMIT,
            },
        )
        buckets = ExplicitBucketHistogramAggregation(catalogue.DURATION_BUCKETS, record_min_max=False)
        self._provider = MeterProvider(
            metric_readers=[reader],
            resource=Resource.get_empty(),
            views=[View(instrument_type=OtelHistogram, aggregation=buckets)],
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        meter = self._provider.get_meter("insights_exporter", __version__)
        self._gauges: dict[Family, dict[tuple[str, ...], float]] = {}
        self._counters, self._histograms = {}, {}
        for family in self._families:
            name, unit = instrument_name(family), instrument_unit(family)
            if family.type is MetricType.COUNTER:
                self._counters[family] = meter.create_counter(name, unit, family.help)
            elif family.type is MetricType.HISTOGRAM:
                self._histograms[family] = meter.create_histogram(name, unit, family.help)
            else:
                self._gauges[family] = {}
                meter.create_observable_gauge(name, [self._gauge_callback(family)], unit, family.help)

    def add(self, family: Family, amount: float, *labels: str) -> None:
        """Add an amount to a counter."""
        self._counters[family].add(amount, _attributes(family, labels))

    def record(self, family: Family, seconds: float, *labels: str) -> None:
        """Observe a duration in a histogram."""
        self._histograms[family].record(seconds, _attributes(family, labels))

    def set(self, family: Family, value: float, *labels: str) -> None:
        """Set one series of a gauge."""
        self._gauges[family][labels] = float(value)

    def replace(self, family: Family, values: Mapping[tuple[str, ...], float]) -> None:
        """Set all series of a gauge; label sets that are missing here disappear."""
        self._gauges[family] = {labels: float(value) for labels, value in values.items()}

    def samples(self) -> list[FamilySamples]:
        """Return the current samples, in the order of the families."""
        metrics = {metric.name: metric for metric in self.registry.collect()}
        return [
            _family_samples(family, metrics[family.base_name])
            for family in self._families
            if family.base_name in metrics
        ]

    def shutdown(self) -> None:
        """Stop the meter provider."""
        self._provider.shutdown()

    def _gauge_callback(self, family: Family) -> Callable[[CallbackOptions], Iterable[Observation]]:
        # An observable gauge: the SDK drops the value of a synchronous one after each collection.
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            values = dict(self._gauges[family])
            return [Observation(value, _attributes(family, labels)) for labels, value in values.items()]

        return observe


def _attributes(family: Family, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(family.labels, labels, strict=True))


def _family_samples(family: Family, metric: Metric) -> FamilySamples:
    if family.type is not MetricType.HISTOGRAM:
        return FamilySamples(
            family, [(_label_values(family, sample), float(sample.value)) for sample in metric.samples]
        )
    # Each label set has its buckets, then count and sum.
    bounds = catalogue.DURATION_BUCKETS
    samples_per_histogram = len(bounds) + 3
    rows: list[HistogramSample] = []
    for start in range(0, len(metric.samples), samples_per_histogram):
        *buckets, _, total = metric.samples[start : start + samples_per_histogram]
        counts = [int(upper - lower) for lower, upper in pairwise((0.0, *(item.value for item in buckets)))]
        rows.append((_label_values(family, total), Histogram.from_counts(counts, float(total.value))))
    return FamilySamples(family, rows, bounds)


def _label_values(family: Family, sample: Sample) -> tuple[str, ...]:
    return tuple([sample.labels[label] for label in family.labels])
