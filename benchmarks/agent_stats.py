"""Cost of reading agent reports, compared with a query for the sums alone."""

# ruff: noqa: S608 # The SQL consists of constants.

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

from benchmarks.agent_stats_table import AGENT_COUNT, START, LargeAgentStatsTable, large_agent_stats_table
from benchmarks.result_table import ResultTable, percentile
from benchmarks.scraping import time_scrapes
from insights_exporter.agent_stats.postgres.queries import BUCKET_SQL

__all__ = ["backlog"]

T = TypeVar("T")

BACKLOG_MINUTES: Final = int(os.environ.get("AGENT_MINUTES", "60"))
"""Minutes of the backlog; a whole day is 1440."""

MEASURED_READS: Final = 10
INTERVAL: Final = 60.0
_SCRAPES = 200

_BASELINE_SQL: Final = f"""
COPY (
  SELECT template_id, user_id, (session_count_vscode > 0)::int + 2 * (session_count_jetbrains > 0)::int
      + 4 * (session_count_reconnecting_pty > 0)::int + 8 * (session_count_ssh > 0)::int,
    CASE WHEN connection_median_latency_ms > 0 THEN {BUCKET_SQL} END,
    count(*), sum(connection_median_latency_ms), sum(rx_bytes), sum(tx_bytes)
  FROM workspace_agent_stats WHERE created_at >= '{START.isoformat()}' GROUP BY 1, 2, 3, 4
) TO STDOUT
"""
_MAX_BASELINE_RATIO: Final = 1.5
_MAX_MEMORY_GROWTH: Final = 100.0
_MAX_CPU_FRACTION: Final = 0.01
_MAX_SCRAPE_SLOWDOWN: Final = 1.0
_READS_PER_BATCH: Final = 5
"""Number of one-minute reads per committed batch."""

_NOTE = f"""\
{AGENT_COUNT:,} agents with one row per 30 s, each with an open session. The sums alone are one psql query
over the same rows by template, user, apps and bucket with work_mem = 256 MB. It runs before and after;
the mean counts. The exporter also computes session minutes and writes a state file. psql's query uses
PostgreSQL's parallel workers; the exporter's smaller queries run in one process. The database shares the
cores of the machine, so scrapes during reads are compared with scrapes during the psql query. Every fifth
read commits a batch, which costs more; the share of a core is that of the mean."""


def backlog() -> ResultTable:
    """Read a backlog, then one minute at a time, with concurrent scrapes."""
    with large_agent_stats_table(BACKLOG_MINUTES) as table, _run_exporter(table) as exporter:
        idle_scrapes = time_scrapes(exporter.port, _SCRAPES)
        idle_megabytes = exporter.megabytes()
        baseline_before, scrapes_before = exporter.scrape_during(lambda: _baseline_seconds(table))
        backlog_read, backlog_scrapes = exporter.scrape_during(exporter.read)
        baseline_after, scrapes_after = exporter.scrape_during(lambda: _baseline_seconds(table))
        read_cpu_seconds = []
        for _ in range(MEASURED_READS):
            table.add_minutes(1)
            read_cpu_seconds.append(exporter.read()["cpu"])
    baseline_ratio = backlog_read["seconds"] / statistics.mean((baseline_before, baseline_after))
    memory_growth = backlog_read["peak_megabytes"] - idle_megabytes
    median_cpu, mean_cpu = (
        statistics.median(read_cpu_seconds[1:]),
        statistics.mean(read_cpu_seconds[-_READS_PER_BATCH:]),
    )
    slowdowns = [
        percentile(backlog_scrapes, fraction) / percentile(scrapes_before + scrapes_after, fraction)
        for fraction in (0.5, 0.99)
    ]
    rows = [
        ("rows of the backlog", f"{BACKLOG_MINUTES * AGENT_COUNT * 2:,}", ""),
        ("sums alone in psql, before and after", f"{baseline_before:.1f} s and {baseline_after:.1f} s", ""),
        ("taken in", f"{backlog_read['seconds']:.1f} s", ""),
        (
            "ratio to the sums alone",
            f"{baseline_ratio:.2f}",
            _threshold(f"{_MAX_BASELINE_RATIO:g}", is_met=baseline_ratio <= _MAX_BASELINE_RATIO),
        ),
        ("CPU time of the exporter for it", f"{backlog_read['cpu']:.1f} s", ""),
        ("idle memory", f"{idle_megabytes:.0f} MB", ""),
        (
            "peak above idle",
            f"{memory_growth:.0f} MB",
            _threshold(f"{_MAX_MEMORY_GROWTH:g} MB", is_met=memory_growth < _MAX_MEMORY_GROWTH),
        ),
        ("idle scrape, p50 and p99", _percentiles(idle_scrapes), ""),
        (
            "scrape during the psql query, p50 and p99",
            _percentiles(scrapes_before + scrapes_after),
            "",
        ),
        ("scrape during reads, p50 and p99", _percentiles(backlog_scrapes), ""),
        (
            "ratio to scrapes during psql",
            " and ".join(f"{slowdown:.2f}" for slowdown in slowdowns),
            _threshold(f"{_MAX_SCRAPE_SLOWDOWN:g}", is_met=max(slowdowns) <= _MAX_SCRAPE_SLOWDOWN),
        ),
        ("read of one minute, median CPU time", f"{median_cpu * 1e3:.0f} ms", ""),
        (
            f"mean of {_READS_PER_BATCH} reads, one of which commits a batch",
            f"{mean_cpu * 1e3:.0f} ms",
            "",
        ),
        (
            f"share of a core at one read per {INTERVAL:g} s",
            f"{mean_cpu / INTERVAL:.2%}",
            _threshold(f"{_MAX_CPU_FRACTION:.0%}", is_met=mean_cpu / INTERVAL < _MAX_CPU_FRACTION),
        ),
    ]
    return ResultTable("Agent statistics", ("measurement", "result", "bar"), rows, _NOTE)


def _threshold(limit: str, *, is_met: bool) -> str:
    return f"{limit}, {'met' if is_met else 'not met'}"


def _percentiles(times: list[float]) -> str:
    return f"{percentile(times, 0.5) * 1e3:.1f} ms, {percentile(times, 0.99) * 1e3:.1f} ms"


def _baseline_seconds(table: LargeAgentStatsTable) -> float:
    started = time.perf_counter()
    table.sql(f"SET work_mem = '256MB'; SET jit = off;\n{_BASELINE_SQL};")
    return time.perf_counter() - started


class _ExporterProcess:
    """The exporter in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._read_response())

    def read(self) -> dict[str, Any]:
        """Read once and return the measurements."""
        self._send_read()
        return dict(self._read_response())

    def scrape_during(self, function: Callable[[], T]) -> tuple[T, list[float]]:
        """Scrape during a task; return its result and the durations of the scrapes."""
        times: list[float] = []
        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(function)
            while not future.done():
                times += time_scrapes(self.port, 20)
            return future.result(), times

    def megabytes(self) -> float:
        """Return the current measurements of the process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def _send_read(self) -> None:
        if self._process.stdin is None:
            raise OSError("The exporter process has no input.")
        self._process.stdin.write("read\n")
        self._process.stdin.flush()

    def _read_response(self) -> Any:
        if self._process.stdout is None or not (line := self._process.stdout.readline()):
            raise OSError("The exporter process ended.")
        return json.loads(line)


@contextmanager
def _run_exporter(table: LargeAgentStatsTable, since: datetime = START) -> Iterator[_ExporterProcess]:
    command = [sys.executable, "-m", "benchmarks.agent_stats_process", table.dsn, since.isoformat()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 # A module of the benchmarks.
        try:
            yield _ExporterProcess(process)
        finally:
            process.kill()
