"""The checks of a release, on copies of the files that they read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from insights_exporter import __version__
from tools.chart.paths import ROOT
from tools.release import main, problems, release_notes

_FILES: Final = (
    "CHANGELOG.md",
    "deploy/helm/insights-exporter/Chart.yaml",
    "deploy/helm/insights-exporter/values.yaml",
    "src/insights_exporter/__init__.py",
)
_CHANGELOG: Final = f"""# Changelog

## Unreleased

- [FEATURE] Not yet.

## {__version__} (2026-12-01)

- [FEATURE] The first release.

## 0.0.1

- [FEATURE] Before.
"""


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    for name in _FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(_CHANGELOG, encoding="utf-8")
    return tmp_path


def test_a_tag_that_fits_may_be_released(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = "insights-exporter/insights-exporter"

    assert main(["check", f"v{__version__}", "--repository", repository], tree) == 0
    assert capsys.readouterr().out == f"version={__version__}\nprerelease=false\n"


@pytest.mark.parametrize(
    ("tag", "repository", "place"),
    [
        (__version__, "", "tag: expected"),
        ("v9.9.9", "", "insights_exporter.__version__: expected 9.9.9"),
        ("v9.9.9", "", "CHANGELOG.md: expected entries below a heading `## 9.9.9`"),
        (f"v{__version__}", "someone/else", "values.yaml image.repository: expected someone/else"),
    ],
)
def test_what_differs_is_named(tree: Path, tag: str, repository: str, place: str) -> None:
    assert any(place in one for one in problems(tree, tag, repository))


def test_notes_are_the_section_of_the_version(tree: Path) -> None:
    assert release_notes(tree, __version__) == "- [FEATURE] The first release."
    assert release_notes(tree, "0.0.1") == "- [FEATURE] Before."
    assert release_notes(tree, "7.0.0") == ""


def test_a_candidate_is_a_prerelease(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "v1.0.0-rc.1"], tree) == 1
    assert "prerelease=true" in capsys.readouterr().out


def test_the_digest_of_the_image_is_pinned_once(tree: Path) -> None:
    digest = f"sha256:{'a' * 64}"
    main(["pin-image", digest], tree)

    assert f'  digest: "{digest}"' in (tree / _FILES[2]).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="set already"):
        main(["pin-image", digest], tree)
    with pytest.raises(ValueError, match="expected a digest"):
        main(["pin-image", "latest"], tree)
