"""The journal of a backfill: what was fetched and written, so that an interrupted run continues.

A file is complete or absent: it is written under another name, synced and renamed. The journal holds
usernames, also with ``privacy.users: hashed``; only its owner can read it, and it is deleted at the end.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec
from msgspec import Struct

from insights_exporter.backfill.range_data import RangeData
from insights_exporter.errors import ConfigError, ExporterError
from insights_exporter.snapshot import Template

__all__ = [
    "AgentRecord",
    "BackfillError",
    "FileRecord",
    "Journal",
    "RunRecord",
    "remove_folder",
    "replace_file",
]

T = TypeVar("T")

_TEMPORARY_SUFFIX: Final = ".tmp"


class BackfillError(ExporterError):
    """A backfill cannot continue; what was written is kept."""

    reason = "backfill"


class RunRecord(Struct, frozen=True):
    """The inputs of a run. They stay fixed when it continues, or its files would not fit together.

    ``options`` holds the options and settings that change the output. ``end`` is where the samples end.
    """

    options: dict[str, str]
    end: str
    templates: tuple[Template, ...]
    is_complete: bool = False


class FileRecord(Struct, frozen=True):
    """The samples of one written range; ``blocks`` are the names of its TSDB blocks."""

    name: str
    series: int
    samples: int
    bytes: int
    blocks: tuple[str, ...] = ()


class AgentRecord(Struct, frozen=True):
    """The agent statistics that were read: from when to when, in text files of these days.

    ``since`` is empty if Coder holds no reports of the days. ``apps`` are the values of the label.
    """

    since: str
    until: str
    days: tuple[str, ...]
    series: int
    apps: tuple[str, ...]


class Journal:
    """The folder ``journal`` in the output folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output / "journal"

    def begin(self, record: RunRecord) -> RunRecord:
        """Start a run, or return the record of the run that the folder holds.

        Raises ConfigError if that run has other options, and BackfillError if the folder cannot be written.
        """
        previous = self._read(self.folder / "run.json", RunRecord)
        if previous is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self.update(record)
        changed = sorted(
            key
            for key in previous.options.keys() | record.options.keys()
            if previous.options.get(key) != record.options.get(key)
        )
        if changed:
            key = changed[0]
            before, now = (one.options.get(key, "") for one in (previous, record))
            raise ConfigError(
                f"--output: expected a new folder, or the options of its first run, got {self.folder.parent} "
                f"with {key} {now}, which was {before}"
            )
        return previous

    def update(self, record: RunRecord) -> RunRecord:
        """Replace the record of the run, and return it."""
        self._write("run.json", msgspec.json.encode(record))
        return record

    def finish(self, record: RunRecord) -> None:
        """Delete the recorded responses and statistics, and mark the run as complete."""
        self.update(msgspec.structs.replace(record, is_complete=True))
        for path in self.folder.glob("*.gz"):
            path.unlink()

    def load_range(self, name: str) -> RangeData | None:
        """Return the responses of a range; None if it was not fetched."""
        try:
            text = gzip.decompress((self.folder / f"{name}.json.gz").read_bytes())
        except FileNotFoundError:
            return None
        return msgspec.json.decode(text, type=RangeData)

    def save_range(self, name: str, data: RangeData) -> None:
        """Record the responses of a range."""
        self._write(f"{name}.json.gz", gzip.compress(msgspec.json.encode(data), compresslevel=1, mtime=0))

    def agents_path(self, name: str) -> Path:
        """Return the path of the agent statistics of a range."""
        return self.folder / f"{name}.agents.gz"

    def load_agents(self) -> AgentRecord | None:
        """Return which agent statistics were read; None if they were not."""
        return self._read(self.folder / "agents.json", AgentRecord)

    def record_agents(self, record: AgentRecord) -> None:
        """Record that agent statistics were read."""
        self._write("agents.json", msgspec.json.encode(record))

    def written(self, name: str) -> FileRecord | None:
        """Return the record of a written range; None if it was not written."""
        return self._read(self.folder / f"{name}.written.json", FileRecord)

    def record_written(self, record: FileRecord) -> None:
        """Record that a range was written."""
        self._write(f"{record.name}.written.json", msgspec.json.encode(record))

    def _read(self, path: Path, record_type: type[T]) -> T | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=record_type)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ConfigError(f"--output: expected a folder of this version, got {path}: {error}") from None

    def _write(self, name: str, content: bytes) -> None:
        with replace_file(self.folder / name) as file:
            file.write(content)


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when the context ends without an exception."""
    temporary = path.with_name(path.name + _TEMPORARY_SUFFIX)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_folder(path: Path) -> None:
    """Delete a folder if it exists."""
    shutil.rmtree(path, ignore_errors=True)
