"""Files of a report: names, replacement of old ones, and failures of the file system."""

from __future__ import annotations

import json
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from insights_exporter.errors import ConfigError
from insights_exporter.report import Report, ReportFormat, ReportOutput, WriteError
from insights_exporter.report.document import json_schema
from insights_exporter.report.output import render_json
from insights_exporter.report.tables import TABLES
from tests.report.report_harness import create_blocking, deployment_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def report() -> Report:
    return create_blocking(deployment_of())


@contextmanager
def max_file_size(size: int) -> Iterator[None]:
    """Let the operating system refuse larger files, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(report: Report, report_format: str, path: Path | str | None) -> Path | None:
    output = ReportOutput(ReportFormat(report_format), None if path is None else str(path))
    output.check()
    return output.write(report)


# Names


@pytest.mark.parametrize("report_format", ["html", "json"])
def test_file_is_written_to_its_path(report: Report, tmp_path: Path, report_format: str) -> None:
    file = tmp_path / "report"

    assert write(report, report_format, file) == file
    assert files_in(tmp_path) == ["report"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_folder_gets_a_file_named_after_the_period(report: Report, tmp_path: Path) -> None:
    write(report, "html", tmp_path)
    write(report, "json", tmp_path)

    assert files_in(tmp_path) == ["coder-usage-2026-10.html", "coder-usage-2026-10.json"]


def test_default_is_a_name_in_the_current_folder(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(report, "html", None)
    write(report, "csv", None)

    assert files_in(tmp_path) == ["coder-usage-2026-10", "coder-usage-2026-10.html"]


def test_csv_creates_a_folder_with_all_tables(report: Report, tmp_path: Path) -> None:
    write(report, "csv", tmp_path / "a" / "b")

    assert files_in(tmp_path / "a" / "b") == sorted(f"{name}.csv" for name in TABLES)


@pytest.mark.parametrize("report_format", ["html", "csv"])
def test_period_in_a_path_is_replaced(report: Report, tmp_path: Path, report_format: str) -> None:
    target = write(report, report_format, tmp_path / "usage-{period}.x")

    assert target == tmp_path / "usage-2026-10.x"
    assert target.exists()


def test_standard_output(report: Report, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert write(report, "json", "-") is None
    assert capfdbinary.readouterr().out == render_json(report)


def test_full_standard_output_is_one_line(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(WriteError, match="standard output: No space left on device"):
            write(report, "json", "-")
        monkeypatch.undo()
        # The rest of the buffer cannot be written either.
        with suppress(OSError):
            full.close()


# Replacement and failures


@pytest.mark.parametrize("report_format", ["html", "csv", "json"])
def test_full_disk_leaves_old_files(report: Report, tmp_path: Path, report_format: str) -> None:
    target = tmp_path / "report"
    write(report, report_format, target)
    old = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    with max_file_size(300), pytest.raises(WriteError) as error:
        write(report, report_format, target)

    assert str(error.value) == f"{target}: File too large; nothing was replaced"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == old


def test_second_report_replaces_the_first(report: Report, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("old")
    write(report, "json", file)

    assert json.loads(file.read_text())["period"]["name"] == "2026-10"
    assert files_in(tmp_path) == ["report.json"]


def test_missing_folder_is_found_before_any_request(tmp_path: Path) -> None:
    output = ReportOutput(ReportFormat.HTML, str(tmp_path / "none" / "report.html"))

    with pytest.raises(ConfigError) as error:
        output.check()

    assert str(error.value) == (
        f"--output: expected a writable folder, got {tmp_path / 'none'}: No such file or directory"
    )


@pytest.mark.parametrize("report_format", ["html", "csv"])
def test_read_only_file_system_is_found_before_any_request(report_format: str) -> None:
    output = ReportOutput(ReportFormat(report_format), "/proc/report")

    with pytest.raises(ConfigError, match="--output: expected a writable folder, got /proc"):
        output.check()


def test_csv_needs_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(ConfigError, match="--output: expected a folder with --format csv, got the file"):
        ReportOutput(ReportFormat.CSV, str(file)).check()
    with pytest.raises(ConfigError, match="--output: expected a folder with --format csv, got standard"):
        ReportOutput(ReportFormat.CSV, "-").check()


# JSON


def test_json_conforms_to_the_documented_schema(report: Report) -> None:
    schema = json.loads((DOCS / "report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    document = json.loads(render_json(report))

    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(document)
    assert document["schema_version"] == 1


def test_documented_schema_is_current() -> None:
    assert (DOCS / "report.schema.json").read_text(encoding="utf-8") == json_schema()


def test_json_can_be_read_back(report: Report) -> None:
    assert msgspec.json.decode(render_json(report), type=Report) == msgspec.convert(
        msgspec.to_builtins(report), Report
    )


def test_json_replaces_text_that_utf8_cannot_carry(report: Report) -> None:
    template = msgspec.structs.replace(report.templates[0], display_name="a\ud800")
    document = json.loads(render_json(msgspec.structs.replace(report, templates=(template,))))

    assert document["templates"][0]["display_name"] == "a\ufffd"
