"""Cost of a backfill: requests, time, memory and size, against a simulated Coder with its rate limit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.result_table import ResultTable
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN

__all__ = ["backfill"]

_TEMPLATES: Final = 50
_USERS: Final = 1_000
_DAYS: Final = 90
_SUMMARY: Final = re.compile(
    r"\d+ days with (?P<samples>\d+) samples of up to (?P<series>\d+) series .*; (?P<requests>\d+) "
)
_NOTE: Final = f"""\
{_DAYS} days, {_TEMPLATES} templates and {_USERS:,} users, `--format blocks --no-rules`, with Coder's limit of
512 requests per minute and endpoint. Memory is that of the command alone; promtool runs beside it. The weeks
and windows of the first day need earlier days, which are requested in part."""


@dataclass(frozen=True, slots=True)
class _Run:
    """The output of a command, its seconds and the peak of its memory in bytes."""

    output: str
    seconds: float
    memory: int


def backfill() -> ResultTable:
    """Measure a backfill of a quarter, and its dry run."""
    with _simulator() as url, tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "backfill")
        estimated = _run(url, _arguments(output, "--dry-run"))
        measured = _run(url, _arguments(output))
        summary = _SUMMARY.search(measured.output)
        if summary is None:
            raise OSError(f"The backfill failed: {measured.output}")
        size = sum(path.stat().st_size for path in (output / "blocks").rglob("*") if path.is_file())
    rows = [
        ("requests", summary["requests"]),
        ("requests according to the dry run", estimated.output.partition("about ")[2].partition(" ")[0]),
        ("time", f"{measured.seconds / 60:.1f} min"),
        ("series", f"{int(summary['series']):,}"),
        ("samples", f"{int(summary['samples']) / 1e6:.0f} M"),
        ("size of the blocks", f"{size / 1e6:.0f} MB"),
        ("peak memory", f"{measured.memory / 1e6:.0f} MB"),
    ]
    return ResultTable("Backfill", ("measurement", "value"), rows, _NOTE)


@contextmanager
def _simulator() -> Iterator[str]:
    """Run a simulated Coder, and yield its URL."""
    size = [f"--templates={_TEMPLATES}", f"--users={_USERS}", "--port=0"]
    command = [sys.executable, "-m", "insights_exporter", "simulate", *size]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 # Of the package.
        if process.stdout is None:
            raise OSError("The simulator has no output.")
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def _arguments(output: Path, *options: str) -> Sequence[str]:
    today = datetime.now(UTC).date()
    first_day, last_day = today - timedelta(days=_DAYS), today - timedelta(days=2)
    period = [f"--from={first_day}", f"--to={last_day}"]
    return ["backfill", *period, f"--output={output}", "--format=blocks", "--no-rules", *options]


def _run(url: str, arguments: Sequence[str]) -> _Run:
    """Run a command of the package, and watch its memory."""
    environment: Mapping[str, str] = {**os.environ, "CODER_URL": url, "CODER_SESSION_TOKEN": DEMO_TOKEN}
    command = [sys.executable, "-m", "insights_exporter", *arguments]
    started, memory = time.monotonic(), 0
    with subprocess.Popen(  # noqa: S603 # As above.
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        while process.poll() is None:
            memory = max(memory, _peak_memory(process.pid))
            time.sleep(0.5)
        output = process.stdout.read() if process.stdout is not None else ""
    return _Run(output, time.monotonic() - started, memory)


def _peak_memory(pid: int) -> int:
    """Return the largest resident size so far in bytes; 0 where Linux does not report it."""
    with suppress(OSError):
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(match[1]) * 1024 if match else 0
    return 0
