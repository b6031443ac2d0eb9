"""How long scrapes take while the page is rendered anew in the same process."""

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
from insights_exporter.metrics.encoder.text import Format, encode_families

__all__ = ["process_memory", "run_program", "scrape"]

_SERIES = 100_000
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
_SCRAPE_PAUSE = 0.02
_NOTE = """\
Ready bytes are a gain of design and not of language: prometheus_client and node_exporter write their page at
each scrape, which this exporter does once per poll. The work itself is compared under rendering. What lies
between constant bytes and this exporter at rest are its own metrics, written live. While it renders, the
numbers of all users change each time.
Bars: p99 at most 1/100 of prometheus_client's, p50 at most twice that of constant bytes, a lag of at most
20 ms."""


@dataclass(slots=True)
class ScrapeResult:
    """What scrapes of one contender took, in seconds, and what its process saw."""

    times: list[float] = field(default_factory=list)
    server_stats: dict[str, Any] = field(default_factory=dict)

    @property
    def p50(self) -> float:
        """The middle."""
        return percentile(self.times, 0.5)

    @property
    def p99(self) -> float:
        """What one in a hundred exceeds; the longest where there are fewer."""
        return percentile(self.times, 0.99)


def scrape() -> ResultTable:
    """Compare scrapes of ready bytes with those that write the page each time."""
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
    """Show what a process takes that holds and serves a big deployment."""
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
        "The bar is 500 MB. Each second one of two snapshots is rendered, whose users' numbers all differ.\n"
        "Both are held.",
    )


def _benchmark_server(name: str, scrapes: int, *, series: int = _SERIES) -> ScrapeResult:
    """Scrape a server that is started for it."""
    command = [sys.executable, "-m", "benchmarks.server_process", name, str(series)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            raise OSError("The server has no output.")
        times = time_scrapes(int(server.stdout.readline()), scrapes)
        stats_json, _ = server.communicate()
    return ScrapeResult(times, json.loads(stats_json))


def time_scrapes(port: int, count: int) -> list[float]:
    """Return what so many scrapes took, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    # The first two fill caches on both sides.
    for number in range(count + 2):
        started = time.perf_counter()
        connection.request("GET", "/metrics", headers=_HEADERS)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200 or not body.startswith(b"\x1f\x8b"):
            raise AssertionError(f"Expected a compressed page, found {response.status} {body[:80]!r}.")
        if number >= 2:
            times.append(time.perf_counter() - started)
        time.sleep(_SCRAPE_PAUSE)
    connection.close()
    return times


def _node_exporter(program: str) -> ScrapeResult:
    """Scrape node_exporter, which reads and writes the same families from a file each time."""
    samples, _ = family_samples(workload_snapshot(_SERIES))
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free_socket:
        Path(folder, "insights.prom").write_bytes(encode_families(samples, Format.TEXT))
        free_socket.bind(("127.0.0.1", 0))
        port = free_socket.getsockname()[1]
        free_socket.close()
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
    """Run a program while the context lasts."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
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
    raise TimeoutError(f"Nothing listens at port {port}.")
