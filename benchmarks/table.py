"""Results: named rows of numbers, and the bars they are held against."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Table", "medians", "percentile"]


@dataclass(frozen=True, slots=True)
class Table:
    """A comparison; the first column names what was measured."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as it stands in the documentation."""
        lines = [
            f"## {self.title}",
            "",
            f"| {' | '.join(self.columns)} |",
            f"|---|{'---:|' * (len(self.columns) - 1)}",
            *[f"| {' | '.join(row)} |" for row in self.rows],
        ]
        return "\n".join([*lines, "", *([self.note, ""] if self.note else [])])


def medians(*works: Callable[[], object], rounds: int = 5) -> list[float]:
    """Return the median of each work's processor seconds, taken in turns so that a busy moment hits all."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, times in zip(works, taken, strict=True):
            gc.collect()
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return [statistics.median(times) for times in taken]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
