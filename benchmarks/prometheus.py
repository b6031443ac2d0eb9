"""Whether a real Prometheus with its default settings keeps up with a big page."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from benchmarks.scraping import running
from benchmarks.table import Table

__all__ = ["scraped_by_prometheus"]

_SERIES: Final = 500_000
_INTERVAL: Final = 15
_SCRAPES: Final = 8
_PROGRAM: Final = "prometheus"


def scraped_by_prometheus() -> Table:
    """Let Prometheus scrape a page of about 500,000 series again and again, and ask it how that went."""
    columns = ("series scraped", "scrapes", "failed", "longest", "median")
    title = "Prometheus with default settings scrapes a process that renders each second"
    program = shutil.which(_PROGRAM)
    if program is None:
        return Table(title, columns, [("not run: no prometheus here", "", "", "", "")])
    command = [sys.executable, "-m", "benchmarks.serving", "polling", str(_SERIES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own module.
        if server.stdout is None:
            raise OSError("The server has no output.")
        found = _watched(program, int(server.stdout.readline()))
        server.communicate()
    return Table(title, columns, [found], "The bar is that no scrape fails; the timeout is 10 s.")


def _watched(program: str, port: int) -> tuple[str, str, str, str, str]:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        config = Path(folder, "prometheus.yml")
        # All but the interval is as it comes; a minute between scrapes would only make this longer.
        config.write_text(
            f"global: {{scrape_interval: {_INTERVAL}s}}\n"
            "scrape_configs: [{job_name: coder-insights, static_configs: "
            f"[{{targets: ['127.0.0.1:{port}']}}]}}]\n"
        )
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
        free.close()
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{own}",
        ]
        with running(command):
            time.sleep(_INTERVAL * (_SCRAPES + 1))
            address = f"http://127.0.0.1:{own}"
            span = f"[{_INTERVAL * (_SCRAPES + 2)}s]"
            ups = _values(address, f"up{span}")
            durations = sorted(_values(address, f"scrape_duration_seconds{span}"))
            samples = _values(address, f"scrape_samples_scraped{span}")
    return (
        f"{max(samples):,.0f}",
        f"{len(ups)}",
        f"{sum(up == 0 for up in ups)}",
        f"{durations[-1]:.1f} s",
        f"{durations[len(durations) // 2]:.1f} s",
    )


def _values(address: str, query: str) -> list[float]:
    url = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own address.
        told: dict[str, Any] = json.load(answer)
    return [float(value) for series in told["data"]["result"] for _, value in series["values"]]
