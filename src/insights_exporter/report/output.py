"""Write a report: to a file, to a folder of CSV files, or to standard output.

Files are replaced after all of them are on the disk, so that a full disk leaves the old ones unchanged.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from insights_exporter.errors import ConfigError
from insights_exporter.landing_page.formatting import replace_control_characters
from insights_exporter.report.document import Report
from insights_exporter.report.tables import render_csv_files

__all__ = ["ReportFormat", "ReportOutput", "WriteError", "render_json"]

STANDARD_OUTPUT: Final = "-"
PERIOD: Final = "{period}"
"""Placeholder in a path."""

_FILE_MODE: Final = 0o640
"""A report may name users."""


class ReportFormat(StrEnum):
    """The formats of a report."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


class WriteError(Exception):
    """The report could not be written; earlier files are unchanged."""


@dataclass(slots=True)
class ReportOutput:
    """The destination of a report.

    ``path`` is ``-`` for standard output, a folder for CSV, and a file otherwise; ``{period}`` in it stands
    for the name of the period. For a file, an existing folder gets a file named after the period. None is a
    name in the current folder.
    """

    format: ReportFormat
    path: str | None = None

    def check(self) -> None:
        """Raise ConfigError unless the destination can be written to, before any request is sent."""
        if self.path == STANDARD_OUTPUT:
            if self.format is ReportFormat.CSV:
                raise ConfigError("--output: expected a folder with --format csv, got standard output")
            return
        path = Path(self.path or ".")
        if self.format is ReportFormat.CSV and path.exists() and not path.is_dir():
            raise ConfigError(f"--output: expected a folder with --format csv, got the file {path}")
        folder = path if self._is_folder(path) else path.parent
        # The folder of CSV files is created later, also with its parents.
        while self.format is ReportFormat.CSV and not folder.exists():
            folder = folder.parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"--output: expected a writable folder, got {folder}: {error.strerror}"
            ) from None

    def write(self, report: Report) -> Path | None:
        """Write the report; return the file or folder, None for standard output.

        Raises WriteError if the disk is full or the file system fails.
        """
        contents = self._render(report)
        if self.path == STANDARD_OUTPUT:
            _write_to_standard_output(contents[""])
            return None
        target = self._target(report)
        files = {target / name if name else target: content for name, content in contents.items()}
        try:
            if self.format is ReportFormat.CSV:
                target.mkdir(parents=True, exist_ok=True)
            _replace_all(files)
        except OSError as error:
            raise WriteError(f"{target}: {error.strerror}; nothing was replaced") from None
        return target

    def _render(self, report: Report) -> Mapping[str, bytes]:
        """Return the contents by file name; a single file has no name."""
        if self.format is ReportFormat.CSV:
            return render_csv_files(report)
        if self.format is ReportFormat.JSON:
            return {"": render_json(report)}
        # The templates are loaded for this format only.
        from insights_exporter.report.renderer import render_html  # noqa: PLC0415  # As above.

        return {"": render_html(report).encode()}

    def _is_folder(self, path: Path) -> bool:
        return self.format is ReportFormat.CSV or path.is_dir()

    def _target(self, report: Report) -> Path:
        name = f"coder-usage-{report.period.name}"
        path = Path((self.path or "").replace(PERIOD, report.period.name))
        if self.format is ReportFormat.CSV:
            return path if self.path else Path(name)
        return path / f"{name}.{self.format}" if path.is_dir() else path


def render_json(report: Report) -> bytes:
    """Return the report as an indented JSON document."""
    document = _without_surrogates(msgspec.to_builtins(report))
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def _without_surrogates(value: Any) -> Any:
    """Return a JSON value whose texts UTF-8 can carry; Coder's JSON can contain lone surrogates."""
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return replace_control_characters(value)


def _write_to_standard_output(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"standard output: {error.strerror}") from None


def _replace_all(files: Mapping[Path, bytes]) -> None:
    """Write all files beside their targets, then replace the targets."""
    temporary: dict[Path, Path] = {}
    try:
        for target, content in files.items():
            descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            temporary[target] = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _FILE_MODE)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
        for target, path in temporary.items():
            path.replace(target)
    finally:
        for path in temporary.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)
