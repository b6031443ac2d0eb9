"""Run Helm: find it, render the chart, and read what it rendered."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from tools.chart.paths import CHART

__all__ = ["TOOLS", "documents", "find_helm", "find_tool", "render"]

TOOLS: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "insights-exporter" / "bin"
"""Where tests/deploy/install-tools.sh puts what it builds."""


def find_tool(name: str) -> Path | None:
    """Return a program: the one that the variable names, from the project's cache, or on the path."""
    if named := os.environ.get(name.upper()):
        return Path(named)
    if (built := TOOLS / name).is_file():
        return built
    found = shutil.which(name)
    return Path(found) if found else None


def find_helm() -> Path | None:
    """Return the path of Helm, or None."""
    return find_tool("helm")


def render(helm: Path, *options: str, chart: Path = CHART) -> str:
    """Return the output of `helm template`; raise RuntimeError with Helm's message if it fails."""
    release = ("insights-exporter", str(chart), "--namespace", "monitoring", "--kube-version", "1.31.0")
    command = [str(helm), "template", *release, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - found above
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """Return the manifests of a rendering."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]
