"""Where samples go: a file of OpenMetrics text per range."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from insights_exporter.backfill.journal import FileRecord, replace_file
from insights_exporter.backfill.samples import RangeSamples
from insights_exporter.metrics.encoder import EOF

__all__ = ["OpenMetricsFiles", "Output", "write_text"]


class Output(Protocol):
    """Takes the samples of one range after the other."""

    async def write(self, name: str, samples: RangeSamples) -> FileRecord:
        """Store the samples of a range; the same range can be stored twice."""
        ...

    def keep(self, record: FileRecord) -> None:
        """Complete a range that the journal has as stored."""
        ...


class OpenMetricsFiles:
    """One file per range in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, name: str, samples: RangeSamples) -> FileRecord:
        """Write the file of a range."""
        path = self._folder / f"{name}.openmetrics"
        size = await asyncio.to_thread(write_text, path, samples)
        return FileRecord(name, samples.series, samples.sample_count, size)

    def keep(self, record: FileRecord) -> None:
        """Do nothing: a file is complete or absent."""


def write_text(path: Path, samples: RangeSamples, part: range | None = None) -> int:
    """Write a complete OpenMetrics file of a range, or of a part of it, and return its size in bytes."""
    size = len(EOF)
    with replace_file(path) as file:
        for block in samples.text(part):
            size += file.write(block)
        file.write(EOF)
    return size
