"""Detection of late rows: reports that were inserted after their batch was committed.

Late rows are not counted. A committed batch keeps its number of rows, and the database counts the rows of
recent batches again from time to time, which reads only an index.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

__all__ = ["LOOKBACK", "CommittedBatch", "LateRowDetector", "LateRows"]

LOOKBACK: Final = timedelta(hours=1)
"""Time before the cursor in which late rows are detected."""


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """A committed time span and its number of rows."""

    begin: datetime
    end: datetime
    rows: int


@dataclass(frozen=True, slots=True)
class LateRows:
    """Number of late rows, and the begin of the oldest batch to which they belong."""

    row_count: int
    since: datetime


class LateRowDetector:
    """Row counts of the last committed batches, which are contiguous."""

    def __init__(self, batches: Iterable[CommittedBatch] = ()) -> None:
        self._batches = deque(batches)

    @property
    def batches(self) -> tuple[CommittedBatch, ...]:
        """The batches within the lookback, oldest first."""
        return tuple(self._batches)

    def add_batch(self, begin: datetime, end: datetime, rows: int) -> None:
        """Add a batch; drop batches outside the lookback, and all of them if the new one leaves a gap."""
        if self._batches and self._batches[-1].end != begin:
            self._batches.clear()
        self._batches.append(CommittedBatch(begin, end, rows))
        while self._batches[0].end <= end - LOOKBACK:
            self._batches.popleft()

    def detect(self, row_counts: Sequence[int]) -> LateRows | None:
        """Return the late rows, given each batch's current row count; each row is reported once."""
        batches = tuple(self._batches)
        late = [
            (batch, row_count - batch.rows)
            for batch, row_count in zip(batches, row_counts, strict=True)
            if row_count > batch.rows
        ]
        # A lower count means that rows were deleted; later comparisons start from the lower count.
        self._batches = deque(
            replace(batch, rows=row_count) for batch, row_count in zip(batches, row_counts, strict=True)
        )
        if not late:
            return None
        return LateRows(sum(late_count for _, late_count in late), late[0][0].begin)
