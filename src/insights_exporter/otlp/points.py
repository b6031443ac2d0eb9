"""Families as streams of OpenTelemetry's data points.

Counters become monotonic sums and histograms become histograms, both cumulative since the moment when their
counting began; gauges and infos become gauges. A histogram of a moment, which may fall, has no counterpart: a
histogram of OpenTelemetry only ever grows, or tells what was added since the last one. So it becomes the
gauges that it is made of, ``….bucket`` with the attribute ``le``, ``….gcount`` and ``….gsum``.

Where observations were counted by exponential bucket, the histogram is an exponential one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, TypeAlias

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from insights_exporter.metrics.encoder.number_format import format_float
from insights_exporter.metrics.encoder.text import FamilySamples, FloatSample
from insights_exporter.metrics.family import Family, MetricType
from insights_exporter.metrics.naming import instrument_name, instrument_unit
from insights_exporter.metrics.otlp.exponential import MAX_BUCKETS, exponential_histogram_points

__all__ = ["MetricStream", "Point", "Timestamps", "metric_streams", "to_unix_nanos"]

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
MetricData: TypeAlias = Sum | Gauge | Histogram | ExponentialHistogram


@dataclass(frozen=True, slots=True)
class Timestamps:
    """When an export is made, and when what has no beginning of its own began; in nanoseconds since 1970."""

    time: int
    start_time: int


@dataclass(frozen=True, slots=True)
class MetricStream:
    """A metric whose points are made while they are read; ``width`` is what each has beside attributes."""

    name: str
    unit: str
    help: str
    points: Iterable[Point]
    wrap: Callable[[list[Any]], MetricData]
    bytes_per_point: int = 32

    def metric(self, points: list[Point]) -> Metric:
        """Return the metric with some of its points."""
        return Metric(self.name, self.help, self.unit, self.wrap(points))


def to_unix_nanos(seconds: float) -> int:
    """Return a time of day in nanoseconds, exact to the microsecond that it was measured with."""
    return round(seconds * 1_000_000) * 1000


def metric_streams(samples: FamilySamples, timestamps: Timestamps) -> Iterator[MetricStream]:
    """Yield what a family is in OpenTelemetry."""
    family = samples.family
    name, unit = instrument_name(family), instrument_unit(family)
    # A clock that is ahead of ours may have told when counting began.
    start_time = timestamps.start_time if samples.created is None else to_unix_nanos(samples.created)
    start_time = min(start_time, timestamps.time)
    if family.type is MetricType.COUNTER:
        points = _number_points(family.labels, samples.floats, start_time, timestamps.time)
        yield MetricStream(name, unit, family.help, points, _sum)
    elif family.type is MetricType.HISTOGRAM and samples.exponential_buckets is not None:
        bytes_per_point = 64 + 5 * MAX_BUCKETS
        yield MetricStream(
            name,
            unit,
            family.help,
            exponential_histogram_points(samples, start_time, timestamps.time),
            _exponential,
            bytes_per_point,
        )
    elif family.type is MetricType.HISTOGRAM:
        bytes_per_point = 48 + 16 * (len(samples.bounds) + 1)
        yield MetricStream(
            name,
            unit,
            family.help,
            _histogram_points(samples, start_time, timestamps.time),
            _histogram,
            bytes_per_point,
        )
    elif family.type is MetricType.GAUGE_HISTOGRAM:
        for suffix, labels, floats in _gauge_histogram_series(samples):
            points = _number_points(labels, floats, 0, timestamps.time)
            yield MetricStream(f"{name}.{suffix}", unit, family.help, points, Gauge)
    else:
        points = _number_points(family.labels, samples.floats, 0, timestamps.time)
        yield MetricStream(name, unit, family.help, points, Gauge)


def _sum(points: list[NumberDataPoint]) -> Sum:
    return Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)


def _histogram(points: list[HistogramDataPoint]) -> Histogram:
    return Histogram(points, AggregationTemporality.CUMULATIVE)


def _exponential(points: list[ExponentialHistogramDataPoint]) -> ExponentialHistogram:
    return ExponentialHistogram(points, AggregationTemporality.CUMULATIVE)


def _number_points(
    labels: tuple[str, ...], floats: Iterable[FloatSample], start_time: int, time: int
) -> Iterator[NumberDataPoint]:
    for values, number in floats:
        yield NumberDataPoint(dict(zip(labels, values, strict=True)), start_time, time, number)


def _histogram_points(samples: FamilySamples, start_time: int, time: int) -> Iterator[HistogramDataPoint]:
    labels = samples.family.labels
    for values, counts, total in samples.histograms:
        yield HistogramDataPoint(
            attributes=dict(zip(labels, values, strict=True)),
            start_time_unix_nano=start_time,
            time_unix_nano=time,
            count=int(counts[-1]),
            sum=total,
            bucket_counts=[int(upper - lower) for lower, upper in pairwise((0.0, *counts))],
            explicit_bounds=samples.bounds,
            # Nobody knows them, and what is None is not sent.
            min=None,  # type: ignore[arg-type]  # The library's own type forgets that it is optional.
            max=None,  # type: ignore[arg-type]  # As above.
        )


def _gauge_histogram_series(
    samples: FamilySamples,
) -> Iterator[tuple[str, tuple[str, ...], Iterable[FloatSample]]]:
    """Yield the gauges of a histogram of a moment: ending, labels, numbers."""
    family: Family = samples.family
    bounds = [format_float(bound) for bound in (*samples.bounds, inf)]
    buckets = (
        ((*values, bound), count)
        for values, counts, _ in samples.histograms
        for bound, count in zip(bounds, counts, strict=True)
    )
    yield "bucket", (*family.labels, "le"), buckets
    yield "gcount", family.labels, ((values, counts[-1]) for values, counts, _ in samples.histograms)
    yield "gsum", family.labels, ((values, total) for values, _, total in samples.histograms)
