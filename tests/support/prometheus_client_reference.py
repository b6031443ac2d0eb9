"""The families as objects of prometheus_client, the reference of the text formats."""

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
from prometheus_client.utils import floatToGoString

from insights_exporter.metrics.encoder import FamilySamples, Format
from insights_exporter.metrics.family import MetricType

__all__ = ["ReferenceCollector", "reference_collector", "reference_exposition"]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceCollector(Collector):
    """A collector of given families."""

    metrics: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self.metrics


def reference_collector(families: Iterable[FamilySamples], exposition_format: Format) -> ReferenceCollector:
    """Return the families as objects of prometheus_client.

    Start times are omitted in the text format, where prometheus_client would add them as series.
    """
    return ReferenceCollector(
        [
            to_client_metric(samples, with_created=exposition_format is Format.OPENMETRICS)
            for samples in families
        ]
    )


def reference_exposition(families: Collector, exposition_format: Format) -> bytes:
    """Return the exposition of prometheus_client."""
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
        bounds = [*map(floatToGoString, samples.bounds), "+Inf"]
        for values, value in samples.histograms:
            counts = map(float, value.cumulative_counts)
            histogram.add_metric(values, list(zip(bounds, counts, strict=True)), value.sum)
            if with_created and samples.created is not None:
                # The class has no parameter for this part of a histogram.
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
