"""Generated files are written only where they are stale, and compared without a write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.generated_files import write_or_check


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a current, a stale and an orphaned file, and one that is not generated."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "current.md").write_text("current")
    (tmp_path / "sub" / "stale.md").write_text("old")
    (tmp_path / "orphan.md").write_text("orphan")
    (tmp_path / "hand-written.yaml").write_text("kept")
    return tmp_path


def generated(folder: Path) -> dict[Path, str]:
    return {folder / "current.md": "current", folder / "sub" / "stale.md": "new", folder / "new.md": "new"}


def test_check_lists_stale_and_orphaned_files_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_text() for path in folder.rglob("*.*")}

    assert write_or_check(generated(folder), check=True, folder=folder, keep=("hand-written.yaml",)) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"stale: {folder / 'sub' / 'stale.md'}",
        f"stale: {folder / 'new.md'}",
        f"orphaned: {folder / 'orphan.md'}",
    ]
    assert {path: path.read_text() for path in folder.rglob("*.*")} == before


def test_writing_replaces_stale_files_and_deletes_orphaned_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write_or_check(generated(folder), check=False, folder=folder, keep=("hand-written.yaml",)) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"written: {folder / 'sub' / 'stale.md'}",
        f"written: {folder / 'new.md'}",
        f"deleted: {folder / 'orphan.md'}",
    ]
    assert {path: path.read_text() for path in folder.rglob("*.md")} == generated(folder)
    assert (folder / "hand-written.yaml").read_text() == "kept"


def test_a_folder_that_is_up_to_date_passes_the_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_or_check(generated(folder), check=False, folder=folder)
    capsys.readouterr()

    assert write_or_check(generated(folder), check=True, folder=folder) == 0
    assert capsys.readouterr().out == ""


def test_without_a_folder_no_file_is_orphaned(folder: Path) -> None:
    write_or_check(generated(folder), check=False)

    assert write_or_check(generated(folder), check=True) == 0
    assert (folder / "orphan.md").exists()
