"""Metric families as OpenTelemetry metrics.

Counters become monotonic sums and histograms become histograms, both cumulative; gauges and infos become
gauges. OpenTelemetry has no gauge histogram, so it becomes three gauges: ``….bucket`` with the attribute
``le``, ``….gcount`` and ``….gsum``. A histogram with exponential buckets becomes an exponential histogram.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeAlias

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from insights_exporter.metrics.catalogue import LATENCY_SCALE
from insights_exporter.metrics.encoder import FamilySamples, FloatSample, format_float
from insights_exporter.metrics.family import MetricType
from insights_exporter.metrics.instruments import instrument_name, instrument_unit

__all__ = [
    "MAX_BUCKETS",
    "MetricStream",
    "Point",
    "Timestamps",
    "downscale",
    "metric_streams",
    "to_unix_nanos",
]

MAX_BUCKETS: Final = 160
"""Buckets of an exponential histogram, the default of OpenTelemetry's own aggregation."""

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
MetricData: TypeAlias = Sum | Gauge | Histogram | ExponentialHistogram


@dataclass(frozen=True, slots=True)
class Timestamps:
    """Unix nanoseconds of the push, and of the start of counters without a creation time of their own."""

    time: int
    start_time: int


@dataclass(frozen=True, slots=True)
class MetricStream:
    """A metric whose points are created while they are read; ``bytes_per_point`` excludes attributes."""

    name: str
    unit: str
    help: str
    points: Iterable[Point]
    wrap: Callable[[list[Any]], MetricData]
    bytes_per_point: int = 32

    def metric(self, points: list[Point]) -> Metric:
        """Return a metric with some of the points."""
        return Metric(self.name, self.help, self.unit, self.wrap(points))


def to_unix_nanos(seconds: float) -> int:
    """Return Unix seconds in nanoseconds, rounded to microseconds."""
    return round(seconds * 1_000_000) * 1000


def metric_streams(samples: FamilySamples, timestamps: Timestamps) -> Iterator[MetricStream]:
    """Yield the OpenTelemetry metrics of a family."""
    family = samples.family
    name, unit = instrument_name(family), instrument_unit(family)
    # The start time may come from the database's clock, which may be ahead.
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
            _exponential_points(samples, start_time, timestamps.time),
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
    for values, histogram in samples.histograms:
        yield HistogramDataPoint(
            attributes=dict(zip(labels, values, strict=True)),
            start_time_unix_nano=start_time,
            time_unix_nano=time,
            count=histogram.count,
            sum=histogram.sum,
            bucket_counts=list(histogram.counts),
            explicit_bounds=samples.bounds,
            # Unknown; None is not sent.
            min=None,  # type: ignore[arg-type]  # The library's type lacks that it is optional.
            max=None,  # type: ignore[arg-type]  # As above.
        )


def _exponential_points(
    samples: FamilySamples, start_time: int, time: int
) -> Iterator[ExponentialHistogramDataPoint]:
    labels, counts_by_labels = samples.family.labels, dict(samples.exponential_buckets or ())
    for values, histogram in samples.histograms:
        scale, offset, counts = downscale(counts_by_labels.get(values, {}))
        yield ExponentialHistogramDataPoint(
            attributes=dict(zip(labels, values, strict=True)),
            start_time_unix_nano=start_time,
            time_unix_nano=time,
            count=sum(counts),
            sum=histogram.sum,
            scale=scale,
            zero_count=0,
            positive=Buckets(offset, counts),
            negative=Buckets(0, []),
            flags=0,
            min=None,  # type: ignore[arg-type]  # As above.
            max=None,  # type: ignore[arg-type]  # As above.
        )


def downscale(bucket_counts: Mapping[int, int]) -> tuple[int, int, list[int]]:
    """Return scale, index of the first bucket and counts, at the highest scale with at most MAX_BUCKETS.

    Each step down merges pairs of adjacent buckets.
    """
    scale, counts = LATENCY_SCALE, Counter(bucket_counts)
    if not counts:
        return scale, 0, []
    while max(counts) - min(counts) >= MAX_BUCKETS:
        scale, merged = scale - 1, Counter[int]()
        for index, count in counts.items():
            merged[index >> 1] += count
        counts = merged
    offset = min(counts)
    return scale, offset, [counts[index] for index in range(offset, max(counts) + 1)]


def _gauge_histogram_series(
    samples: FamilySamples,
) -> Iterator[tuple[str, tuple[str, ...], Iterable[FloatSample]]]:
    """Yield suffix, labels and samples of the gauges of a gauge histogram."""
    labels, rows = samples.family.labels, list(samples.histograms)
    bounds = [format_float(bound) for bound in (*samples.bounds, inf)]
    buckets = (
        ((*values, bound), float(count))
        for values, histogram in rows
        for bound, count in zip(bounds, histogram.cumulative_counts, strict=True)
    )
    yield "bucket", (*labels, "le"), buckets
    yield "gcount", labels, ((values, float(histogram.count)) for values, histogram in rows)
    yield "gsum", labels, ((values, histogram.sum) for values, histogram in rows)
