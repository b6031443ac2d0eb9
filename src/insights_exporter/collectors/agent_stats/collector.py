"""Reads agent reports at each turn, whatever the source, serves what is known and keeps it on disk."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Protocol

from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.collectors.agent_stats.postgres import PostgresReader
from insights_exporter.collectors.agent_stats.source import NAME
from insights_exporter.collectors.agent_stats.state import StateFile
from insights_exporter.errors import ExporterError
from insights_exporter.settings import AgentStatsSettings
from insights_exporter.snapshot import AgentStats, Reading
from insights_exporter.telemetry import Telemetry

__all__ = ["LedgerCollector", "PostgresCollector", "Reader"]

logger = logging.getLogger(__name__)


async def _nobody(_: Reading[AgentStats]) -> None:
    return None


class Reader(Protocol):
    """Counts what is new of one source into a ledger."""

    async def read(self) -> None:
        """Count; raise an ExporterError, after which nothing is counted twice."""
        ...

    def close(self) -> None:
        """Let go of connections; the next reading opens others."""
        ...


class LedgerCollector:
    """Reads a source at each turn.

    Give ``ledger`` what an earlier collector of the same settings counted. ``reader`` makes what reads, and
    is given what to tell where the ledger holds counts that cannot be added to. ``changed`` hears of each
    reading. ``failing`` is the reason why the last one failed, or empty.
    """

    def __init__(  # noqa: PLR0913 - everything from outside is a parameter.
        self,
        settings: AgentStatsSettings,
        ledger: Ledger,
        *,
        reader: Callable[[Callable[[str], None]], Reader],
        max_staleness: float,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        changed: Callable[[Reading[AgentStats]], Awaitable[None]] = _nobody,
    ) -> None:
        self._settings = settings
        self.ledger = ledger
        self._staleness = timedelta(seconds=max_staleness)
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._changed = changed
        path = settings.state_file
        redaction = ledger.people.redaction
        self._file = None if path is None else StateFile(path, source=settings.source, redaction=redaction)
        self._saved: object = None
        self._reader = reader(self._foreign)
        self._last: Reading[AgentStats] | None = None
        self.failing = ""

    def current(self) -> Reading[AgentStats] | None:
        """Return what is known; None before the first reading and where the last one is too old."""
        if self._last is None or self._clock.now() - self._last.at > self._staleness:
            return None
        return self._last

    async def run(self, stop: asyncio.Event) -> None:
        """Read now and then at each turn, until told to stop; a reading under way is then given up."""
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._restore()
            # Turns come at a fixed beat, which a sampled source needs; replicas differ in where it begins.
            began, turn = self._clock.monotonic() - self._random.uniform(0, 1), 0
            while not stop.is_set():
                await _until(stopping, self.read_once())
                if not stop.is_set():
                    passed = self._clock.monotonic() - began
                    turn = max(turn, math.floor(passed / self._settings.interval)) + 1
                    rest = max(0.0, turn * self._settings.interval - passed)
                    await _until(stopping, self._clock.sleep(rest))
        finally:
            stopping.cancel()
            self.close()
            await self._save()

    async def read_once(self) -> bool:
        """Read, and say whether that went well; a fault is told to telemetry and in the log."""
        began = self._clock.monotonic()
        try:
            await self._reader.read()
            statement = await asyncio.to_thread(self.ledger.statement)
            self._last = Reading(statement, self._clock.now())
            if self.ledger.held:
                self._telemetry.counters_corrected(self.ledger.held)
            await self._changed(self._last)
        except ExporterError as error:
            self._failed(error.reason, error)
        except Exception as error:  # noqa: BLE001 - the next reading may fare better.
            self._failed("internal", error)
        else:
            self.failing = ""
        took = self._clock.monotonic() - began
        self._telemetry.collector_finished(NAME, took, success=not self.failing, at=self._clock.now())
        # Also after a fault: what was closed until then is counted for good.
        await self._save()
        return not self.failing

    def close(self) -> None:
        """Close the connection; the next reading opens another."""
        self._reader.close()

    async def _restore(self) -> None:
        if self._file is None or self.ledger.since is not None:
            return
        try:
            restored = await asyncio.to_thread(self._file.load, self.ledger)
        except OSError as error:
            # The file may be good and only out of reach, so nothing is written over it.
            self._file = None
            self._telemetry.collector_error(NAME, "state_unreadable")
            told = {"path": str(self._settings.state_file), "why": error.strerror}
            logger.error("The state file cannot be read; it is left alone.", extra=told)  # noqa: TRY400 - as told.
            return
        if restored:
            told = {"since": str(self.ledger.since), "until": self.ledger.position}
            logger.info("Counts of agent reports were restored.", extra=told)

    async def _save(self) -> None:
        if self._file is None or self.ledger.since is None or self.ledger.mark == self._saved:
            return
        mark = self.ledger.mark
        try:
            await asyncio.to_thread(self._file.keep, self.ledger)
        except OSError as error:
            self._telemetry.collector_error(NAME, "state_unwritable")
            if self._saved != "failed":
                told = {"path": str(self._file.path), "why": error.strerror}
                logger.error("The state file cannot be written; the last one stays.", extra=told)  # noqa: TRY400 - as told.
            self._saved = "failed"
            return
        self._saved = mark

    def _foreign(self, why: str) -> None:
        self._telemetry.collector_error(NAME, "state_foreign")
        if self._file is not None and self._file.path.exists():
            self._file.set_aside(why)
        else:
            logger.warning("Counting of agent reports begins anew.", extra={"why": why})

    def _failed(self, reason: str, error: Exception) -> None:
        self._telemetry.collector_error(NAME, reason)
        if self.failing == reason:
            return
        self.failing = reason
        internal = reason == "internal"
        told = {"collector": NAME, "reason": reason, "error": str(error)}
        logger.error("collector_failed", extra=told, exc_info=error if internal else None)


class PostgresCollector(LedgerCollector):
    """The source ``postgres``. Raises ConfigError without the driver."""

    def __init__(  # noqa: PLR0913 - as above.
        self,
        settings: AgentStatsSettings,
        ledger: Ledger,
        *,
        max_staleness: float,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        changed: Callable[[Reading[AgentStats]], Awaitable[None]] = _nobody,
    ) -> None:
        def reader(foreign: Callable[[str], None]) -> Reader:
            return PostgresReader(settings, ledger, clock=clock, telemetry=telemetry, foreign=foreign)

        super().__init__(
            settings,
            ledger,
            reader=reader,
            max_staleness=max_staleness,
            clock=clock,
            random=random,
            telemetry=telemetry,
            changed=changed,
        )


async def _until(stopping: asyncio.Task[bool], work: Awaitable[object]) -> None:
    """Wait for the work, or for the word to stop; the work is then cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((stopping, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
