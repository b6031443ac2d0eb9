"""Agent statistics of one day: compressed OpenMetrics text in the journal, series by series."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from insights_exporter.backfill.family_rows import FamilyRows, Metric
from insights_exporter.backfill.journal import replace_file
from insights_exporter.metrics.family import MetricType

__all__ = ["AgentDay", "AgentDayWriter"]

_CUMULATIVE: Final = frozenset({MetricType.COUNTER, MetricType.HISTOGRAM})

Rows = Mapping[str, FamilyRows]
"""The rows of all families at one time, by family name."""


@dataclass(frozen=True, slots=True)
class AgentDay:
    """The written text of a day; ``apps`` are the values of its label ``app``."""

    path: Path
    series: int
    apps: tuple[str, ...]

    def lines(self, times: range, *, in_milliseconds: bool = False) -> Iterator[bytes]:
        """Yield the header of each family and its samples at these Unix times.

        ``in_milliseconds`` selects the timestamps of the Prometheus text format.
        """
        with gzip.open(self.path) as file:
            for line in file:
                if line.startswith(b"#"):
                    yield line
                elif int(line[line.rindex(b" ") :]) in times:
                    yield line[:-1] + b"000\n" if in_milliseconds else line


@dataclass(slots=True)
class AgentDayWriter:
    """Collects the rows of a day in the order of time, and writes them."""

    _points: dict[str, list[tuple[int, FamilyRows]]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there are no rows."""
        return not self._points

    def add(self, time: int, rows: Rows) -> None:
        """Add the rows at a Unix time; lines that did not change are kept in memory once."""
        for name, new in rows.items():
            points = self._points.setdefault(name, [])
            known: Mapping[bytes, Metric] = points[-1][1].metrics if points else {}
            metrics = {
                key: known[key] if known.get(key) == metric else metric for key, metric in new.metrics.items()
            }
            points.append((time, FamilyRows(new.family, new.header, metrics)))

    def write(self, path: Path, following: Rows = MappingProxyType({})) -> int:
        """Write the file, and return the number of series.

        ``following`` are the rows at the first time after the day, if there is one.
        """
        series = 0
        with (
            replace_file(path) as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as text,
        ):
            for name, points in self._points.items():
                after = following[name].metrics if name in following else {}
                series += _write_family(text, points, after)
        return series


def _write_family(
    text: gzip.GzipFile, points: Sequence[tuple[int, FamilyRows]], after: Mapping[bytes, Metric]
) -> int:
    """Write the samples of a family, and return the number of its series."""
    metrics_by_time = [*(rows.metrics for _, rows in points), after]
    keys = {key: len(metric) for metrics in metrics_by_time for key, metric in metrics.items()}
    if not keys:
        return 0
    rows = points[0][1]
    text.write(rows.header)
    times = [b"%d\n" % time for time, _ in points]
    for key in keys:
        history = [metrics.get(key) for metrics in metrics_by_time]
        if rows.family.type in _CUMULATIVE:
            history = _from_zero(history)
        for time, metric in zip(times, history, strict=False):
            text.writelines([line + time for line in metric or ()])
    return sum(keys.values())


def _from_zero(history: Sequence[Metric | None]) -> list[Metric | None]:
    """Return the values of a series with a 0 before the first: ``increase()`` ignores a first value."""
    first = next(index for index, metric in enumerate(history) if metric is not None)
    metric = history[first]
    if not first or metric is None:
        return list(history)
    zero = tuple(line[: line.rindex(b" ", 0, -1)] + b" 0 " for line in metric)
    return [*history[: first - 1], zero, *history[first:]]
