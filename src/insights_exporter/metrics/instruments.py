"""OpenTelemetry instruments for families of the catalogue, read through its Prometheus exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    ObservableGauge,
)
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from insights_exporter import __version__
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder.text import FamilySamples, HistogramSample
from insights_exporter.metrics.family import Family, MetricType
from insights_exporter.metrics.naming import instrument_name, instrument_unit

__all__ = ["Instruments"]

# Far above what can occur; beyond it the SDK would add up unlike things.
_CARDINALITY_LIMIT: Final = 10_000


class Instruments:
    """An instrument per family, in a provider of their own; nothing is global.

    ``readers`` are further readers of the same instruments.
    """

    def __init__(self, families: Iterable[Family], readers: Sequence[MetricReader] = ()) -> None:
        self._families = tuple(families)
        self.registry = CollectorRegistry()
        reader = PrometheusMetricReader(
            disable_target_info=True,
            scope_info_enabled=False,
            registry=self.registry,
            cardinality_limits={
                Counter: _CARDINALITY_LIMIT,
                Histogram: _CARDINALITY_LIMIT,
                ObservableGauge: _CARDINALITY_LIMIT,
            },
        )
        buckets = ExplicitBucketHistogramAggregation(catalogue.DURATION_BUCKETS, record_min_max=False)
        self._provider = MeterProvider(
            metric_readers=[reader, *readers],
            resource=Resource.get_empty(),
            views=[View(instrument_type=Histogram, aggregation=buckets)],
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
        """Add to a counter."""
        self._counters[family].add(amount, _attributes(family, labels))

    def record(self, family: Family, seconds: float, *labels: str) -> None:
        """Observe a duration."""
        self._histograms[family].record(seconds, _attributes(family, labels))

    def set(self, family: Family, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._gauges[family][labels] = float(value)

    def replace(self, family: Family, values: Mapping[tuple[str, ...], float]) -> None:
        """Set all of a gauge at once; what is not named ends."""
        self._gauges[family] = {labels: float(value) for labels, value in values.items()}

    def samples(self) -> list[FamilySamples]:
        """Return what there is now, in the order of the families."""
        metrics = {metric.name: metric for metric in self.registry.collect()}
        return [
            _family_samples(family, metrics[family.base_name])
            for family in self._families
            if family.base_name in metrics
        ]

    def shutdown(self) -> None:
        """Let readers push what is left, and stop."""
        self._provider.shutdown()

    def _gauge_callback(self, family: Family) -> Callable[[CallbackOptions], Iterable[Observation]]:
        # Gauges are observed, as those that are set lose their value once a reader has seen it.
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
    # For each label set there are its buckets, then count and sum.
    bounds, samples_per_histogram = catalogue.DURATION_BUCKETS, len(catalogue.DURATION_BUCKETS) + 3
    rows: list[HistogramSample] = []
    for start in range(0, len(metric.samples), samples_per_histogram):
        *buckets, _, total = metric.samples[start : start + samples_per_histogram]
        rows.append(
            (_label_values(family, total), tuple([float(bucket.value) for bucket in buckets]), total.value)
        )
    return FamilySamples(family, histograms=rows, bounds=bounds)


def _label_values(family: Family, sample: Sample) -> tuple[str, ...]:
    return tuple([sample.labels[label] for label in family.labels])
