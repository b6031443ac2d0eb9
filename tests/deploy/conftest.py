"""Programs that these tests run; a test whose program is missing says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chart.helm import find_tool


def _program(name: str) -> Path:
    found = find_tool(name)
    if found is None:
        pytest.skip(f"{name} is missing: tests/deploy/install-tools.sh builds it where Go is installed.")
    return found


@pytest.fixture(scope="session")
def helm() -> Path:
    """Return the path of Helm."""
    return _program("helm")


@pytest.fixture(scope="session")
def actionlint() -> Path:
    """Return the path of actionlint."""
    return _program("actionlint")


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """Return the path of kubectl, which contains kustomize."""
    return _program("kubectl")


@pytest.fixture(scope="session")
def kustomize() -> Path:
    """Return the path of kustomize."""
    return _program("kustomize")
