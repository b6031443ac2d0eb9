"""The tool that writes and checks the committed alerts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.alerts import main


def test_check_lists_stale_and_orphaned_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])
    capsys.readouterr()
    (tmp_path / "alertmanager.yml").write_text("route: {}\n")
    (tmp_path / "runbooks" / "Gone.md").write_text("# Gone\n")

    assert main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"stale: {tmp_path / 'alertmanager.yml'}",
        f"orphaned: {tmp_path / 'runbooks' / 'Gone.md'}",
    ]


def test_writing_replaces_stale_files_and_deletes_orphaned_ones(tmp_path: Path) -> None:
    main([str(tmp_path)])
    (tmp_path / "alertmanager.yml").write_text("route: {}\n")
    (tmp_path / "runbooks" / "Gone.md").write_text("# Gone\n")

    assert main([str(tmp_path)]) == 0
    assert not (tmp_path / "runbooks" / "Gone.md").exists()
    assert main([str(tmp_path), "--check"]) == 0
