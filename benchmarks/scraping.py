"""Duration of scrapes during rendering in the same process."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.result_table import ResultTable, percentile
from benchmarks.workload import family_samples, workload_snapshot
from insights_exporter.metrics.encoder import Format
from tests.support.exposition_text import encode_exposition
from tests.support.network import free_port

__all__ = ["process_memory", "run_program", "scrape"]

_SERIES = 100_000
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
_SCRAPE_PAUSE = 0.02
_NOTE = """\
The gain comes from the design: prometheus_client and node_exporter render at each scrape, this exporter once
per poll. The rendering itself is compared above. The difference between constant bytes and the idle exporter
is the live rendering of self metrics. During rendering, all user values change each time.
Bars: p99 at most 1/100 of prometheus_client's, p50 at most twice that of constant bytes, event loop lag of at
most 20 ms."""


@dataclass(slots=True)
class ScrapeResult:
    """Durations of scrapes of one server in seconds, and its own measurements."""

    times: list[float] = field(default_factory=list)
    server_stats: dict[str, Any] = field(default_factory=dict)

    @property
    def p50(self) -> float:
        """The median."""
        return percentile(self.times, 0.5)

    @property
    def p99(self) -> float:
        """The 99th percentile; the maximum of fewer than 100 scrapes."""
        return percentile(self.times, 0.99)


def scrape() -> ResultTable:
    """Compare scrapes of rendered bytes with rendering at each scrape."""
    results = {name: _benchmark_server(name, 1000) for name in ("constant", "idle", "polling", "busy")}
    results["prometheus_client"] = _benchmark_server("prometheus_client", 10)
    if program := shutil.which("prometheus-node-exporter"):
        results["node_exporter, textfile"] = _node_exporter(program)
    slowest = results["prometheus_client"].p99
    names = {
        "constant": "constant bytes",
        "idle": "this exporter, at rest",
        "polling": "this exporter, rendering each second",
        "busy": "this exporter, rendering without a break",
    }
    rows = [
        (
            names.get(name, name),
            f"{len(result.times)}",
            f"{result.p50 * 1e3:.1f} ms",
            f"{result.p99 * 1e3:.1f} ms",
            f"{slowest / result.p99:.0f}",
            f"{result.server_stats['lag_max'] * 1e3:.1f} ms" if name in names else "",
        )
        for name, result in results.items()
    ]
    return ResultTable(
        f"Scrapes of about {_SERIES:,} series, OpenMetrics, gzip",
        ("served by", "scrapes", "p50", "p99", "times faster (p99)", "longest lag of the event loop"),
        rows,
        _NOTE,
    )


def process_memory() -> ResultTable:
    """Measure a process that serves a large deployment."""
    result = _benchmark_server("polling", 20, series=500_000)
    return ResultTable(
        "A process with about 500,000 series",
        ("peak memory", "scrape p50", "longest lag of the event loop"),
        [
            (
                f"{result.server_stats['peak_megabytes']:.0f} MB",
                f"{result.p50 * 1e3:.1f} ms",
                f"{result.server_stats['lag_max'] * 1e3:.1f} ms",
            )
        ],
        "The bar is 500 MB. Each second renders one of two snapshots, with different values of all users.\n"
        "Both snapshots are in memory.",
    )


def _benchmark_server(name: str, scrapes: int, *, series: int = _SERIES) -> ScrapeResult:
    """Start a server and scrape it."""
    command = [sys.executable, "-m", "benchmarks.server_process", name, str(series)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 # A local program.
        if server.stdout is None:
            raise OSError("The server has no output.")
        times = time_scrapes(int(server.stdout.readline()), scrapes)
        stats_json, _ = server.communicate()
    return ScrapeResult(times, json.loads(stats_json))


def time_scrapes(port: int, count: int) -> list[float]:
    """Return the durations of scrapes in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    # The first two scrapes fill caches on both sides.
    for number in range(count + 2):
        started = time.perf_counter()
        connection.request("GET", "/metrics", headers=_HEADERS)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200 or not body.startswith(b"\x1f\x8b"):
            raise AssertionError(f"Expected a compressed exposition, found {response.status} {body[:80]!r}.")
        if number >= 2:
            times.append(time.perf_counter() - started)
        time.sleep(_SCRAPE_PAUSE)
    connection.close()
    return times


def _node_exporter(program: str) -> ScrapeResult:
    """Scrape node_exporter, which reads the same families from a file at each scrape."""
    samples, _ = family_samples(workload_snapshot(_SERIES))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "insights.prom").write_bytes(encode_exposition(samples, Format.TEXT))
        port = free_port()
        command = [
            program,
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with run_program(command):
            _wait_for_port(port)
            return ScrapeResult(time_scrapes(port, 10))


@contextlib.contextmanager
def run_program(command: list[str]) -> Iterator[None]:
    """Run a program within the context."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603 # A local program.
        try:
            yield
        finally:
            server.terminate()


def _wait_for_port(port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"Port {port} refuses connections.")
