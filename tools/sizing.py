"""Measure what the exporter needs for deployments of several sizes, against the simulated Coder.

Prints the rows of the table in docs/install/sizing.md, and runs for about half an hour. CPU is the time of
the process, because other programs share the machine.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TOKEN: Final = Path(__file__).parents[1] / "deploy" / "demo-token"
_SIZES: Final = ((10, 50, 30), (50, 500, 60), (200, 2000, 60), (500, 5000, 120))
"""Templates, users, and seconds between polls; a poll must end within them."""

_SOURCES: Final = ("none", "coderd_metrics")
_POLLS: Final = 2
_LONGEST_START: Final = 900
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one run needed; memory in MiB, pages in bytes, times in seconds."""

    series: int
    page: int
    compressed: int
    ready: float
    cpu_per_poll: float
    peak: int


def main(arguments: list[str] | None = None) -> int:
    """Print a Markdown row for each size and source."""
    parser = argparse.ArgumentParser(prog="python -m tools.sizing", description=__doc__)
    parser.add_argument("--largest", type=int, default=500, metavar="TEMPLATES", help="leave out larger ones")
    largest = parser.parse_args(arguments).largest
    for templates, users, interval in (one for one in _SIZES if one[0] <= largest):
        for source in _SOURCES:
            need = _measure(templates, users, interval, source)
            sys.stdout.write(
                f"| {templates:,} | {users:,} | `{source}` | {need.series:,} | {need.peak} MiB "
                f"| {need.cpu_per_poll:.2f} s | {need.ready:.0f} s "
                f"| {need.page / 1e6:.1f} MB, {need.compressed / 1e6:.2f} MB |\n"
            )
            sys.stdout.flush()
    return 0


def _measure(templates: int, users: int, interval: int, source: str) -> Need:
    coder, metrics, port = _free_port(), _free_port(), _free_port()
    size = ("--templates", str(templates), "--users", str(users))
    simulated = _started("simulate", *size, "--port", str(coder), "--metrics-port", str(metrics))
    with simulated, _exporter(coder, metrics, port, interval, source) as process:
        begin = time.monotonic()
        _wait(f"http://127.0.0.1:{port}/-/ready", process)
        ready = time.monotonic() - begin
        # Only later polls are measured: the first one fetches every window.
        time.sleep(interval * 1.2)
        before = _cpu(process.pid)
        time.sleep(interval * _POLLS)
        used = _cpu(process.pid) - before
        page = _get(f"http://127.0.0.1:{port}/metrics")
        return Need(
            series=sum(1 for line in page.splitlines() if line and not line.startswith(b"#")),
            page=len(page),
            compressed=len(_get(f"http://127.0.0.1:{port}/metrics", gzip=True)),
            ready=ready,
            cpu_per_poll=used / _POLLS,
            peak=_memory(process.pid),
        )


@contextmanager
def _exporter(
    coder: int, metrics: int, port: int, interval: int, source: str
) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "CODER_URL": f"http://127.0.0.1:{coder}",
        "CODER_TOKEN": _TOKEN.read_text(encoding="utf-8").strip(),
        "SERVER_PORT": str(port),
        "POLL_INTERVAL": str(interval),
        "POLL_DEADLINE": str(interval),
        "POLL_OFFSET": "0",
        "POLL_JITTER": "0",
        "LIMITS_SERIES_PER_FAMILY": "1000000",
        "AGENT_STATS_SOURCE": source,
        "AGENT_STATS_INTERVAL": str(interval),
        "AGENT_STATS_METRICS_URL": f"http://127.0.0.1:{metrics}/metrics",
    }
    variables = {f"INSIGHTS_EXPORTER_{name}": value for name, value in settings.items()}
    _wait_for_port(coder)
    with _started("run", environment=os.environ | variables) as process:
        yield process


@contextmanager
def _started(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run our program, and end it afterwards."""
    command = [sys.executable, "-m", "insights_exporter", *arguments]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:  # noqa: S603 - ours
        try:
            yield process
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _LONGEST_START
    while True:
        try:
            _get(url)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _get(url: str, *, gzip: bool = False) -> bytes:
    headers = {"Accept-Encoding": "gzip"} if gzip else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        found: bytes = response.read()
        return found


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(process: int) -> int:
    """Return the largest memory of a process so far, in MiB."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no VmHWM in /proc/{process}/status")
    return int(found[1]) // 1024


if __name__ == "__main__":
    sys.exit(main())
