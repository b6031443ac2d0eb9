"""The same families as objects of prometheus_client, which says how a page has to look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from insights_exporter.metrics.encoder.text import FamilySamples, Format
from insights_exporter.metrics.family import MetricType

__all__ = ["ReferenceCollector", "reference_collector", "reference_exposition"]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceCollector(Collector):
    """Gives prometheus_client families that are ready."""

    metrics: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self.metrics


def reference_collector(families: Iterable[FamilySamples], exposition_format: Format) -> ReferenceCollector:
    """Return the same families as objects of prometheus_client.

    In text it would turn the time at which counters began into series, so that is left out there.
    """
    return ReferenceCollector(
        [
            to_client_metric(samples, with_created=exposition_format is Format.OPENMETRICS)
            for samples in families
        ]
    )


def reference_exposition(families: Collector, exposition_format: Format) -> bytes:
    """Return the page that prometheus_client writes."""
    if exposition_format is Format.TEXT:
        return generate_latest(families)
    body: bytes = generate_openmetrics(families)  # type: ignore[no-untyped-call]  # Ships no types.
    return body


def to_client_metric(samples: FamilySamples, *, with_created: bool) -> Metric:
    family, labels = samples.family, samples.family.labels
    if family.type in {MetricType.HISTOGRAM, MetricType.GAUGE_HISTOGRAM}:
        histogram_type = (
            HistogramMetricFamily if family.type is MetricType.HISTOGRAM else GaugeHistogramMetricFamily
        )
        histogram = histogram_type(family.base_name, family.help, labels=labels, unit=family.unit)
        bounds = [*map(str, samples.bounds), "+Inf"]
        for values, counts, total in samples.histograms:
            histogram.add_metric(values, list(zip(bounds, counts, strict=True)), total)
            if with_created and samples.created is not None:
                # The only part of a histogram that its class has no way to say.
                labels_by_name = dict(zip(labels, values, strict=True))
                histogram.add_sample(f"{family.base_name}_created", labels_by_name, samples.created)
        return histogram
    if family.type is MetricType.COUNTER:
        counter = CounterMetricFamily(family.base_name, family.help, labels=labels, unit=family.unit)
        for values, number in samples.floats:
            counter.add_metric(values, number, created=samples.created if with_created else None)
        return counter
    if family.type is MetricType.INFO:
        info = Metric(family.base_name, family.help, "info")
        info.samples = [
            Sample(family.name, dict(zip(labels, values, strict=True)), number)
            for values, number in samples.floats
        ]
        return info
    gauge = GaugeMetricFamily(family.base_name, family.help, labels=labels, unit=family.unit)
    for values, number in samples.floats:
        gauge.add_metric(values, number)
    return gauge
