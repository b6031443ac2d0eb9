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

__all__ = ["LARGEST", "Derived", "Memory", "Numbers", "Observed", "Packs", "Portion", "Portions", "span"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S")

Numbers: TypeAlias = Mapping[str, float | None]
"""A number for each user, as the snapshot names them, that may be unknown."""


class Observed(Protocol):
    """Counts per bucket side by side, none cumulative, and the sum of what was observed."""

    @property
    def lanes(self) -> int:
        """The counts."""
        ...

    @property
    def total(self) -> float:
        """The sum."""
        ...


Row: TypeAlias = tuple[tuple[str, ...], float]
"""Label values and a number."""

LARGEST: Final = sys.float_info.max

_CHUNK_ROWS: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """Rows that differ in their user alone.

    ``labels`` holds an empty text in the user's place. ``count`` says how many rows there are, ``distinct``
    whether each has a name of its own, ``named`` whether that is the one in the source. ``span`` are the
    lowest and the highest number where all are floats above zero.
    """

    labels: tuple[str, ...]
    source: Numbers
    count: int
    distinct: bool
    named: bool
    span: tuple[float, float] | None

    def numbers(self, below: float = LARGEST) -> list[float]:
        """Return the numbers of its rows that are not above ``below``."""
        return [number for number in self.source.values() if number is not None and 0 <= number <= below]

    def rows(self) -> Mapping[str, float]:
        """Return the number of each of its users, floats all of them."""
        if self.span is not None:
            return cast("Mapping[str, float]", self.source)
        return {
            # Adding zero makes a float of an integer and a plain zero of a negative one.
            name: number + 0.0
            for name, number in self.source.items()
            if number is not None and 0 <= number <= LARGEST
        }

    @classmethod
    def of(cls, labels: tuple[str, ...], source: Numbers, users: Mapping[str, str | None]) -> Portion:
        """Return the portion that a source comes to; ``users`` tells how users are served."""
        served = list(map(users.__getitem__, source))
        named = served == list(source)
        lowest, highest = span(source.values()) or (0.0, 0.0)
        plain = lowest > 0 and highest <= LARGEST
        return cls(
            labels,
            source,
            count=len(source) if plain else _valid(source.values()),
            distinct=named or (None not in served and len(set(served)) == len(served)),
            named=named,
            span=(lowest, highest) if plain else None,
        )


def _valid(numbers: Iterable[float | None]) -> int:
    """Return how many numbers can be served."""
    return sum([number is not None and 0 <= number <= LARGEST for number in numbers])


def span(numbers: Collection[Any]) -> tuple[float, float] | None:
    """Return the lowest and the highest number where there are some, and all of them are floats."""
    # What is no number is neither low nor high, but makes the sum none as well.
    if set(map(type, numbers)) != {float} or math.isnan(sum(numbers)):
        return None
    return min(numbers), max(numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Portions:
    """The rows of a family, portion after portion; ``place`` is where the user stands among the labels.

    ``others`` are rows besides, of those whom a limit left out.
    """

    place: int
    users: Mapping[str, str | None]
    portions: Sequence[Portion]
    others: Sequence[Row] = ()

    def __iter__(self) -> Iterator[Row]:
        """Yield label values and numbers; what is unknown, negative or not finite is left out."""
        return chain(chain.from_iterable(self.rows(portion) for portion in self.portions), self.others)

    def rows(self, portion: Portion, least: float = 0.0) -> Iterator[Row]:
        """Yield the rows of a portion whose numbers reach ``least``."""
        users, place = self.users, self.place
        before, after = portion.labels[:place], portion.labels[place + 1 :]
        for name, number in portion.rows().items():
            if number >= least and (user := users[name]) is not None:
                yield (*before, user, *after), number

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(portion.count for portion in self.portions) + len(self.others)

    @property
    def distinct(self) -> bool:
        """Whether no two rows have the same labels."""
        return len({portion.labels for portion in self.portions}) == len(self.portions) and all(
            portion.distinct for portion in self.portions
        )

    def chunks(self) -> Iterator[tuple[Portion, ...]]:
        """Yield portions that are best written together: single ones where they are large."""
        chunk: list[Portion] = []
        rows = 0
        for portion in self.portions:
            chunk.append(portion)
            rows += portion.count
            if rows >= _CHUNK_ROWS:
                yield tuple(chunk)
                chunk, rows = [], 0
        if chunk:
            yield tuple(chunk)


@dataclass(frozen=True, slots=True, eq=False)
class Packs:
    """The histograms of a family, crowd after crowd of users, as a snapshot has them.

    Each crowd has an empty text in the user's place among its labels, which is ``place``.
    """

    place: int
    users: Mapping[str, str | None]
    packs: Sequence[tuple[tuple[str, ...], Mapping[str, Observed]]]

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], tuple[int, float]]]:
        """Yield label values with counts per bucket side by side and their sum."""
        for labels, crowd in self.crowds():
            before, after = labels[: self.place], labels[self.place + 1 :]
            for user, seen in crowd:
                yield (*before, user, *after), seen

    def crowds(self) -> Iterator[tuple[tuple[str, ...], Iterator[tuple[str, Any]]]]:
        """Yield the labels of each crowd, and its users with what they observed."""
        for labels, pack in self.packs:
            yield labels, self._crowd(pack)

    def _crowd(self, pack: Mapping[str, Observed]) -> Iterator[tuple[str, tuple[int, float]]]:
        users = self.users
        for name, seen in pack.items():
            if 0 <= seen.total <= LARGEST and (user := users[name]) is not None:
                yield user, (seen.lanes, seen.total + 0.0)

    @property
    def count(self) -> int:
        """How many histograms there are at most."""
        return sum(len(pack) for _, pack in self.packs)

    @property
    def distinct(self) -> bool:
        """Whether no two have the same labels."""
        return len({labels for labels, _ in self.packs}) == len(self.packs) and all(
            list(map(self.users.__getitem__, pack)) == list(pack) for _, pack in self.packs
        )


@dataclass(slots=True)
class Memory(Generic[K, V]):
    """What was made in this round and is used in it, and what was in the one before."""

    _now: dict[K, V] = field(default_factory=dict)
    _before: dict[K, V] = field(default_factory=dict)

    def turn(self) -> None:
        """Begin a round: what the last one did not use is forgotten."""
        self._before, self._now = self._now, {}

    def recall(self, key: K) -> V | None:
        """Return what is remembered."""
        known = self._now.get(key)
        if known is None and (known := self._before.get(key)) is not None:
            self._now[key] = known
        return known

    def keep(self, key: K, value: V) -> V:
        """Remember a value, and return it."""
        self._now[key] = value
        return value


class Derived:
    """What was derived from parts of a snapshot, the same objects again while the parts are the same."""

    def __init__(self) -> None:
        self._memory: Memory[Hashable, tuple[Sequence[object], Any]] = Memory()

    def turn(self) -> None:
        """Begin a round: what the last one did not use is forgotten."""
        self._memory.turn()

    def of(self, key: Hashable, part: S, derive: Callable[[S], V]) -> V:
        """Return what comes of a part; the key says what of it, and where it belongs."""
        return self.of_all(key, (part,), partial(derive, part))

    def of_all(self, key: Hashable, parts: Sequence[object], derive: Callable[[], V]) -> V:
        """Return what comes of several parts."""
        known = self._memory.recall(key)
        if known is None or len(known[0]) != len(parts) or not all(map(is_, known[0], parts)):
            known = self._memory.keep(key, (parts, derive()))
        found: V = known[1]
        return found
