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

from insights_exporter.metrics.catalogue import OTHER
from insights_exporter.metrics.encoder.text import ExponentialBuckets, FamilySamples, PackedHistogramSample
from insights_exporter.metrics.encoder.user_series import SeriesGroup, UserHistograms, UserSeries
from insights_exporter.metrics.family import Family, MetricType
from insights_exporter.metrics.packed_counts import unpack_counts

__all__ = ["LimitedFamily", "StickySelection", "apply_limit"]

_FOLDABLE_LABELS = ("username", "parameter_value")
_CHUNK_SERIES = 5000

_Labels = tuple[str, ...]
_Buckets = tuple[tuple[float, ...], float]
_PackedCounts = tuple[int, float]
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class LimitedFamily:
    """A family within its limit; ``series`` counts lines, ``folded`` those not served by themselves."""

    samples: FamilySamples
    series: int
    folded: int


@dataclass(slots=True)
class StickySelection:
    """Which series of families that accumulate are named while their limit binds; it outlives polls."""

    selections: dict[str, tuple[float | None, frozenset[_Labels]]] = field(default_factory=dict)

    def get(self, samples: FamilySamples) -> frozenset[_Labels] | None:
        """Return the choice that stands, None where there is none for this anchor."""
        created, labels = self.selections.get(samples.family.name, (None, None))
        return labels if created == samples.created else None


def apply_limit(
    samples: FamilySamples,
    limit: int,
    *,
    may_merge: Callable[[Family], bool],
    sticky_selection: StickySelection,
) -> LimitedFamily:
    """Return a family with at most ``limit`` series, none of them twice.

    Series that are equal are added up where ``may_add`` says so; elsewhere the first stays. A histogram's
    label set takes as many series as it has lines.
    """
    rows = samples.floats
    if isinstance(rows, UserSeries) and rows.has_unique_labels:
        if rows.count <= limit:
            sticky_selection.selections.pop(samples.family.name, None)
            return LimitedFamily(samples, rows.count, 0)
        top = _TopSeries[float](samples, limit, sum, float, may_merge, sticky_selection)
        if (selection := top.previous_selection()) is not None:
            user_series = top.select_previous_groups(rows, selection)
            return LimitedFamily(replace(samples, floats=user_series), user_series.count, top.folded)
        selected = top.select_from(rows, top.candidates(rows))
        return LimitedFamily(replace(samples, floats=selected.items()), len(selected), top.folded)
    if not samples.bounds:
        top = _TopSeries[float](samples, limit, sum, float, may_merge, sticky_selection)
        selected = top.select(rows)
        return LimitedFamily(replace(samples, floats=selected.items()), len(selected), top.folded)
    max_histograms = max(1, limit // _series_per_histogram(samples))
    if samples.packed_histograms is not None:
        return _limit_packed_histograms(
            samples, samples.packed_histograms, max_histograms, may_merge, sticky_selection
        )
    top_histograms = _TopSeries[_Buckets](
        samples, max_histograms, _merge_buckets, lambda value: value[0][-1], may_merge, sticky_selection
    )
    selected_histograms = top_histograms.select(
        (labels, (counts, total)) for labels, counts, total in samples.histograms
    )
    return _limited_histograms(samples, top_histograms, selected_histograms)


def _limit_packed_histograms(
    samples: FamilySamples,
    rows: Iterable[PackedHistogramSample],
    max_histograms: int,
    may_merge: Callable[[Family], bool],
    sticky_selection: StickySelection,
) -> LimitedFamily:
    """Unpack only what is served: most users of a big deployment are among the others."""
    bucket_count = len(samples.bounds) + 1
    top = _TopSeries[_PackedCounts](
        samples,
        max_histograms,
        _merge_packed,
        lambda value: sum(unpack_counts(value[0], bucket_count)),
        may_merge,
        sticky_selection,
    )
    if isinstance(rows, UserHistograms) and rows.count > max_histograms and rows.has_unique_labels:
        selected = top.select_from(rows, rows)
    else:
        selected = top.select(rows)
    buckets = {
        labels: (tuple(map(float, accumulate(unpack_counts(packed_counts, bucket_count)))), total)
        for labels, (packed_counts, total) in selected.items()
    }
    return _limited_histograms(replace(samples, packed_histograms=None), top, buckets)


def _limited_histograms(
    samples: FamilySamples, top: _TopSeries[Any], selected: Mapping[_Labels, _Buckets]
) -> LimitedFamily:
    histograms = [(labels, counts, total) for labels, (counts, total) in selected.items()]
    exponential_buckets = (
        None
        if samples.exponential_buckets is None
        else top.fold_exponential_buckets(samples.exponential_buckets, frozenset(selected))
    )
    series_count = _series_per_histogram(samples)
    return LimitedFamily(
        replace(samples, histograms=histograms, exponential_buckets=exponential_buckets),
        len(histograms) * series_count,
        top.folded * series_count,
    )


def _series_per_histogram(samples: FamilySamples) -> int:
    """Return how many series a label set of a histogram has."""
    return len(samples.bounds) + 3


def _merge_packed(values: Collection[_PackedCounts]) -> _PackedCounts:
    return sum([packed_counts for packed_counts, _ in values]), sum([total for _, total in values])


def _merge_buckets(values: Collection[_Buckets]) -> _Buckets:
    counts = zip(*(counts for counts, _ in values), strict=True)
    return tuple(map(sum, counts)), sum([total for _, total in values])


def _users_by_group(selected: Iterable[_Labels], user_index: int) -> Mapping[_Labels, set[str]]:
    """Return who is chosen of each crowd, which has an empty text in the user's place."""
    names: defaultdict[_Labels, set[str]] = defaultdict(set)
    for labels in selected:
        names[(*labels[:user_index], "", *labels[user_index + 1 :])].add(labels[user_index])
    return names


@dataclass(slots=True, eq=False)
class _ReverseOrder:
    """Label values in a heap, where those that sort last leave first."""

    labels: _Labels

    def __lt__(self, other: _ReverseOrder) -> bool:
        return self.labels > other.labels


@dataclass(slots=True)
class _TopSeries(Generic[V]):
    """Reads the rows of one family and keeps at most ``limit``; holds little more than these at any time."""

    samples: FamilySamples
    limit: int
    merge: Callable[[Collection[V]], V]
    rank: Callable[[V], float]
    may_merge: Callable[[Family], bool]
    sticky_selection: StickySelection
    folded: int = 0
    _selected: dict[_Labels, V] = field(default_factory=dict)
    _folded_values: dict[_Labels, V] = field(default_factory=dict)
    _fold_index: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Find the label that folding replaces."""
        family = self.samples.family
        foldable = [label for label in _FOLDABLE_LABELS if label in family.summable]
        self._fold_index = family.labels.index(foldable[0]) if foldable else None

    def select(self, rows: Iterable[tuple[_Labels, V]]) -> dict[_Labels, V]:
        """Return what is served, by label values."""
        rows = iter(rows)
        size = min(_CHUNK_SERIES, self.limit + 1)
        while len(self._selected) <= self.limit and (chunk := list(islice(rows, size))):
            new_series = dict(chunk)
            if len(new_series) == len(chunk) and self._selected.keys().isdisjoint(new_series):
                self._selected.update(new_series)
            else:
                for labels, value in chunk:
                    self._add(labels, value)
        if len(self._selected) <= self.limit:
            self.sticky_selection.selections.pop(self.samples.family.name, None)
            return self._selected
        first_series, self._selected = self._selected, {}
        rows = chain(first_series.items(), rows)
        return self.select_from(rows, rows)

    def select_from(
        self, rows: Iterable[tuple[_Labels, V]], candidates: Iterable[tuple[_Labels, V]]
    ) -> dict[_Labels, V]:
        """Return what is served of too many rows; ``best`` are all of them that can be among the highest."""
        selection = self.previous_selection()
        if selection is None:
            self._select_top(candidates)
            if self._accumulates:
                self.sticky_selection.selections[self.samples.family.name] = (
                    self.samples.created,
                    frozenset(self._selected),
                )
        elif isinstance(rows, UserHistograms):
            self._select_previous_histograms(rows, selection)
        else:
            self._select_previous(rows, selection)
        return self._selected | self._top_folded(len(self._selected))

    def previous_selection(self) -> frozenset[_Labels] | None:
        """Return the choice that stands; None where there is none."""
        return self.sticky_selection.get(self.samples) if self._accumulates else None

    @property
    def _accumulates(self) -> bool:
        return self.samples.family.type in {MetricType.COUNTER, MetricType.HISTOGRAM}

    def candidates(self: _TopSeries[float], rows: UserSeries) -> Iterator[tuple[_Labels, float]]:
        """Yield the rows that can be among the highest, and fold the others portion by portion."""
        # One row of each portion may already be that of others, which is none of the highest.
        max_candidates = self.limit + len(rows.groups)
        values = chain.from_iterable(group.valid_values() for group in rows.groups)
        # Sorting all is quicker than keeping a heap of so many.
        minimum = sorted(values, reverse=True)[:max_candidates][-1]
        for group in rows.groups:
            if folded_values := [value for value in group.valid_values(minimum) if value < minimum]:
                self._fold(group.labels, sum(folded_values), len(folded_values))
            yield from rows.samples(group, minimum)

    def fold_exponential_buckets(
        self, rows: Iterable[ExponentialBuckets], selected: frozenset[_Labels]
    ) -> list[ExponentialBuckets]:
        """Return the same rows by another count, added up and folded as those that were selected."""
        sums: dict[_Labels, Counter[int]] = {}
        fold_index, may_merge = self._fold_index, self.may_merge(self.samples.family)
        for labels, counts in rows:
            target = labels
            if labels not in selected and fold_index is not None:
                target = (*labels[:fold_index], OTHER, *labels[fold_index + 1 :])
            if target in selected and (target not in sums or may_merge or target != labels):
                sums.setdefault(target, Counter()).update(counts)
        return list(sums.items())

    def _add(self, labels: _Labels, value: V) -> bool:
        """Take a row in, or add it to its equal; tell whether it was new."""
        if labels not in self._selected:
            self._selected[labels] = value
            return True
        if self.may_merge(self.samples.family):
            self._selected[labels] = self.merge((self._selected[labels], value))
        else:
            self.folded += 1
        return False

    def _fold(self, labels: _Labels, value: V, rows: int = 1) -> None:
        """Count a row, or a sum of some, under ``_other`` where that means something."""
        self.folded += rows
        if (fold_index := self._fold_index) is not None:
            target = (*labels[:fold_index], OTHER, *labels[fold_index + 1 :])
            previous = self._folded_values.get(target)
            self._folded_values[target] = value if previous is None else self.merge((previous, value))

    def _select_previous(self, rows: Iterable[tuple[_Labels, V]], selection: frozenset[_Labels]) -> None:
        # Of a family that is far too large most are folded, so they are added up all at once.
        folded: defaultdict[_Labels, list[V]] = defaultdict(list)
        fold_index = self._fold_index
        after = None if fold_index is None else fold_index + 1
        for labels, value in rows:
            if labels in selection:
                self._add(labels, value)
            elif fold_index is not None:
                folded[labels[:fold_index] + labels[after:]].append(value)
            else:
                self.folded += 1
        for labels, values in folded.items():
            self._fold((*labels[:fold_index], "", *labels[fold_index:]), self.merge(values), len(values))

    def _select_previous_histograms(self, rows: UserHistograms, selection: frozenset[_Labels]) -> None:
        """Do the same crowd by crowd, which spares a label set for each user who is folded."""
        users_by_group = _users_by_group(selection, rows.user_index)
        for labels, users in rows.iter_groups():
            selected_users, folded = users_by_group[labels], []
            before, after = labels[: rows.user_index], labels[rows.user_index + 1 :]
            for user, value in users:
                if user in selected_users:
                    self._add((*before, user, *after), value)
                else:
                    folded.append(value)
            if folded:
                self._fold(labels, self.merge(folded), len(folded))

    def select_previous_groups(
        self: _TopSeries[float], rows: UserSeries, selection: frozenset[_Labels]
    ) -> UserSeries:
        """Return those who are chosen, in portions still, and what the others come to."""
        users_by_group = _users_by_group(selection, rows.user_index)
        groups = [
            self._select_previous_group(group, rows.username_labels, users_by_group[group.labels])
            for group in rows.groups
        ]
        series_count = sum(group.count for group in groups)
        return replace(rows, groups=groups, other_samples=list(self._top_folded(series_count).items()))

    def _select_previous_group(
        self: _TopSeries[float],
        group: SeriesGroup,
        username_labels: Mapping[str, str | None],
        selected_users: Collection[str],
    ) -> SeriesGroup:
        values = group.values_by_user()
        selected = {name: value for name, value in values.items() if username_labels[name] in selected_users}
        if len(selected) == group.count:
            return group
        folded = [value for name, value in values.items() if name not in selected]
        self._fold(group.labels, sum(folded), len(folded))
        return SeriesGroup.from_values(group.labels, selected, username_labels)

    def _select_top(self, rows: Iterable[tuple[_Labels, V]]) -> None:
        """Keep the highest, and make room for as many ``_other`` as there are."""
        heap: list[tuple[float, _ReverseOrder]] = []
        fold_index = self._fold_index
        for labels, value in rows:
            rank = self.rank(value)
            if fold_index is not None and labels[fold_index] == OTHER:
                self._fold(labels, value)
            elif labels in self._selected:
                self._add(labels, value)
            elif len(heap) < self.limit:
                self._selected[labels] = value
                heapq.heappush(heap, (rank, _ReverseOrder(labels)))
            elif rank > heap[0][0] or (rank == heap[0][0] and labels < heap[0][1].labels):
                _, lowest = heapq.heapreplace(heap, (rank, _ReverseOrder(labels)))
                self._fold(lowest.labels, self._selected.pop(lowest.labels))
                self._selected[labels] = value
            else:
                self._fold(labels, value)
        while heap and len(heap) + len(self._folded_values) > self.limit:
            _, lowest = heapq.heappop(heap)
            self._fold(lowest.labels, self._selected.pop(lowest.labels))

    def _top_folded(self, selected_count: int) -> dict[_Labels, V]:
        room = self.limit - selected_count
        if len(self._folded_values) <= room:
            return self._folded_values
        top = heapq.nsmallest(room, self._folded_values.items(), key=lambda row: (-self.rank(row[1]), row[0]))
        return dict(top)
