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

from insights_exporter.metrics.family import Family, Kind
from insights_exporter.metrics.naming import instrument_name, instrument_unit
from insights_exporter.metrics.notation import written
from insights_exporter.metrics.otlp.exponential import MOST_BUCKETS, exponentials
from insights_exporter.metrics.text import Number, Samples

__all__ = ["Moment", "Point", "Stream", "nanoseconds", "streams"]

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
Data: TypeAlias = Sum | Gauge | Histogram | ExponentialHistogram


@dataclass(frozen=True, slots=True)
class Moment:
    """When an export is made, and when what has no beginning of its own began; in nanoseconds since 1970."""

    at: int
    began: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A metric whose points are made while they are read; ``width`` is what each has beside attributes."""

    name: str
    unit: str
    help: str
    points: Iterable[Point]
    wrap: Callable[[list[Any]], Data]
    width: int = 32

    def metric(self, points: list[Point]) -> Metric:
        """Return the metric with some of its points."""
        return Metric(self.name, self.help, self.unit, self.wrap(points))


def nanoseconds(seconds: float) -> int:
    """Return a time of day in nanoseconds, exact to the microsecond that it was measured with."""
    return round(seconds * 1_000_000) * 1000


def streams(samples: Samples, moment: Moment) -> Iterator[Stream]:
    """Yield what a family is in OpenTelemetry."""
    family = samples.family
    name, unit = instrument_name(family), instrument_unit(family)
    # A clock that is ahead of ours may have told when counting began.
    began = moment.began if samples.created is None else nanoseconds(samples.created)
    began = min(began, moment.at)
    if family.kind is Kind.COUNTER:
        points = _numbers(family.labels, samples.numbers, began, moment.at)
        yield Stream(name, unit, family.help, points, _sum)
    elif family.kind is Kind.HISTOGRAM and samples.fine is not None:
        width = 64 + 5 * MOST_BUCKETS
        yield Stream(name, unit, family.help, exponentials(samples, began, moment.at), _exponential, width)
    elif family.kind is Kind.HISTOGRAM:
        width = 48 + 16 * (len(samples.bounds) + 1)
        yield Stream(name, unit, family.help, _histograms(samples, began, moment.at), _histogram, width)
    elif family.kind is Kind.GAUGE_HISTOGRAM:
        for ending, labels, numbers in _parts(samples):
            points = _numbers(labels, numbers, 0, moment.at)
            yield Stream(f"{name}.{ending}", unit, family.help, points, Gauge)
    else:
        points = _numbers(family.labels, samples.numbers, 0, moment.at)
        yield Stream(name, unit, family.help, points, Gauge)


def _sum(points: list[NumberDataPoint]) -> Sum:
    return Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)


def _histogram(points: list[HistogramDataPoint]) -> Histogram:
    return Histogram(points, AggregationTemporality.CUMULATIVE)


def _exponential(points: list[ExponentialHistogramDataPoint]) -> ExponentialHistogram:
    return ExponentialHistogram(points, AggregationTemporality.CUMULATIVE)


def _numbers(
    labels: tuple[str, ...], numbers: Iterable[Number], began: int, at: int
) -> Iterator[NumberDataPoint]:
    for values, number in numbers:
        yield NumberDataPoint(dict(zip(labels, values, strict=True)), began, at, number)


def _histograms(samples: Samples, began: int, at: int) -> Iterator[HistogramDataPoint]:
    labels = samples.family.labels
    for values, counts, total in samples.distributions:
        yield HistogramDataPoint(
            attributes=dict(zip(labels, values, strict=True)),
            start_time_unix_nano=began,
            time_unix_nano=at,
            count=int(counts[-1]),
            sum=total,
            bucket_counts=[int(after - before) for before, after in pairwise((0.0, *counts))],
            explicit_bounds=samples.bounds,
            # Nobody knows them, and what is None is not sent.
            min=None,  # type: ignore[arg-type]  # The library's own type forgets that it is optional.
            max=None,  # type: ignore[arg-type]  # As above.
        )


def _parts(samples: Samples) -> Iterator[tuple[str, tuple[str, ...], Iterable[Number]]]:
    """Yield the gauges of a histogram of a moment: ending, labels, numbers."""
    family: Family = samples.family
    bounds = [written(bound) for bound in (*samples.bounds, inf)]
    buckets = (
        ((*values, bound), count)
        for values, counts, _ in samples.distributions
        for bound, count in zip(bounds, counts, strict=True)
    )
    yield "bucket", (*family.labels, "le"), buckets
    yield "gcount", family.labels, ((values, counts[-1]) for values, counts, _ in samples.distributions)
    yield "gsum", family.labels, ((values, total) for values, _, total in samples.distributions)
