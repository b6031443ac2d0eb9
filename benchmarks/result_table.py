"""Results: named rows of numbers, and the bars they are held against."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["ResultTable", "median_cpu_seconds", "percentile"]


@dataclass(frozen=True, slots=True)
class ResultTable:
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


def median_cpu_seconds(*functions: Callable[[], object], rounds: int = 5) -> list[float]:
    """Return the median of each work's processor seconds, taken in turns so that a busy moment hits all."""
    times_by_function: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, times in zip(functions, times_by_function, strict=True):
            gc.collect()
            started = time.process_time()
            function()
            times.append(time.process_time() - started)
    return [statistics.median(times) for times in times_by_function]


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the value that this share of the values does not exceed."""
    sorted_values = sorted(values)
    return sorted_values[min(len(sorted_values) - 1, int(fraction * len(sorted_values)))]
