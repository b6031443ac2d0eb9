"""How many series a family may have, and what becomes of the rest.

The series with the highest values stay; ties are broken by label values, so that replicas agree. The rest is
added up under ``_other`` where a sum over users, or over values of a parameter, means something, and dropped
elsewhere.

What it costs where a family accumulates: a series that moved in or out of ``_other`` would make a counter
fall, which Prometheus takes for a restart. Hence the choice stands until the anchor moves or the family fits
again: whoever comes later counts under ``_other``, however high. A restart chooses anew, and there
``_other`` may fall once, and replicas that started at different times may differ in whom they name.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, islice
from typing import Any, Generic, TypeVar

from insights_exporter.lanes import split
from insights_exporter.metrics.catalogue import OTHER
from insights_exporter.metrics.family import Family, Kind
from insights_exporter.metrics.portions import Packs, Portion, Portions
from insights_exporter.metrics.text import Fine, Packed, Samples

__all__ = ["Limited", "Standing", "limited"]

_FOLDED_LABELS = ("username", "parameter_value")
_CHUNK = 5000

_Labels = tuple[str, ...]
_Buckets = tuple[tuple[float, ...], float]
_Lanes = tuple[int, float]
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Limited:
    """A family within its limit; ``series`` counts lines, ``folded`` those not served by themselves."""

    samples: Samples
    series: int
    folded: int


@dataclass(slots=True)
class Standing:
    """Which series of families that accumulate are named while their limit binds; it outlives polls."""

    chosen: dict[str, tuple[float | None, frozenset[_Labels]]] = field(default_factory=dict)

    def of(self, samples: Samples) -> frozenset[_Labels] | None:
        """Return the choice that stands, None where there is none for this anchor."""
        created, labels = self.chosen.get(samples.family.name, (None, None))
        return labels if created == samples.created else None


def limited(
    samples: Samples, limit: int, *, may_add: Callable[[Family], bool], standing: Standing
) -> Limited:
    """Return a family with at most ``limit`` series, none of them twice.

    Series that are equal are added up where ``may_add`` says so; elsewhere the first stays. A histogram's
    label set takes as many series as it has lines.
    """
    rows = samples.numbers
    if isinstance(rows, Portions) and rows.distinct:
        if rows.count <= limit:
            standing.chosen.pop(samples.family.name, None)
            return Limited(samples, rows.count, 0)
        numbers = _Selection[float](samples, limit, sum, float, may_add, standing)
        if (choice := numbers.chosen()) is not None:
            kept = numbers.keep_portions(rows, choice)
            return Limited(replace(samples, numbers=kept), kept.count, numbers.folded)
        chosen = numbers.select_of(rows, numbers.best(rows))
        return Limited(replace(samples, numbers=chosen.items()), len(chosen), numbers.folded)
    if not samples.bounds:
        numbers = _Selection[float](samples, limit, sum, float, may_add, standing)
        chosen = numbers.select(rows)
        return Limited(replace(samples, numbers=chosen.items()), len(chosen), numbers.folded)
    most = max(1, limit // _lines(samples))
    if samples.packed is not None:
        return _limited_packed(samples, samples.packed, most, may_add, standing)
    buckets = _Selection[_Buckets](samples, most, _sum_buckets, lambda value: value[0][-1], may_add, standing)
    found = buckets.select((labels, (counts, total)) for labels, counts, total in samples.distributions)
    return _histograms(samples, buckets, found)


def _limited_packed(
    samples: Samples,
    rows: Iterable[Packed],
    most: int,
    may_add: Callable[[Family], bool],
    standing: Standing,
) -> Limited:
    """Unpack only what is served: most users of a big deployment are among the others."""
    places = len(samples.bounds) + 1
    selection = _Selection[_Lanes](
        samples, most, _sum_lanes, lambda value: sum(split(value[0], places)), may_add, standing
    )
    if isinstance(rows, Packs) and rows.count > most and rows.distinct:
        found = selection.select_of(rows, rows)
    else:
        found = selection.select(rows)
    buckets = {
        labels: (tuple(map(float, accumulate(split(lanes, places)))), total)
        for labels, (lanes, total) in found.items()
    }
    return _histograms(replace(samples, packed=None), selection, buckets)


def _histograms(samples: Samples, selection: _Selection[Any], found: Mapping[_Labels, _Buckets]) -> Limited:
    distributions = [(labels, counts, total) for labels, (counts, total) in found.items()]
    fine = None if samples.fine is None else selection.sums(samples.fine, frozenset(found))
    lines = _lines(samples)
    return Limited(
        replace(samples, distributions=distributions, fine=fine),
        len(distributions) * lines,
        selection.folded * lines,
    )


def _lines(samples: Samples) -> int:
    """Return how many series a label set of a histogram has."""
    return len(samples.bounds) + 3


def _sum_lanes(values: Collection[_Lanes]) -> _Lanes:
    return sum([lanes for lanes, _ in values]), sum([total for _, total in values])


def _sum_buckets(values: Collection[_Buckets]) -> _Buckets:
    counts = zip(*(counts for counts, _ in values), strict=True)
    return tuple(map(sum, counts)), sum([total for _, total in values])


def _by_crowd(chosen: Iterable[_Labels], place: int) -> Mapping[_Labels, set[str]]:
    """Return who is chosen of each crowd, which has an empty text in the user's place."""
    names: defaultdict[_Labels, set[str]] = defaultdict(set)
    for labels in chosen:
        names[(*labels[:place], "", *labels[place + 1 :])].add(labels[place])
    return names


@dataclass(slots=True, eq=False)
class _Worst:
    """Label values in a heap, where those that sort last leave first."""

    labels: _Labels

    def __lt__(self, other: _Worst) -> bool:
        return self.labels > other.labels


@dataclass(slots=True)
class _Selection(Generic[V]):
    """Reads the rows of one family and keeps at most ``limit``; holds little more than these at any time."""

    samples: Samples
    limit: int
    total: Callable[[Collection[V]], V]
    rank: Callable[[V], float]
    may_add: Callable[[Family], bool]
    standing: Standing
    folded: int = 0
    _kept: dict[_Labels, V] = field(default_factory=dict)
    _others: dict[_Labels, V] = field(default_factory=dict)
    _position: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Find the label that folding replaces."""
        family = self.samples.family
        foldable = [label for label in _FOLDED_LABELS if label in family.summable]
        self._position = family.labels.index(foldable[0]) if foldable else None

    def select(self, rows: Iterable[tuple[_Labels, V]]) -> dict[_Labels, V]:
        """Return what is served, by label values."""
        rows = iter(rows)
        size = min(_CHUNK, self.limit + 1)
        while len(self._kept) <= self.limit and (chunk := list(islice(rows, size))):
            fresh = dict(chunk)
            if len(fresh) == len(chunk) and self._kept.keys().isdisjoint(fresh):
                self._kept.update(fresh)
            else:
                for labels, value in chunk:
                    self._admit(labels, value)
        if len(self._kept) <= self.limit:
            self.standing.chosen.pop(self.samples.family.name, None)
            return self._kept
        first, self._kept = self._kept, {}
        rows = chain(first.items(), rows)
        return self.select_of(rows, rows)

    def select_of(
        self, rows: Iterable[tuple[_Labels, V]], best: Iterable[tuple[_Labels, V]]
    ) -> dict[_Labels, V]:
        """Return what is served of too many rows; ``best`` are all of them that can be among the highest."""
        chosen = self.chosen()
        if chosen is None:
            self._choose(best)
            if self._accumulates:
                self.standing.chosen[self.samples.family.name] = self.samples.created, frozenset(self._kept)
        elif isinstance(rows, Packs):
            self._keep_packs(rows, chosen)
        else:
            self._keep(rows, chosen)
        return self._kept | self._best_others(len(self._kept))

    def chosen(self) -> frozenset[_Labels] | None:
        """Return the choice that stands; None where there is none."""
        return self.standing.of(self.samples) if self._accumulates else None

    @property
    def _accumulates(self) -> bool:
        return self.samples.family.kind in {Kind.COUNTER, Kind.HISTOGRAM}

    def best(self: _Selection[float], rows: Portions) -> Iterator[tuple[_Labels, float]]:
        """Yield the rows that can be among the highest, and fold the others portion by portion."""
        # One row of each portion may already be that of others, which is none of the highest.
        most = self.limit + len(rows.portions)
        numbers = chain.from_iterable(portion.numbers() for portion in rows.portions)
        # Sorting all is quicker than keeping a heap of so many.
        least = sorted(numbers, reverse=True)[:most][-1]
        for portion in rows.portions:
            if small := [number for number in portion.numbers(least) if number < least]:
                self._fold(portion.labels, sum(small), len(small))
            yield from rows.rows(portion, least)

    def sums(self, rows: Iterable[Fine], served: frozenset[_Labels]) -> list[Fine]:
        """Return the same rows by another count, added up and folded as those that were selected."""
        found: dict[_Labels, Counter[int]] = {}
        position, may_add = self._position, self.may_add(self.samples.family)
        for labels, counts in rows:
            group = labels
            if labels not in served and position is not None:
                group = (*labels[:position], OTHER, *labels[position + 1 :])
            if group in served and (group not in found or may_add or group != labels):
                found.setdefault(group, Counter()).update(counts)
        return list(found.items())

    def _admit(self, labels: _Labels, value: V) -> bool:
        """Take a row in, or add it to its equal; tell whether it was new."""
        if labels not in self._kept:
            self._kept[labels] = value
            return True
        if self.may_add(self.samples.family):
            self._kept[labels] = self.total((self._kept[labels], value))
        else:
            self.folded += 1
        return False

    def _fold(self, labels: _Labels, value: V, rows: int = 1) -> None:
        """Count a row, or a sum of some, under ``_other`` where that means something."""
        self.folded += rows
        if (position := self._position) is not None:
            group = (*labels[:position], OTHER, *labels[position + 1 :])
            known = self._others.get(group)
            self._others[group] = value if known is None else self.total((known, value))

    def _keep(self, rows: Iterable[tuple[_Labels, V]], chosen: frozenset[_Labels]) -> None:
        # Of a family that is far too large most are folded, so they are added up all at once.
        others: defaultdict[_Labels, list[V]] = defaultdict(list)
        place = self._position
        after = None if place is None else place + 1
        for labels, value in rows:
            if labels in chosen:
                self._admit(labels, value)
            elif place is not None:
                others[labels[:place] + labels[after:]].append(value)
            else:
                self.folded += 1
        for labels, values in others.items():
            self._fold((*labels[:place], "", *labels[place:]), self.total(values), len(values))

    def _keep_packs(self, rows: Packs, chosen: frozenset[_Labels]) -> None:
        """Do the same crowd by crowd, which spares a label set for each user who is folded."""
        names = _by_crowd(chosen, rows.place)
        for labels, users in rows.crowds():
            named, others = names[labels], []
            before, after = labels[: rows.place], labels[rows.place + 1 :]
            for user, value in users:
                if user in named:
                    self._admit((*before, user, *after), value)
                else:
                    others.append(value)
            if others:
                self._fold(labels, self.total(others), len(others))

    def keep_portions(self: _Selection[float], rows: Portions, chosen: frozenset[_Labels]) -> Portions:
        """Return those who are chosen, in portions still, and what the others come to."""
        names = _by_crowd(chosen, rows.place)
        kept = [self._keep_portion(portion, rows.users, names[portion.labels]) for portion in rows.portions]
        served = sum(portion.count for portion in kept)
        return replace(rows, portions=kept, others=list(self._best_others(served).items()))

    def _keep_portion(
        self: _Selection[float], portion: Portion, users: Mapping[str, str | None], named: Collection[str]
    ) -> Portion:
        numbers = portion.rows()
        kept = {name: number for name, number in numbers.items() if users[name] in named}
        if len(kept) == portion.count:
            return portion
        others = [number for name, number in numbers.items() if name not in kept]
        self._fold(portion.labels, sum(others), len(others))
        return Portion.of(portion.labels, kept, users)

    def _choose(self, rows: Iterable[tuple[_Labels, V]]) -> None:
        """Keep the highest, and make room for as many ``_other`` as there are."""
        heap: list[tuple[float, _Worst]] = []
        position = self._position
        for labels, value in rows:
            rank = self.rank(value)
            if position is not None and labels[position] == OTHER:
                self._fold(labels, value)
            elif labels in self._kept:
                self._admit(labels, value)
            elif len(heap) < self.limit:
                self._kept[labels] = value
                heapq.heappush(heap, (rank, _Worst(labels)))
            elif rank > heap[0][0] or (rank == heap[0][0] and labels < heap[0][1].labels):
                _, worst = heapq.heapreplace(heap, (rank, _Worst(labels)))
                self._fold(worst.labels, self._kept.pop(worst.labels))
                self._kept[labels] = value
            else:
                self._fold(labels, value)
        while heap and len(heap) + len(self._others) > self.limit:
            _, worst = heapq.heappop(heap)
            self._fold(worst.labels, self._kept.pop(worst.labels))

    def _best_others(self, kept: int) -> dict[_Labels, V]:
        room = self.limit - kept
        if len(self._others) <= room:
            return self._others
        best = heapq.nsmallest(room, self._others.items(), key=lambda row: (-self.rank(row[1]), row[0]))
        return dict(best)
