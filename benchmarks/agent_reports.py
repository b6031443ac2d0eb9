"""What it costs to take in agent reports, beside what the database needs for the bare sums."""

# ruff: noqa: S608 - the SQL is our own.

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks.agent_table import AGENTS, START, AgentTable, agent_table
from benchmarks.scraping import scraped
from benchmarks.table import Table, percentile
from insights_exporter.collectors.agent_stats.queries import BUCKET

__all__ = ["backlog"]

T = TypeVar("T")

MINUTES: Final = int(os.environ.get("AGENT_MINUTES", "60"))
"""How long the backlog is; a whole day is 1440."""

READINGS: Final = 10
INTERVAL: Final = 60.0
_SCRAPES = 200

_BARE: Final = f"""
COPY (
  SELECT template_id, user_id, (session_count_vscode > 0)::int + 2 * (session_count_jetbrains > 0)::int
      + 4 * (session_count_reconnecting_pty > 0)::int + 8 * (session_count_ssh > 0)::int,
    CASE WHEN connection_median_latency_ms > 0 THEN {BUCKET} END,
    count(*), sum(connection_median_latency_ms), sum(rx_bytes), sum(tx_bytes)
  FROM workspace_agent_stats WHERE created_at >= '{START.isoformat()}' GROUP BY 1, 2, 3, 4
) TO STDOUT
"""
_TIMES_BARE: Final = 1.5
_ABOVE_REST: Final = 100.0
_SHARE: Final = 0.01
_SLOWER: Final = 1.0
_STRIDE: Final = 5
"""So many readings of a minute each close a slice once."""

_NOTE = f"""\
{AGENTS:,} agents with one row each half minute, all with an open session. The bare sums are one query over
the same rows in psql, by template, user, apps and bucket, with work_mem at 256 MB; it runs before and after,
and the mean counts. The exporter also finds the minutes of each session, and keeps a state file. psql's query
gets PostgreSQL's parallel workers, and those of the exporter, which are smaller, run in one process. The
database is on the same machine and takes its cores, so scrapes while rows are taken in stand beside those
while psql alone keeps it busy. Each fifth minute is counted for good, which costs more than the others; the
share of a core is that of the mean."""


def backlog() -> Table:
    """Take in a backlog, then minute after minute, and scrape meanwhile."""
    with agent_table(MINUTES) as table, _exporter(table) as exporter:
        idle = scraped(exporter.port, _SCRAPES)
        resting = exporter.megabytes()
        before, beside = exporter.scraped_during(lambda: _bare(table))
        taken, meanwhile = exporter.scraped_during(exporter.read)
        after, more = exporter.scraped_during(lambda: _bare(table))
        readings = []
        for _ in range(READINGS):
            table.grow(1)
            readings.append(exporter.read()["cpu"])
    times = taken["seconds"] / statistics.mean((before, after))
    above = taken["peak_megabytes"] - resting
    median, spent = statistics.median(readings[1:]), statistics.mean(readings[-_STRIDE:])
    slower = [percentile(meanwhile, share) / percentile(beside + more, share) for share in (0.5, 0.99)]
    rows = [
        ("rows of the backlog", f"{MINUTES * AGENTS * 2:,}", ""),
        ("bare sums in psql, before and after", f"{before:.1f} s and {after:.1f} s", ""),
        ("taken in", f"{taken['seconds']:.1f} s", ""),
        ("times the bare sums", f"{times:.2f}", _bar(f"{_TIMES_BARE:g}", met=times <= _TIMES_BARE)),
        ("the exporter's own CPU time for it", f"{taken['cpu']:.1f} s", ""),
        ("memory at rest", f"{resting:.0f} MB", ""),
        ("above it at the peak", f"{above:.0f} MB", _bar(f"{_ABOVE_REST:g} MB", met=above < _ABOVE_REST)),
        ("scrape at rest, p50 and p99", _percentiles(idle), ""),
        ("scrape while psql takes the bare sums, p50 and p99", _percentiles(beside + more), ""),
        ("scrape while rows are taken in, p50 and p99", _percentiles(meanwhile), ""),
        (
            "times those of psql",
            " and ".join(f"{one:.2f}" for one in slower),
            _bar(f"{_SLOWER:g}", met=max(slower) <= _SLOWER),
        ),
        ("a reading of one more minute, CPU time, median", f"{median * 1e3:.0f} ms", ""),
        (f"mean of {_STRIDE} in a row, one of which closes a slice", f"{spent * 1e3:.0f} ms", ""),
        (
            f"share of a core at one reading each {INTERVAL:g} s",
            f"{spent / INTERVAL:.2%}",
            _bar(f"{_SHARE:.0%}", met=spent / INTERVAL < _SHARE),
        ),
    ]
    return Table("Agent statistics", ("what", "measured", "bar"), rows, _NOTE)


def _bar(most: str, *, met: bool) -> str:
    return f"{most}, {'met' if met else 'not met'}"


def _percentiles(times: list[float]) -> str:
    return f"{percentile(times, 0.5) * 1e3:.1f} ms, {percentile(times, 0.99) * 1e3:.1f} ms"


def _bare(table: AgentTable) -> float:
    began = time.perf_counter()
    table.sql(f"SET work_mem = '256MB'; SET jit = off;\n{_BARE};")
    return time.perf_counter() - began


class _Exporter:
    """The other process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._told())

    def read(self) -> dict[str, Any]:
        """Let it read once and return what that took."""
        self._ask()
        return dict(self._told())

    def scraped_during(self, work: Callable[[], T]) -> tuple[T, list[float]]:
        """Scrape while something runs; return what came of it, and what the scrapes took."""
        times: list[float] = []
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(work)
            while not running.done():
                times += scraped(self.port, 20)
            return running.result(), times

    def megabytes(self) -> float:
        """Return what the process takes now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def _ask(self) -> None:
        if self._process.stdin is None:
            raise OSError("The exporter has no input.")
        self._process.stdin.write("read\n")
        self._process.stdin.flush()

    def _told(self) -> Any:
        if self._process.stdout is None or not (line := self._process.stdout.readline()):
            raise OSError("The exporter ended.")
        return json.loads(line)


@contextmanager
def _exporter(table: AgentTable, since: datetime = START) -> Iterator[_Exporter]:
    command = [sys.executable, "-m", "benchmarks.reading", table.dsn, since.isoformat()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module.
        try:
            yield _Exporter(process)
        finally:
            process.kill()
