"""Rows that come in portions, one for each part of a snapshot that has many users.

A part that a poll did not fetch anew is the same object as before. Its portion is then the same object too,
so whatever was made of it, such as text, can be kept by identity.

There may be millions of rows, so that what is usual, numbers all in order and names all different, is found
out without a step of Python for each.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import is_
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

__all__ = [
    "MAX_FLOAT",
    "DerivationCache",
    "PackedHistogram",
    "SeriesGroup",
    "TwoGenerationCache",
    "UserHistograms",
    "UserSeries",
    "ValuesByUser",
    "min_max",
]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S")

ValuesByUser: TypeAlias = Mapping[str, float | None]
"""A number for each user, as the snapshot names them, that may be unknown."""


class PackedHistogram(Protocol):
    """Counts per bucket side by side, none cumulative, and the sum of what was observed."""

    @property
    def packed_counts(self) -> int:
        """The counts."""
        ...

    @property
    def sum(self) -> float:
        """The sum."""
        ...


FloatSample: TypeAlias = tuple[tuple[str, ...], float]
"""Label values and a number."""

MAX_FLOAT: Final = sys.float_info.max

_CHUNK_SERIES: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class SeriesGroup:
    """Rows that differ in their user alone.

    ``labels`` holds an empty text in the user's place. ``count`` says how many rows there are, ``distinct``
    whether each has a name of its own, ``named`` whether that is the one in the source. ``span`` are the
    lowest and the highest number where all are floats above zero.
    """

    labels: tuple[str, ...]
    raw_values: ValuesByUser
    count: int
    has_unique_names: bool
    names_unchanged: bool
    min_max: tuple[float, float] | None

    def valid_values(self, maximum: float = MAX_FLOAT) -> list[float]:
        """Return the numbers of its rows that are not above ``below``."""
        return [
            number for number in self.raw_values.values() if number is not None and 0 <= number <= maximum
        ]

    def values_by_user(self) -> Mapping[str, float]:
        """Return the number of each of its users, floats all of them."""
        if self.min_max is not None:
            return cast("Mapping[str, float]", self.raw_values)
        return {
            # Adding zero makes a float of an integer and a plain zero of a negative one.
            name: number + 0.0
            for name, number in self.raw_values.items()
            if number is not None and 0 <= number <= MAX_FLOAT
        }

    @classmethod
    def from_values(
        cls, labels: tuple[str, ...], raw_values: ValuesByUser, username_labels: Mapping[str, str | None]
    ) -> SeriesGroup:
        """Return the portion that a source comes to; ``users`` tells how users are served."""
        names = list(map(username_labels.__getitem__, raw_values))
        names_unchanged = names == list(raw_values)
        lowest, highest = min_max(raw_values.values()) or (0.0, 0.0)
        all_valid = lowest > 0 and highest <= MAX_FLOAT
        return cls(
            labels,
            raw_values,
            count=len(raw_values) if all_valid else _count_valid(raw_values.values()),
            has_unique_names=names_unchanged or (None not in names and len(set(names)) == len(names)),
            names_unchanged=names_unchanged,
            min_max=(lowest, highest) if all_valid else None,
        )


def _count_valid(numbers: Iterable[float | None]) -> int:
    """Return how many numbers can be served."""
    return sum([number is not None and 0 <= number <= MAX_FLOAT for number in numbers])


def min_max(numbers: Collection[Any]) -> tuple[float, float] | None:
    """Return the lowest and the highest number where there are some, and all of them are floats."""
    # What is no number is neither low nor high, but makes the sum none as well.
    if set(map(type, numbers)) != {float} or math.isnan(sum(numbers)):
        return None
    return min(numbers), max(numbers)


@dataclass(frozen=True, slots=True, eq=False)
class UserSeries:
    """The rows of a family, portion after portion; ``place`` is where the user stands among the labels.

    ``others`` are rows besides, of those whom a limit left out.
    """

    user_index: int
    username_labels: Mapping[str, str | None]
    groups: Sequence[SeriesGroup]
    other_samples: Sequence[FloatSample] = ()

    def __iter__(self) -> Iterator[FloatSample]:
        """Yield label values and numbers; what is unknown, negative or not finite is left out."""
        return chain(chain.from_iterable(self.samples(group) for group in self.groups), self.other_samples)

    def samples(self, group: SeriesGroup, minimum: float = 0.0) -> Iterator[FloatSample]:
        """Yield the rows of a portion whose numbers reach ``least``."""
        username_labels, user_index = self.username_labels, self.user_index
        before, after = group.labels[:user_index], group.labels[user_index + 1 :]
        for name, number in group.values_by_user().items():
            if number >= minimum and (user := username_labels[name]) is not None:
                yield (*before, user, *after), number

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(group.count for group in self.groups) + len(self.other_samples)

    @property
    def has_unique_labels(self) -> bool:
        """Whether no two rows have the same labels."""
        return len({group.labels for group in self.groups}) == len(self.groups) and all(
            group.has_unique_names for group in self.groups
        )

    def chunks(self) -> Iterator[tuple[SeriesGroup, ...]]:
        """Yield portions that are best written together: single ones where they are large."""
        chunk: list[SeriesGroup] = []
        rows = 0
        for group in self.groups:
            chunk.append(group)
            rows += group.count
            if rows >= _CHUNK_SERIES:
                yield tuple(chunk)
                chunk, rows = [], 0
        if chunk:
            yield tuple(chunk)


@dataclass(frozen=True, slots=True, eq=False)
class UserHistograms:
    """The histograms of a family, crowd after crowd of users, as a snapshot has them.

    Each crowd has an empty text in the user's place among its labels, which is ``place``.
    """

    user_index: int
    username_labels: Mapping[str, str | None]
    groups: Sequence[tuple[tuple[str, ...], Mapping[str, PackedHistogram]]]

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], tuple[int, float]]]:
        """Yield label values with counts per bucket side by side and their sum."""
        for labels, histograms in self.iter_groups():
            before, after = labels[: self.user_index], labels[self.user_index + 1 :]
            for user, packed in histograms:
                yield (*before, user, *after), packed

    def iter_groups(self) -> Iterator[tuple[tuple[str, ...], Iterator[tuple[str, Any]]]]:
        """Yield the labels of each crowd, and its users with what they observed."""
        for labels, histograms in self.groups:
            yield labels, self._group_samples(histograms)

    def _group_samples(
        self, histograms: Mapping[str, PackedHistogram]
    ) -> Iterator[tuple[str, tuple[int, float]]]:
        username_labels = self.username_labels
        for username, histogram in histograms.items():
            if 0 <= histogram.sum <= MAX_FLOAT and (user := username_labels[username]) is not None:
                yield user, (histogram.packed_counts, histogram.sum + 0.0)

    @property
    def count(self) -> int:
        """How many histograms there are at most."""
        return sum(len(histograms) for _, histograms in self.groups)

    @property
    def has_unique_labels(self) -> bool:
        """Whether no two have the same labels."""
        return len({labels for labels, _ in self.groups}) == len(self.groups) and all(
            list(map(self.username_labels.__getitem__, histograms)) == list(histograms)
            for _, histograms in self.groups
        )


@dataclass(slots=True)
class TwoGenerationCache(Generic[K, V]):
    """What was made in this round and is used in it, and what was in the one before."""

    _current: dict[K, V] = field(default_factory=dict)
    _previous: dict[K, V] = field(default_factory=dict)

    def rotate(self) -> None:
        """Begin a round: what the last one did not use is forgotten."""
        self._previous, self._current = self._current, {}

    def get(self, key: K) -> V | None:
        """Return what is remembered."""
        value = self._current.get(key)
        if value is None and (value := self._previous.get(key)) is not None:
            self._current[key] = value
        return value

    def put(self, key: K, value: V) -> V:
        """Remember a value, and return it."""
        self._current[key] = value
        return value


class DerivationCache:
    """What was derived from parts of a snapshot, the same objects again while the parts are the same."""

    def __init__(self) -> None:
        self._cache: TwoGenerationCache[Hashable, tuple[Sequence[object], Any]] = TwoGenerationCache()

    def rotate(self) -> None:
        """Begin a round: what the last one did not use is forgotten."""
        self._cache.rotate()

    def get_or_compute(self, key: Hashable, source: S, compute: Callable[[S], V]) -> V:
        """Return what comes of a part; the key says what of it, and where it belongs."""
        return self.get_or_compute_many(key, (source,), partial(compute, source))

    def get_or_compute_many(self, key: Hashable, sources: Sequence[object], compute: Callable[[], V]) -> V:
        """Return what comes of several parts."""
        cached = self._cache.get(key)
        if cached is None or len(cached[0]) != len(sources) or not all(map(is_, cached[0], sources)):
            cached = self._cache.put(key, (sources, compute()))
        value: V = cached[1]
        return value
