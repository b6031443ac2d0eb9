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

from insights_exporter.metrics.family import Kind
from insights_exporter.metrics.text import Format, Samples

__all__ = ["Reference", "reference", "reference_page"]


@dataclass(frozen=True, slots=True, eq=False)
class Reference(Collector):
    """Gives prometheus_client families that are ready."""

    metrics: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self.metrics


def reference(families: Iterable[Samples], form: Format) -> Reference:
    """Return the same families as objects of prometheus_client.

    In text it would turn the time at which counters began into series, so that is left out there.
    """
    return Reference([_metric(samples, began=form is Format.OPENMETRICS) for samples in families])


def reference_page(families: Collector, form: Format) -> bytes:
    """Return the page that prometheus_client writes."""
    if form is Format.TEXT:
        return generate_latest(families)
    page: bytes = generate_openmetrics(families)  # type: ignore[no-untyped-call]  # Ships no types.
    return page


def _metric(samples: Samples, *, began: bool) -> Metric:
    family, labels = samples.family, samples.family.labels
    if family.kind in {Kind.HISTOGRAM, Kind.GAUGE_HISTOGRAM}:
        kind = HistogramMetricFamily if family.kind is Kind.HISTOGRAM else GaugeHistogramMetricFamily
        histogram = kind(family.stem, family.help, labels=labels, unit=family.unit)
        bounds = [*map(str, samples.bounds), "+Inf"]
        for values, counts, total in samples.distributions:
            histogram.add_metric(values, list(zip(bounds, counts, strict=True)), total)
            if began and samples.created is not None:
                # The only part of a histogram that its class has no way to say.
                named = dict(zip(labels, values, strict=True))
                histogram.add_sample(f"{family.stem}_created", named, samples.created)
        return histogram
    if family.kind is Kind.COUNTER:
        counter = CounterMetricFamily(family.stem, family.help, labels=labels, unit=family.unit)
        for values, number in samples.numbers:
            counter.add_metric(values, number, created=samples.created if began else None)
        return counter
    if family.kind is Kind.INFO:
        info = Metric(family.stem, family.help, "info")
        info.samples = [
            Sample(family.name, dict(zip(labels, values, strict=True)), number)
            for values, number in samples.numbers
        ]
        return info
    gauge = GaugeMetricFamily(family.stem, family.help, labels=labels, unit=family.unit)
    for values, number in samples.numbers:
        gauge.add_metric(values, number)
    return gauge
