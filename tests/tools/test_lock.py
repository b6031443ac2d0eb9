"""The lock files agree with pyproject.toml and constraints.txt. Nothing here needs the network."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import BUILD_LOCK, LOCKS, ROOT

FILES = (*LOCKS, BUILD_LOCK)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def _locked(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return each requirement of a lock file with its hashes, by canonical name."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    locked: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        requirement = Requirement(line.partition("--hash")[0].strip())
        locked[canonicalize_name(requirement.name)] = requirement, HASH.findall(line)
    return locked


def _pinned() -> dict[str, str]:
    """Return the versions of constraints.txt by canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.partition("==") for line in lines if "==" in line]
    return {canonicalize_name(name): version for name, _, version in pins}


def _required(*extras: str) -> set[str]:
    """Return the packages that pyproject.toml names for these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required: set[str] = set()
    pending = [*project["dependencies"], *(f"insights-exporter[{extra}]" for extra in extras)]
    for text in pending:
        requirement = Requirement(text)
        if requirement.name == project["name"]:
            for extra in requirement.extras:
                pending += project["optional-dependencies"][extra]
        else:
            required.add(canonicalize_name(requirement.name))
    return required


@pytest.mark.parametrize("name", FILES)
def test_every_locked_package_has_hashes(name: str) -> None:
    """`pip --require-hashes` refuses a file without one."""
    for requirement, hashes in _locked(name).values():
        assert hashes, requirement
        assert re.fullmatch(r"==[^=,<>]+", str(requirement.specifier)), requirement


@pytest.mark.parametrize("name", FILES)
def test_locked_versions_are_those_of_the_constraints(name: str) -> None:
    """Users who install with constraints.txt get the versions of the lock file."""
    versions = {key: str(requirement.specifier) for key, (requirement, _) in _locked(name).items()}

    assert versions == {key: f"=={_pinned()[key]}" for key in versions}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_contains_every_direct_dependency(name: str) -> None:
    """A new dependency in pyproject.toml needs `make lock`."""
    assert _required(*LOCKS[name]) <= _locked(name).keys()


def test_development_lock_covers_all_constraints() -> None:
    """A constraint of a package that nothing needs is removed."""
    assert _locked("requirements-dev.lock").keys() == _pinned().keys()


def test_build_requirements_are_pinned_and_locked() -> None:
    """An unpinned build backend would run any newer version during an installation."""
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    locked = _locked(BUILD_LOCK)

    for text in build_system["requires"]:
        requirement = Requirement(text)

        assert requirement.specifier == locked[canonicalize_name(requirement.name)][0].specifier


@pytest.mark.parametrize("name", FILES)
def test_lock_names_no_index(name: str) -> None:
    """The index is a choice of the machine that installs."""
    assert "://" not in (ROOT / name).read_text()
