"""Recording rules over backfilled blocks.

promtool evaluates rules against a running Prometheus. A temporary one on the loopback interface reads links
to the blocks. Rules that read recorded series run after those that record them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
import yaml

from insights_exporter.backfill.blocks import BlockFolder
from insights_exporter.backfill.journal import BackfillError, FileRecord, Journal, remove_folder
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.renderers import recording_rule_file
from insights_exporter.bundle.alerts.rules import rule_groups
from insights_exporter.errors import ConfigError

__all__ = ["Rule", "RuleEvaluation", "find_prometheus", "load_rules", "rule_levels"]

RECORD_NAME: Final = "recording-rules"
"""Name of the evaluated rules in the journal."""

_BLOCK_HOURS: Final = 486
"""Longest block, about 20 days. promtool writes the blocks of each rule separately."""

_STARTUP_SECONDS: Final = 60

Rule: TypeAlias = Mapping[str, Any]
"""A rule as in a rule file."""


def find_prometheus() -> str | None:
    """Return the path of Prometheus; None if it is not installed."""
    return shutil.which("prometheus")


def load_rules(options: BackfillOptions) -> list[Rule]:
    """Return the recording rules of the file, or those of the bundle; raise ConfigError for another file."""
    document: Any
    if options.rules_file is None:
        job = options.labels["job"]
        document = recording_rule_file(rule_groups(InstallOptions(matchers=(f'job="{job}"',))))
    else:
        try:
            document = yaml.safe_load(options.rules_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"--rules-file: expected rules of Prometheus: {error}") from None
    try:
        rules = [rule for group in document["groups"] for rule in group["rules"] if "record" in rule]
        # The names and expressions are needed for the order.
        [(rule["record"], rule["expr"]) for rule in rules]
    except (KeyError, TypeError):
        raise ConfigError(f"--rules-file: expected rules of Prometheus in {options.rules_file}") from None
    return rules


def rule_levels(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Return the rules in levels: each reads recorded series of earlier levels only."""
    levels: list[list[Rule]] = []
    pending = list(rules)
    while pending:
        names = {rule["record"] for rule in pending}
        ready = [rule for rule in pending if not names & _series_names(rule["expr"])]
        if not ready:
            # They read each other. Evaluated at once, each sees what exists.
            ready = pending
        levels.append(ready)
        pending = [rule for rule in pending if rule not in ready]
    return levels


def _series_names(expression: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", expression))


class RuleEvaluation:
    """Evaluates rules and adds their blocks to those of the backfill."""

    def __init__(self, blocks: BlockFolder, journal: Journal, *, prometheus: str, step: int) -> None:
        self._blocks = blocks
        self._journal = journal
        self._prometheus = prometheus
        self._step = step
        self._folder = blocks.folder.parent / "rules.tmp"

    async def run(self, rules: Sequence[Rule], start: datetime, end: datetime) -> FileRecord:
        """Write the recorded series from ``start`` to ``end``; raise BackfillError if a program fails."""
        record = self._journal.written(RECORD_NAME)
        recorded = self._folder / "recorded"
        if record is None:
            remove_folder(self._folder)
            recorded.mkdir(parents=True)
            data = self._folder / "data"
            _link_blocks(self._blocks.folder.iterdir(), data)
            for level in rule_levels(rules):
                before = set(recorded.iterdir())
                await self._evaluate(level, data, recorded, start, end)
                _link_blocks(set(recorded.iterdir()) - before, data)
            names = tuple(sorted(path.name for path in recorded.iterdir()))
            size = sum(path.stat().st_size for path in recorded.rglob("*") if path.is_file())
            record = FileRecord(RECORD_NAME, series=0, samples=0, bytes=size, blocks=names)
            self._journal.record_written(record)
        for name in record.blocks:
            if (recorded / name).exists():
                (recorded / name).replace(self._blocks.folder / name)
        remove_folder(self._folder)
        return record

    async def _evaluate(
        self, rules: Sequence[Rule], data: Path, recorded: Path, start: datetime, end: datetime
    ) -> None:
        file = self._folder / "rules.yml"
        group = {"name": "backfill", "interval": f"{self._step}s", "rules": [dict(rule) for rule in rules]}
        file.write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
        async with self._run_prometheus(data) as url:
            await self._blocks.create_blocks(
                "rules",
                f"--url={url}",
                f"--start={int(start.timestamp())}",
                f"--end={int(end.timestamp())}",
                f"--output-dir={recorded}",
                str(file),
                hours=_BLOCK_HOURS,
            )

    @asynccontextmanager
    async def _run_prometheus(self, data: Path) -> AsyncIterator[str]:
        """Run a Prometheus that neither scrapes nor merges blocks, and yield its URL."""
        config = self._folder / "prometheus.yml"
        config.write_text("global: {}\n", encoding="utf-8")
        address = f"127.0.0.1:{_free_port()}"
        process = await asyncio.create_subprocess_exec(
            self._prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address={address}",
            "--storage.tsdb.retention.time=100y",
            "--storage.tsdb.min-block-duration=2h",
            "--storage.tsdb.max-block-duration=2h",
            "--query.max-samples=500000000",
            "--log.level=error",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await _wait_until_ready(f"http://{address}/-/ready", process)
            yield f"http://{address}"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _link_blocks(blocks: Iterable[Path], folder: Path) -> None:
    """Add hard links to the files of blocks to a folder."""
    for block in blocks:
        shutil.copytree(block, folder / block.name, copy_function=os.link)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def _wait_until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(10 * _STARTUP_SECONDS):
            if process.returncode is not None:
                break
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise BackfillError("prometheus failed: it did not start; use --no-rules to go without recording rules")
