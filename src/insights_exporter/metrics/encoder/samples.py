"""Samples of one metric family: the input of the encoder, of the series limit and of OTLP."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import Any, Final, TypeAlias, TypeGuard, cast

from msgspec import Struct

from insights_exporter.metrics.family import Family
from insights_exporter.metrics.packed_counts import pack_counts, unpack_counts

__all__ = [
    "MAX_FLOAT",
    "ExponentialBuckets",
    "FamilySamples",
    "FloatSample",
    "Histogram",
    "HistogramSample",
    "Labels",
    "SeriesGroup",
    "ValuesByUser",
    "is_valid",
    "min_max",
]

MAX_FLOAT: Final = sys.float_info.max


class Histogram(Struct, frozen=True, gc=False):
    """Observations by bucket and their sum.

    The bucket counts share one integer (see ``packed_counts``): a histogram of 15 buckets takes 150 bytes
    instead of 600, and adding two of them is one addition.
    """

    packed_counts: int
    bucket_count: int
    sum: float

    @classmethod
    def from_counts(cls, counts: Sequence[int], total: float) -> Histogram:
        """Return a histogram of counts per bucket, not cumulative; raise ValueError for invalid counts."""
        return cls(pack_counts(counts), len(counts), total)

    @property
    def counts(self) -> tuple[int, ...]:
        """Observations per bucket, not cumulative; the last bucket is above all bounds."""
        return unpack_counts(self.packed_counts, self.bucket_count)

    @property
    def cumulative_counts(self) -> tuple[int, ...]:
        """Observations up to each bound, and of all buckets at the end."""
        return tuple(accumulate(self.counts))

    @property
    def count(self) -> int:
        """Observations of all buckets."""
        return sum(self.counts)

    @staticmethod
    def merge(histograms: Collection[Histogram]) -> Histogram:
        """Return the sum of histograms with equal buckets; at least one is required."""
        first = next(iter(histograms))
        return Histogram(
            sum([histogram.packed_counts for histogram in histograms]),
            first.bucket_count,
            sum([histogram.sum for histogram in histograms]),
        )


Labels: TypeAlias = tuple[str, ...]
"""Label values in the order of the family's labels."""

FloatSample: TypeAlias = tuple[Labels, float]
HistogramSample: TypeAlias = tuple[Labels, Histogram]

ExponentialBuckets: TypeAlias = tuple[Labels, Mapping[int, int]]
"""Label values and counts by exponential bucket, not cumulative."""

ValuesByUser: TypeAlias = Mapping[str, float | None]
"""A value by username as in the snapshot; None is unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesGroup:
    """Series of a family that differ in ``username`` only.

    A group is the same object for as long as the snapshot's part is unchanged, so the encoder reuses its
    compressed text.

    ``labels`` has an empty string in the place of the username. ``count`` is the number of valid values.
    ``has_unique_names`` is true if each user has a label value of its own. ``min_max`` is set if all values
    are positive floats: the encoder then copies and checks no single value.
    """

    labels: Labels
    raw_values: ValuesByUser
    count: int
    has_unique_names: bool
    min_max: tuple[float, float] | None

    @classmethod
    def from_values(
        cls, labels: Labels, raw_values: ValuesByUser, username_labels: Mapping[str, str | None]
    ) -> SeriesGroup:
        """Return a group; ``username_labels`` has the label value of each user, None if users are hidden."""
        names = list(map(username_labels.__getitem__, raw_values))
        lowest, highest = min_max(raw_values.values()) or (0.0, 0.0)
        all_valid = lowest > 0 and highest <= MAX_FLOAT
        return cls(
            labels,
            raw_values,
            count=len(raw_values) if all_valid else sum(map(is_valid, raw_values.values())),
            has_unique_names=None not in names and len(set(names)) == len(names),
            min_max=(lowest, highest) if all_valid else None,
        )

    @property
    def values(self) -> Mapping[str, float]:
        """The valid values by username, as floats."""
        if self.min_max is not None:
            return cast("Mapping[str, float]", self.raw_values)
        # Adding zero makes a float of an integer and 0.0 of -0.0.
        return {name: number + 0.0 for name, number in self.raw_values.items() if is_valid(number)}


@dataclass(frozen=True, slots=True, eq=False)
class FamilySamples:
    """The samples of one family.

    ``rows`` are label values with a float, or with a Histogram if the family has ``bounds``.
    ``groups`` come before them: per-user series, whose label values are in ``username_labels``.
    ``created`` is when the counters started, in Unix seconds. ``exponential_buckets`` has the same
    observations as the histograms; only OTLP carries them.
    """

    family: Family
    rows: Iterable[tuple[Labels, Any]] = ()
    bounds: tuple[float, ...] = ()
    created: float | None = None
    exponential_buckets: Iterable[ExponentialBuckets] | None = None
    groups: Sequence[SeriesGroup] = ()
    username_labels: Mapping[str, str | None] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[Labels, Any]]:
        """Yield label values and values of all groups, then of all rows."""
        return chain(chain.from_iterable(map(self._group_rows, self.groups)), self.rows)

    @property
    def floats(self) -> Iterator[FloatSample]:
        """The samples of a counter, gauge or info; a histogram has none."""
        return iter(()) if self.bounds else iter(self)

    @property
    def histograms(self) -> Iterator[HistogramSample]:
        """The samples of a histogram or gauge histogram; other types have none."""
        return iter(self) if self.bounds else iter(())

    @property
    def series_per_row(self) -> int:
        """Series of one label set: a histogram has its bounds, +Inf, count and sum."""
        return len(self.bounds) + 3 if self.bounds else 1

    @property
    def merge(self) -> Callable[[Collection[Any]], Any]:
        """The function that adds values up."""
        return Histogram.merge if self.bounds else sum

    @property
    def user_index(self) -> int:
        """Position of ``username`` among the labels."""
        return self.family.labels.index("username")

    @property
    def grouped_count(self) -> int | None:
        """Number of samples, if known without reading them: all are in groups and have unique labels."""
        unique = len({group.labels for group in self.groups}) == len(self.groups) > 0
        if not unique or not all(group.has_unique_names for group in self.groups):
            return None
        return sum(group.count for group in self.groups)

    def restrict_to(self, selection: Collection[Labels]) -> tuple[FamilySamples, dict[Labels, list[float]]]:
        """Return the grouped samples of a selection, and by group the values of the others.

        A group that is selected as a whole stays the same object.
        """
        selected_users: dict[Labels, set[str]] = {}
        for labels in selection:
            selected_users.setdefault(self._placeholder(labels), set()).add(labels[self.user_index])
        groups: list[SeriesGroup] = []
        rest: dict[Labels, list[float]] = {}
        for group in self.groups:
            users = selected_users.get(group.labels, set())
            values = group.values
            kept = {name: value for name, value in values.items() if self.username_labels[name] in users}
            if len(kept) == group.count:
                groups.append(group)
            else:
                groups.append(SeriesGroup.from_values(group.labels, kept, self.username_labels))
                rest[group.labels] = [value for name, value in values.items() if name not in kept]
        return replace(self, groups=groups), rest

    def split_highest(self, count: int) -> tuple[Iterator[FloatSample], dict[Labels, list[float]]]:
        """Return the grouped samples that may be among the highest, and by group the values of the others.

        At least ``count`` samples are returned, more if values are equal.
        """
        values_by_group = [(group, group.values) for group in self.groups]
        # Sorting all values is faster than a heap of so many.
        ranked = sorted(chain.from_iterable(values.values() for _, values in values_by_group), reverse=True)
        minimum = ranked[:count][-1]
        rest = {
            group.labels: lower
            for group, values in values_by_group
            if (lower := [value for value in values.values() if value < minimum])
        }
        rows = chain.from_iterable(self._group_rows(group, minimum) for group in self.groups)
        return rows, rest

    def _group_rows(self, group: SeriesGroup, minimum: float = 0.0) -> Iterator[FloatSample]:
        before, after = group.labels[: self.user_index], group.labels[self.user_index + 1 :]
        for name, number in group.values.items():
            if number >= minimum and (user := self.username_labels[name]) is not None:
                yield (*before, user, *after), number

    def _placeholder(self, labels: Labels) -> Labels:
        return (*labels[: self.user_index], "", *labels[self.user_index + 1 :])


def is_valid(number: float | None) -> TypeGuard[float]:
    """Return whether a value can be served: known, finite and not negative."""
    return number is not None and 0 <= number <= MAX_FLOAT


def min_max(numbers: Collection[Any]) -> tuple[float, float] | None:
    """Return the lowest and the highest number; None if empty or if any is not a float or is NaN."""
    # The sum is NaN if any number is; min() and max() would miss it.
    if set(map(type, numbers)) != {float} or math.isnan(sum(numbers)):
        return None
    return min(numbers), max(numbers)
