"""Scrapes of a large exposition by a real Prometheus with default settings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from benchmarks.result_table import ResultTable
from benchmarks.scraping import run_program
from tests.support.network import free_port

__all__ = ["prometheus_scrape"]

_SERIES: Final = 500_000
_INTERVAL: Final = 15
_SCRAPES: Final = 8
_PROGRAM: Final = "prometheus"


def prometheus_scrape() -> ResultTable:
    """Let Prometheus scrape about 500,000 series repeatedly and query its own metrics."""
    columns = ("series scraped", "scrapes", "failed", "longest", "median")
    title = "Prometheus with default settings scrapes a process that renders each second"
    program = shutil.which(_PROGRAM)
    if program is None:
        return ResultTable(title, columns, [("not run: no prometheus here", "", "", "", "")])
    command = [sys.executable, "-m", "benchmarks.server_process", "polling", str(_SERIES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 # A module of the benchmarks.
        if server.stdout is None:
            raise OSError("The server has no output.")
        row = _measure(program, int(server.stdout.readline()))
        server.communicate()
    return ResultTable(title, columns, [row], "The bar is that no scrape fails; the timeout is 10 s.")


def _measure(program: str, port: int) -> tuple[str, str, str, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "prometheus.yml")
        # All settings except the interval are defaults; a longer interval would only take more time.
        config.write_text(
            f"global: {{scrape_interval: {_INTERVAL}s}}\n"
            "scrape_configs: [{job_name: coder-insights, static_configs: "
            f"[{{targets: ['127.0.0.1:{port}']}}]}}]\n"
        )
        prometheus_port = free_port()
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        ]
        with run_program(command):
            time.sleep(_INTERVAL * (_SCRAPES + 1))
            address = f"http://127.0.0.1:{prometheus_port}"
            range_selector = f"[{_INTERVAL * (_SCRAPES + 2)}s]"
            ups = _values(address, f"up{range_selector}")
            durations = sorted(_values(address, f"scrape_duration_seconds{range_selector}"))
            samples = _values(address, f"scrape_samples_scraped{range_selector}")
    return (
        f"{max(samples):,.0f}",
        f"{len(ups)}",
        f"{sum(up == 0 for up in ups)}",
        f"{durations[-1]:.1f} s",
        f"{durations[len(durations) // 2]:.1f} s",
    )


def _values(address: str, query: str) -> list[float]:
    url = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 # A local URL.
        payload: dict[str, Any] = json.load(response)
    return [float(value) for series in payload["data"]["result"] for _, value in series["values"]]
