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

__all__ = ["KEPT", "Closed", "Late", "Lateness"]

KEPT: Final = timedelta(hours=1)
"""How far back, from where counting stands, late reports are noticed."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A slice that was counted for good, with its number of reports."""

    begin: datetime
    end: datetime
    rows: int


@dataclass(frozen=True, slots=True)
class Late:
    """How many reports came late, and since when the oldest of them belong to a closed slice."""

    rows: int
    since: datetime


class Lateness:
    """Remembers the last slices, which follow each other without a gap."""

    def __init__(self, slices: Iterable[Closed] = ()) -> None:
        self._slices = deque(slices)

    @property
    def slices(self) -> tuple[Closed, ...]:
        """What is remembered, the oldest first."""
        return tuple(self._slices)

    def close(self, begin: datetime, end: datetime, rows: int) -> None:
        """Note a slice and forget those that are too old, or all where this one does not follow them."""
        if self._slices and self._slices[-1].end != begin:
            self._slices.clear()
        self._slices.append(Closed(begin, end, rows))
        while self._slices[0].end <= end - KEPT:
            self._slices.popleft()

    def compare(self, rows: Sequence[int]) -> Late | None:
        """Take the slices' numbers as they are now and return what came late; each report is told once."""
        slices = tuple(self._slices)
        late = [(one, now - one.rows) for one, now in zip(slices, rows, strict=True) if now > one.rows]
        # Fewer than before were removed by somebody; late ones are counted from there, too.
        self._slices = deque(replace(one, rows=now) for one, now in zip(slices, rows, strict=True))
        if not late:
            return None
        return Late(sum(more for _, more in late), late[0][0].begin)
