"""The series limit of a family: which series are served, and how the others are folded.

The series with the highest values are served; equal values are ordered by label values, so replicas agree.
The others are summed under ``_other`` if a sum over users or parameter values is meaningful, and dropped
otherwise.

For counters and histograms the selection is sticky: a series that changed between its own label set and
``_other`` would make a counter decrease, which Prometheus takes for a restart. So the selection stays until
the counters start anew or the family fits its limit again, and a new series is part of ``_other`` even if it
is higher. After a restart of the exporter the selection is made anew: ``_other`` may decrease once, and
replicas that started at different times may select different series.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Final, Generic, TypeVar, cast

from insights_exporter.metrics.encoder import ExponentialBuckets, FamilySamples, Labels
from insights_exporter.metrics.family import OTHER, Family, MetricType

__all__ = ["LimitedFamily", "StickySelection", "apply_limit"]

_FOLDABLE_LABELS: Final = ("username", "parameter_value")
_CHUNK_ROWS: Final = 5000

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class LimitedFamily:
    """A family within its limit; ``series`` are served, ``folded`` are summed under ``_other`` or dropped."""

    samples: FamilySamples
    series: int
    folded: int


@dataclass(slots=True)
class StickySelection:
    """The selected label sets of counters and histograms above their limit, kept from poll to poll."""

    selections: dict[str, tuple[float | None, frozenset[Labels]]] = field(default_factory=dict)

    def get(self, samples: FamilySamples) -> frozenset[Labels] | None:
        """Return the selection of a family; None if there is none since its counters started."""
        created, labels = self.selections.get(samples.family.name, (None, None))
        return labels if created == samples.created else None


def apply_limit(
    samples: FamilySamples,
    limit: int,
    *,
    may_merge: Callable[[Family], bool],
    sticky_selection: StickySelection,
) -> LimitedFamily:
    """Return a family with at most ``limit`` series and unique label sets.

    Samples with equal label sets are summed if ``may_merge``; otherwise the first is kept. A histogram counts
    as many series as it has lines.
    """
    max_rows = max(1, limit // samples.series_per_row)
    grouped_count = samples.grouped_count
    if grouped_count is not None and grouped_count <= max_rows:
        sticky_selection.selections.pop(samples.family.name, None)
        return LimitedFamily(samples, grouped_count, 0)
    limiter = _SeriesLimiter[Any](
        samples, max_rows, samples.merge, may_merge(samples.family), sticky_selection
    )
    selection = limiter.previous_selection()
    if grouped_count is not None and selection is not None:
        limited, row_count = limiter.restrict_groups(selection)
    else:
        rows = limiter.select() if grouped_count is None else limiter.select_highest_of_groups()
        limited, row_count = replace(samples, rows=rows.items(), groups=()), len(rows)
        if samples.exponential_buckets is not None:
            limited = replace(
                limited,
                exponential_buckets=limiter.fold_exponential_buckets(samples.exponential_buckets, rows),
            )
    return LimitedFamily(limited, row_count * samples.series_per_row, limiter.folded * samples.series_per_row)


@dataclass(slots=True, eq=False)
class _ReverseOrder:
    """Label values in a heap whose smallest element is the last in label order."""

    labels: Labels

    def __lt__(self, other: _ReverseOrder) -> bool:
        return self.labels > other.labels


@dataclass(slots=True)
class _SeriesLimiter(Generic[V]):
    """Selects at most ``limit`` rows of a family; memory is bounded by the limit, not by the rows."""

    samples: FamilySamples
    limit: int
    merge: Callable[[Collection[V]], V]
    may_merge: bool
    sticky_selection: StickySelection
    folded: int = 0
    _selected: dict[Labels, V] = field(default_factory=dict)
    _folded_values: dict[Labels, V] = field(default_factory=dict)
    _fold_index: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Set the position of the label whose value becomes ``_other``."""
        family = self.samples.family
        foldable = [label for label in _FOLDABLE_LABELS if label in family.summable]
        self._fold_index = family.labels.index(foldable[0]) if foldable else None

    def select(self) -> dict[Labels, V]:
        """Return the values to serve by label set."""
        rows = iter(self.samples)
        size = min(_CHUNK_ROWS, self.limit + 1)
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
        all_rows = chain(first_series.items(), rows)
        selection = self.previous_selection()
        if selection is None:
            return self._select_highest(all_rows)
        self._select_previous(all_rows, selection)
        return self._selected | self._top_folded(len(self._selected))

    def select_highest_of_groups(self) -> dict[Labels, V]:
        """Return the same for grouped samples above the limit; most are folded group by group."""
        # In each group one of the highest may be "_other" already, which is not selected.
        rows, rest = self.samples.split_highest(self.limit + len(self.samples.groups))
        for labels, values in rest.items():
            self._fold(labels, self.merge(cast("list[V]", values)), len(values))
        return self._select_highest(cast("Iterable[tuple[Labels, V]]", rows))

    def previous_selection(self) -> frozenset[Labels] | None:
        """Return the sticky selection; None if there is none."""
        return self.sticky_selection.get(self.samples) if self._is_cumulative else None

    def restrict_groups(self, selection: frozenset[Labels]) -> tuple[FamilySamples, int]:
        """Return grouped samples within a selection, still grouped, and their number."""
        limited, rest = self.samples.restrict_to(selection)
        for labels, values in rest.items():
            self._fold(labels, self.merge(cast("list[V]", values)), len(values))
        count = sum(group.count for group in limited.groups)
        other = self._top_folded(count)
        return replace(limited, rows=other.items()), count + len(other)

    def fold_exponential_buckets(
        self, rows: Iterable[ExponentialBuckets], selected: Collection[Labels]
    ) -> list[ExponentialBuckets]:
        """Return exponential buckets merged and folded like the selected histograms."""
        sums: dict[Labels, Counter[int]] = {}
        for labels, counts in rows:
            target = labels
            if labels not in selected and self._fold_index is not None:
                target = self._other(labels, self._fold_index)
            if target in selected and (target not in sums or self.may_merge or target != labels):
                sums.setdefault(target, Counter()).update(counts)
        return list(sums.items())

    @property
    def _is_cumulative(self) -> bool:
        return self.samples.family.type in {MetricType.COUNTER, MetricType.HISTOGRAM}

    def _rank(self, value: Any) -> float:
        return value.count if self.samples.bounds else value  # type: ignore[no-any-return]  # A number.

    def _other(self, labels: Labels, fold_index: int) -> Labels:
        return (*labels[:fold_index], OTHER, *labels[fold_index + 1 :])

    def _add(self, labels: Labels, value: V) -> None:
        """Select a row, or merge it into the selected one with the same labels."""
        if labels not in self._selected:
            self._selected[labels] = value
        elif self.may_merge:
            self._selected[labels] = self.merge((self._selected[labels], value))
        else:
            self.folded += 1

    def _fold(self, labels: Labels, value: V, rows: int = 1) -> None:
        """Add the value of ``rows`` rows to ``_other``, or drop it if the family cannot be summed."""
        self.folded += rows
        if self._fold_index is not None:
            target = self._other(labels, self._fold_index)
            previous = self._folded_values.get(target)
            self._folded_values[target] = value if previous is None else self.merge((previous, value))

    def _select_previous(self, rows: Iterable[tuple[Labels, V]], selection: frozenset[Labels]) -> None:
        # Nearly all rows of a family far above its limit are folded; adding them up at once is faster.
        folded: defaultdict[Labels, list[V]] = defaultdict(list)
        fold_index = self._fold_index
        for labels, value in rows:
            if labels in selection:
                self._add(labels, value)
            elif fold_index is not None:
                folded[self._other(labels, fold_index)].append(value)
            else:
                self.folded += 1
        for labels, values in folded.items():
            self._fold(labels, self.merge(values), len(values))

    def _select_highest(self, rows: Iterable[tuple[Labels, V]]) -> dict[Labels, V]:
        self._fill_with_highest(rows)
        if self._is_cumulative:
            selection = self.samples.created, frozenset(self._selected)
            self.sticky_selection.selections[self.samples.family.name] = selection
        return self._selected | self._top_folded(len(self._selected))

    def _fill_with_highest(self, rows: Iterable[tuple[Labels, V]]) -> None:
        """Select the highest rows, fewer than the limit to leave room for the ``_other`` series."""
        heap: list[tuple[float, _ReverseOrder]] = []
        fold_index = self._fold_index
        for labels, value in rows:
            rank = self._rank(value)
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

    def _top_folded(self, selected_count: int) -> dict[Labels, V]:
        room = self.limit - selected_count
        if len(self._folded_values) <= room:
            return self._folded_values
        top = heapq.nsmallest(
            room, self._folded_values.items(), key=lambda row: (-self._rank(row[1]), row[0])
        )
        return dict(top)
