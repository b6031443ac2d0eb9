"""The workflows: linted, with the least permissions, and with pinned actions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tools.chart.paths import ROOT

_FILES: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
_PINNED: Final = re.compile(r"uses: (?:\./\S+|[\w./-]+@[a-f0-9]{40} # v\d+\.\d+\.\d+)$")
_WRITES: Final = {
    "dist": {"id-token", "attestations"},
    "pypi": {"id-token"},
    "image": {"packages", "id-token", "attestations"},
    "chart": {"packages", "id-token"},
    "github": {"contents"},
}
"""Jobs that may write, and what."""


def _jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def test_actionlint_has_no_findings(actionlint: Path) -> None:
    command = [str(actionlint), "-shellcheck=", "-pyflakes=", *map(str, _FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if "uses: " in line]

    assert [line for line in lines if not _PINNED.search(line)] == []


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_permissions_are_the_least(path: Path) -> None:
    """A workflow may read; a job that writes says what."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    writes = {
        name: {scope for scope, right in job.get("permissions", {}).items() if right == "write"}
        for name, job in workflow["jobs"].items()
    }

    assert workflow["permissions"] == {"contents": "read"}
    assert {name: scopes for name, scopes in writes.items() if scopes} == (
        _WRITES if path.stem == "release" else {}
    )


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_jobs_end_and_checkouts_keep_no_credentials(path: Path) -> None:
    for name, job in _jobs(path).items():
        if "uses" in job:
            continue
        assert job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_expressions_are_not_part_of_scripts() -> None:
    """A value that an expression puts into a script could run as a command."""
    scripts = [
        step["run"]
        for path in _FILES
        for job in _jobs(path).values()
        for step in job.get("steps", ())
        if "run" in step
    ]

    assert [script for script in scripts if "${{" in script] == []


def test_the_matrix_has_the_supported_versions() -> None:
    matrix = _jobs(ROOT / ".github/workflows/ci.yml")["test"]["strategy"]["matrix"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert matrix["python"] == re.findall(r"Programming Language :: Python :: (3\.\d+)\"", project)
    prometheus = {*matrix["prometheus"], *(one["prometheus"] for one in matrix["include"])}
    assert {version.partition(".")[0] for version in prometheus} == {"2", "3"}


def test_nothing_is_published_before_the_tests() -> None:
    jobs = _jobs(ROOT / ".github/workflows/release.yml")

    for name in ("pypi", "image"):
        assert "ci" in jobs[name]["needs"]
    assert "image" in jobs["chart"]["needs"]
