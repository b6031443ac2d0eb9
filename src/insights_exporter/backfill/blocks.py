"""Blocks of Prometheus' database, which promtool makes of OpenMetrics text, range by range."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from insights_exporter.backfill.journal import BackfillError, FileRecord, remove_folder
from insights_exporter.backfill.outputs import write_text
from insights_exporter.backfill.samples import RangeSamples
from insights_exporter.collectors.base import run_limited_unwrapped
from insights_exporter.errors import ConfigError

__all__ = ["BlockFolder", "find_promtool", "run_program"]

_BLOCK_HOURS: Final = 6
"""Length of a block. Prometheus has blocks of 2, 6, 18 hours and so on; Mimir rejects one across midnight.

promtool reads a file once per block, so each block gets a file of its own. Prometheus merges blocks later.
"""


def find_promtool() -> str:
    """Return the path of promtool; raise ConfigError if it is not installed."""
    path = shutil.which("promtool")
    if path is None:
        raise ConfigError(
            "--format blocks: expected promtool in PATH, got none; install Prometheus, or use "
            "--format openmetrics and run promtool on the host of Prometheus"
        )
    return path


class BlockFolder:
    """The folder ``blocks`` of the output folder; text exists for some blocks of one range at a time."""

    def __init__(self, output: Path, *, promtool: str) -> None:
        self.folder = output / "blocks"
        self._temporary = output / "blocks.tmp"
        self._promtool = promtool
        self.folder.mkdir(parents=True, exist_ok=True)

    async def write(self, name: str, samples: RangeSamples) -> FileRecord:
        """Write the blocks of a range; ``keep`` moves them to their folder once the journal has them."""
        remove_folder(self._temporary)
        blocks = self._temporary / "blocks"
        blocks.mkdir(parents=True)
        writing = asyncio.Lock()

        async def convert(number: int, part: range) -> None:
            text = self._temporary / f"{number}.openmetrics"
            async with writing:
                await asyncio.to_thread(write_text, text, samples, part)
            await self.create_blocks("openmetrics", str(text), str(blocks))
            text.unlink()

        parts = enumerate(samples.parts(_BLOCK_HOURS * 3600))
        # promtool needs most of the time of a backfill, and one CPU.
        await run_limited_unwrapped((partial(convert, *part) for part in parts), os.cpu_count() or 1)
        size = sum(path.stat().st_size for path in blocks.rglob("*") if path.is_file())
        names = tuple(sorted(path.name for path in blocks.iterdir()))
        return FileRecord(name, samples.series, samples.sample_count, size, names)

    def keep(self, record: FileRecord) -> None:
        """Move the blocks of a range that are still in the temporary folder."""
        for name in record.blocks:
            path = self._temporary / "blocks" / name
            if path.exists():
                path.replace(self.folder / name)

    def remove_temporary(self) -> None:
        """Delete the temporary folder."""
        remove_folder(self._temporary)

    async def create_blocks(self, *arguments: str, hours: int = _BLOCK_HOURS) -> None:
        """Run ``promtool tsdb create-blocks-from`` for blocks of up to that many hours."""
        duration = f"--max-block-duration={hours}h"
        command = [self._promtool, "tsdb", "create-blocks-from", "--quiet", duration, *arguments]
        await run_program(command)


async def run_program(command: Sequence[str]) -> None:
    """Run a program; raise BackfillError with its last line if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines()
        raise BackfillError(f"{Path(command[0]).name} failed: {lines[-1] if lines else process.returncode}")
