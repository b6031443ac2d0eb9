"""The documentation page of results; a run replaces its own tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

__all__ = ["RESULTS_PATH", "write_results"]

RESULTS_PATH: Final = Path(__file__).parents[1] / "docs" / "performance.md"

_LIBRARIES: Final = ("aiohttp", "msgspec", "isal", "prometheus-client")
_HEADING: Final = "## "
_INTRODUCTION: Final = """\
<!-- Written by `make bench`; the introduction is in benchmarks/results_page.py. -->

# Performance

`make bench` compares the exporter with straightforward implementations and writes this page. Both run in
turns on the same data. Machines are shared and noisy: compare ratios and medians, not milliseconds. Work in
the background is measured in CPU time. To run one benchmark, name it: `python -m benchmarks poll --write`.
[tuning.md](tuning.md) shows what a deployment costs Coder's database, and how to lower the cost.
"""


def write_results(tables: Iterable[str]) -> None:
    """Replace the tables with the same headings and append the others."""
    sections = _sections()
    for table in tables:
        sections[_title(table)] = table.strip() + f"\n\n{_environment()}\n"
    RESULTS_PATH.write_text("\n".join([_INTRODUCTION, *sections.values()]))


def _sections() -> dict[str, str]:
    if not RESULTS_PATH.exists():
        return {}
    _, *sections = RESULTS_PATH.read_text().split(f"\n{_HEADING}")
    return {_title(section): f"{_HEADING}{section.strip()}\n" for section in sections}


def _title(section: str) -> str:
    return section.removeprefix(_HEADING).partition("\n")[0]


def _environment() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return f"*{os.cpu_count()} cores, Python {platform.python_version()}, {libraries}.*"
