"""Rows of a family on their way from a snapshot to an exposition."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate, pairwise
from typing import cast

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.encoder.text import (
    ExponentialBuckets,
    FamilySamples,
    FloatSample,
    HistogramSample,
    PackedHistogramSample,
)
from insights_exporter.metrics.encoder.user_series import (
    MAX_FLOAT,
    PackedHistogram,
    SeriesGroup,
    UserHistograms,
    UserSeries,
    ValuesByUser,
    min_max,
)
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.label_values import LabelValues

__all__ = [
    "BucketCounts",
    "OptionalFloatSample",
    "UserValues",
    "bucket_histograms",
    "count_by_bucket",
    "float_series",
    "info_series",
    "packed_histograms",
    "user_histograms",
    "user_series",
]

OptionalFloatSample = tuple[tuple[str, ...], float | None]
"""Label values and a number that may be unknown."""

UserValues = tuple[tuple[str, ...], ValuesByUser]
"""Label values without the user's, and a number for each user."""

BucketCounts = tuple[tuple[str, ...], Sequence[int], float]
"""Label values, observations per bucket with those above all bounds last, and their sum."""


def float_series(
    family: Family, rows: Iterable[OptionalFloatSample], *, since: datetime | None = None
) -> FamilySamples:
    """Return a family of numbers; what is unknown, negative or not finite is left out."""
    return FamilySamples(
        family, floats=_valid_samples(rows), created=None if since is None else since.timestamp()
    )


def user_series(
    family: Family, groups: Iterable[UserValues], values: LabelValues, *, since: datetime | None = None
) -> FamilySamples:
    """Return a family with a row per user; the portion of numbers that were there before is the same."""
    derivations, username_labels = values.derivations, values.username_labels
    series_groups = [
        derivations.get_or_compute(
            (family.name, labels),
            values_by_user,
            partial(SeriesGroup.from_values, labels, username_labels=username_labels),
        )
        for labels, values_by_user in groups
    ]
    series = UserSeries(family.labels.index("username"), username_labels, series_groups)
    return FamilySamples(family, floats=series, created=None if since is None else since.timestamp())


def info_series(family: Family, rows: Iterable[tuple[str, ...]]) -> FamilySamples:
    """Return a family of facts, each of which is 1."""
    return FamilySamples(family, floats=((row, 1.0) for row in rows))


def bucket_histograms(
    family: Family,
    rows: Iterable[BucketCounts],
    *,
    since: datetime | None = None,
    exponential_buckets: Iterable[ExponentialBuckets] | None = None,
) -> FamilySamples:
    """Return a histogram family over the latency buckets; rows that cannot be one are left out."""
    created = None if since is None else since.timestamp()
    return FamilySamples(
        family,
        histograms=_cumulative(rows),
        bounds=LATENCY_BUCKETS,
        created=created,
        exponential_buckets=exponential_buckets,
    )


def packed_histograms(
    family: Family,
    rows: Iterable[PackedHistogramSample],
    *,
    since: datetime,
    exponential_buckets: Iterable[ExponentialBuckets] | None = None,
) -> FamilySamples:
    """Return a histogram family over the latency buckets, of which there may be very many rows."""
    valid_rows = (row for row in rows if 0 <= row[1][1] <= MAX_FLOAT)
    return FamilySamples(
        family,
        packed_histograms=valid_rows,
        bounds=LATENCY_BUCKETS,
        created=since.timestamp(),
        exponential_buckets=exponential_buckets,
    )


def user_histograms(
    family: Family,
    groups: Iterable[tuple[tuple[str, ...], Mapping[str, PackedHistogram]]],
    values: LabelValues,
    *,
    since: datetime,
    exponential_buckets: Iterable[ExponentialBuckets] | None = None,
) -> FamilySamples:
    """Return a histogram family over the latency buckets with a row per user."""
    rows = UserHistograms(family.labels.index("username"), values.username_labels, list(groups))
    return FamilySamples(
        family,
        packed_histograms=rows,
        bounds=LATENCY_BUCKETS,
        created=since.timestamp(),
        exponential_buckets=exponential_buckets,
    )


def count_by_bucket(labels: tuple[str, ...], observations: Collection[float | None]) -> BucketCounts:
    """Count observations by latency bucket; what is unknown, negative or not finite is left out."""
    lowest, highest = min_max(observations) or (-1.0, -1.0)
    valid = cast("Collection[float]", observations)
    if not 0 <= lowest <= highest <= MAX_FLOAT:
        valid = [seconds for seconds in observations if seconds is not None and 0 <= seconds <= MAX_FLOAT]
    ordered = sorted(valid)
    # Looking for each bound among the observations takes fewer steps than the other way round.
    cumulative = [0, *(bisect_right(ordered, bound) for bound in LATENCY_BUCKETS), len(ordered)]
    return labels, [upper - lower for lower, upper in pairwise(cumulative)], sum(valid, start=0.0)


def _valid_samples(rows: Iterable[OptionalFloatSample], maximum: float = MAX_FLOAT) -> Iterator[FloatSample]:
    # Adding zero makes a float of an integer and a plain zero of a negative one.
    return (
        (labels, number + 0.0) for labels, number in rows if number is not None and 0 <= number <= maximum
    )


def _cumulative(rows: Iterable[BucketCounts]) -> Iterator[HistogramSample]:
    for labels, counts, total in rows:
        is_complete = len(counts) == len(LATENCY_BUCKETS) + 1 and min(counts) >= 0
        if is_complete and 0 <= total <= MAX_FLOAT:
            yield labels, tuple(map(float, accumulate(counts))), total + 0.0
