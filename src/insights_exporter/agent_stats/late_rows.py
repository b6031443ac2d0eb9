"""How many reports came after the span that they belong to was counted for good.

What is that late is not counted any more, and must not go unnoticed either. All that is kept of a closed
slice is its number of reports; the database counts them again from time to time, which is cheap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

__all__ = ["LOOKBACK", "CommittedBatch", "LateRowDetector", "LateRows"]

LOOKBACK: Final = timedelta(hours=1)
"""How far back, from where counting stands, late reports are noticed."""


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """A slice that was counted for good, with its number of reports."""

    begin: datetime
    end: datetime
    rows: int


@dataclass(frozen=True, slots=True)
class LateRows:
    """How many reports came late, and since when the oldest of them belong to a closed slice."""

    row_count: int
    since: datetime


class LateRowDetector:
    """Remembers the last slices, which follow each other without a gap."""

    def __init__(self, batches: Iterable[CommittedBatch] = ()) -> None:
        self._batches = deque(batches)

    @property
    def batches(self) -> tuple[CommittedBatch, ...]:
        """What is remembered, the oldest first."""
        return tuple(self._batches)

    def add_batch(self, begin: datetime, end: datetime, rows: int) -> None:
        """Note a slice and forget those that are too old, or all where this one does not follow them."""
        if self._batches and self._batches[-1].end != begin:
            self._batches.clear()
        self._batches.append(CommittedBatch(begin, end, rows))
        while self._batches[0].end <= end - LOOKBACK:
            self._batches.popleft()

    def detect(self, row_counts: Sequence[int]) -> LateRows | None:
        """Take the slices' numbers as they are now and return what came late; each report is told once."""
        batches = tuple(self._batches)
        late = [
            (batch, row_count - batch.rows)
            for batch, row_count in zip(batches, row_counts, strict=True)
            if row_count > batch.rows
        ]
        # Fewer than before were removed by somebody; late ones are counted from there, too.
        self._batches = deque(
            replace(batch, rows=row_count) for batch, row_count in zip(batches, row_counts, strict=True)
        )
        if not late:
            return None
        return LateRows(sum(late_count for _, late_count in late), late[0][0].begin)
