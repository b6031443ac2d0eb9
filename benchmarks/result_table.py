"""Tables of results, and statistics over measurements."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["ResultTable", "median_cpu_seconds", "percentile"]


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A result table; the first column names the measurement."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [
            f"## {self.title}",
            "",
            f"| {' | '.join(self.columns)} |",
            f"|---|{'---:|' * (len(self.columns) - 1)}",
            *[f"| {' | '.join(row)} |" for row in self.rows],
        ]
        return "\n".join([*lines, "", *([self.note, ""] if self.note else [])])


def median_cpu_seconds(*functions: Callable[[], object], rounds: int = 5) -> list[float]:
    """Return the median CPU seconds of each workload, measured in turns so that noise affects all."""
    times_by_function: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, times in zip(functions, times_by_function, strict=True):
            gc.collect()
            started = time.process_time()
            function()
            times.append(time.process_time() - started)
    return [statistics.median(times) for times in times_by_function]


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the nearest-rank percentile."""
    sorted_values = sorted(values)
    return sorted_values[min(len(sorted_values) - 1, int(fraction * len(sorted_values)))]
