"""Wheel and sdist: complete, and usable where nothing but them is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest
from packaging.version import Version

from insights_exporter import __version__
from tools.chart.paths import ROOT

_PYTHONS: Final = ("3.11", "3.12", "3.13")
_NEEDED: Final = ("__init__.py", "__main__.py", "cli.py", "py.typed")


@pytest.fixture(name="dist", scope="session")
def _dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from a copy, as other tests may write into the tree."""
    tree = tmp_path_factory.mktemp("tree") / "source"
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", "tests")
    shutil.copytree(ROOT, tree, ignore=ignored)
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def _wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def _sdist(dist: Path) -> Path:
    (path,) = dist.glob("*.tar.gz")
    return path


def test_the_wheel_has_the_package_and_the_dashboards_alone(dist: Path) -> None:
    names = zipfile.ZipFile(_wheel(dist)).namelist()

    version = str(Version(__version__))

    assert _wheel(dist).name == f"insights_exporter-{version}-py3-none-any.whl"
    assert {f"insights_exporter/{name}" for name in _NEEDED} <= set(names)
    assert {name.partition("/")[0] for name in names} == {
        "insights_exporter",
        f"insights_exporter-{version}.dist-info",
    }
    assert any(name.endswith("dashboards/template-insights.json") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_can_build_the_wheel(dist: Path, tmp_path: Path) -> None:
    """The wheel out of the sdist is the wheel out of the tree."""
    with tarfile.open(_sdist(dist)) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "out"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rebuilt = zipfile.ZipFile(_wheel(tree / "out"))
    wheel = zipfile.ZipFile(_wheel(dist))
    assert {one.filename: one.CRC for one in rebuilt.infolist()} == {
        one.filename: one.CRC for one in wheel.infolist()
    }


def test_a_wheel_works_beside_its_dependencies(dist: Path, tmp_path: Path) -> None:
    """Installed without the tree; the dependencies are those of this environment."""
    program = _install(sys.executable, tmp_path / "environment", _wheel(dist), "--no-deps", "--no-index")
    _borrow_dependencies(tmp_path / "environment")

    _try(program, tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("version", _PYTHONS)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_each_installs_into_an_empty_environment(dist: Path, tmp_path: Path, kind: str, version: str) -> None:
    """With its dependencies from the package index, on every Python that is at hand."""
    python = _python(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed.")
    package = _wheel(dist) if kind == "wheel" else _sdist(dist)
    program = _install(
        python, tmp_path / "environment", package, "--constraint", str(ROOT / "constraints.txt")
    )

    _try(program, tmp_path)


def _python(version: str) -> str | None:
    """Return an interpreter: from the path, or one that pyenv keeps."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in (shutil.which(f"python{version}"), *map(str, kept)):
        if candidate and subprocess.run([candidate, "-V"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def _install(python: str, folder: Path, package: Path, *options: str) -> Path:
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *options, str(package)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin/insights-exporter"


def _borrow_dependencies(folder: Path) -> None:
    """Let an environment see the packages of this one, behind its own."""
    (own,) = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (own / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")


def _try(program: Path, folder: Path) -> None:
    """Run version, check, bundle and demo without the source tree."""
    # An editable installation of the tree must not answer instead.
    environment = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "PATH")}
    environment["PYTHONSAFEPATH"] = "1"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    version = run("--version")
    assert version.stdout.split()[-1] == __version__, version.stderr
    check = run("check")
    assert check.returncode == 2
    assert "coder.url" in check.stderr
    bundle = run("bundle", "--output", "bundle")
    assert bundle.returncode == 0, bundle.stderr
    assert (folder / "bundle/dashboards/template-insights.json").is_file()
    assert (folder / "bundle/alerts/kubernetes/prometheusrule.yaml").is_file()
    _try_demo(program, folder, environment)


def _try_demo(program: Path, folder: Path, environment: dict[str, str]) -> None:
    """Start the demo, wait until it prints where to look, and end it."""
    command = [str(program), "demo", "--port", "0", "--templates", "2", "--users", "5"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        address = next((found for line in demo.stdout if (found := _address(line))), None)
        demo.terminate()
        demo.communicate(timeout=30)
    assert address


def _address(line: str) -> str | None:
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    return found[0] if found else None
