"""Builders of family samples from parts of a snapshot."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import TypeAlias, cast

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.encoder import (
    ExponentialBuckets,
    FamilySamples,
    Histogram,
    HistogramSample,
    Labels,
    SeriesGroup,
    ValuesByUser,
    is_valid,
    min_max,
)
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import LatencyHistogram

__all__ = [
    "OptionalFloatSample",
    "UserValues",
    "count_by_bucket",
    "float_series",
    "histogram_series",
    "info_series",
    "to_histogram",
    "user_latency_histograms",
    "user_series",
]

OptionalFloatSample: TypeAlias = tuple[Labels, float | None]
"""Label values and a value; None is unknown."""

UserValues: TypeAlias = tuple[Labels, ValuesByUser]
"""Label values with an empty username, and the values by user."""


def float_series(
    family: Family, rows: Iterable[OptionalFloatSample], *, since: datetime | None = None
) -> FamilySamples:
    """Return a counter or gauge; invalid values are left out. ``since`` is when the counters started."""
    # Adding zero makes a float of an integer and 0.0 of -0.0.
    valid = ((labels, number + 0.0) for labels, number in rows if is_valid(number))
    return FamilySamples(family, valid, created=_timestamp(since))


def user_series(
    family: Family,
    groups: Iterable[UserValues],
    values: LabelValues,
    *,
    since: datetime | None = None,
    username_labels: Mapping[str, str | None] | None = None,
) -> FamilySamples:
    """Return a counter or gauge with a series per user; groups whose values are unchanged are reused.

    ``username_labels`` replaces the label values by username, for users that are pseudonymized already.
    """
    username_labels = values.username_labels if username_labels is None else username_labels
    series_groups = [
        values.derivations.get_or_compute(
            (family.name, labels),
            values_by_user,
            partial(SeriesGroup.from_values, labels, username_labels=username_labels),
        )
        for labels, values_by_user in groups
    ]
    return FamilySamples(
        family, created=_timestamp(since), groups=series_groups, username_labels=username_labels
    )


def info_series(family: Family, rows: Iterable[Labels]) -> FamilySamples:
    """Return an info family: the value of each label set is 1."""
    return FamilySamples(family, ((row, 1.0) for row in rows))


def histogram_series(
    family: Family,
    rows: Iterable[HistogramSample],
    *,
    bounds: tuple[float, ...] = LATENCY_BUCKETS,
    since: datetime | None = None,
    exponential_buckets: Iterable[ExponentialBuckets] | None = None,
) -> FamilySamples:
    """Return a histogram or gauge histogram, by default over latency buckets; invalid sums are left out."""
    return FamilySamples(
        family,
        (row for row in rows if is_valid(row[1].sum)),
        bounds,
        created=_timestamp(since),
        exponential_buckets=exponential_buckets,
    )


def user_latency_histograms(
    groups: Iterable[tuple[Labels, Mapping[str, LatencyHistogram]]],
    username_labels: Mapping[str, str | None],
) -> Iterator[HistogramSample]:
    """Yield a histogram per user; the labels of a group end with the username."""
    for (*labels, _), histograms in groups:
        for username, histogram in histograms.items():
            if (user := username_labels[username]) is not None:
                yield (*labels, user), to_histogram(histogram)


def to_histogram(histogram: LatencyHistogram) -> Histogram:
    """Return the observations of a snapshot's histogram."""
    # Adding zero makes 0.0 of -0.0.
    return Histogram(histogram.packed_counts, histogram.bucket_count, histogram.sum + 0.0)


def count_by_bucket(
    observations: Collection[float | None], bounds: tuple[float, ...] = LATENCY_BUCKETS
) -> Histogram:
    """Return a histogram of seconds, by default over the latency buckets; invalid values are left out."""
    lowest, highest = min_max(observations) or (-1.0, -1.0)
    valid = cast("Collection[float]", observations)
    if not (is_valid(lowest) and is_valid(highest)):
        valid = [seconds for seconds in observations if is_valid(seconds)]
    ordered = sorted(valid)
    # One search per bound takes fewer steps than one per observation.
    cumulative = [0, *(bisect_right(ordered, bound) for bound in bounds), len(ordered)]
    counts = [upper - lower for lower, upper in pairwise(cumulative)]
    return Histogram.from_counts(counts, sum(valid, start=0.0))


def _timestamp(since: datetime | None) -> float | None:
    return None if since is None else since.timestamp()
