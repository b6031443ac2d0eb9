"""Programs of the tests: from the variables PROMETHEUS and PROMTOOL, or from PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["program_versions", "use_programs_of_environment"]

_PROGRAMS: Final = ("prometheus", "promtool")

_folders: Final[list[tempfile.TemporaryDirectory[str]]] = []


def use_programs_of_environment() -> None:
    """Put the programs that PROMETHEUS and PROMTOOL name first in PATH, under their usual names."""
    configured = {name: path for name in _PROGRAMS if (path := os.environ.get(name.upper()))}
    if not configured:
        return
    folder = tempfile.TemporaryDirectory(prefix="programs-")
    _folders.append(folder)
    for name, path in configured.items():
        (Path(folder.name) / name).symlink_to(Path(path).resolve(strict=True))
    os.environ["PATH"] = f"{folder.name}{os.pathsep}{os.environ.get('PATH', '')}"


def program_versions() -> list[str]:
    """Return name and version of each program, for the header of a test run."""
    return [f"{name}: {_version(name)}" for name in _PROGRAMS]


def _version(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        return "not installed"
    completed = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    lines = (completed.stdout or completed.stderr).splitlines()
    return f"{lines[0] if lines else 'unknown version'} ({Path(program).resolve()})"
