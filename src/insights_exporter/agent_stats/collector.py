"""Reads agent reports at each turn, whatever the source, serves what is known and keeps it on disk."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Protocol

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres.reader import PostgresReader
from insights_exporter.agent_stats.state_file import StateFile
from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats.source import COLLECTOR_NAME
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.errors import ExporterError
from insights_exporter.snapshot import AgentStats, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["AgentStatsCollector", "PostgresCollector", "Reader"]

logger = logging.getLogger(__name__)


async def _noop(_: Timestamped[AgentStats]) -> None:
    return None


class Reader(Protocol):
    """Counts what is new of one source into a ledger."""

    async def read(self) -> None:
        """Count; raise an ExporterError, after which nothing is counted twice."""
        ...

    def close(self) -> None:
        """Let go of connections; the next reading opens others."""
        ...


class AgentStatsCollector:
    """Reads a source at each turn.

    Give ``ledger`` what an earlier collector of the same settings counted. ``reader`` makes what reads, and
    is given what to tell where the ledger holds counts that cannot be added to. ``changed`` hears of each
    reading. ``failing`` is the reason why the last one failed, or empty.
    """

    def __init__(
        self,
        settings: AgentStatsSettings,
        accumulator: Accumulator,
        *,
        reader_factory: Callable[[Callable[[str], None]], Reader],
        max_staleness: float,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        on_update: Callable[[Timestamped[AgentStats]], Awaitable[None]] = _noop,
    ) -> None:
        self._settings = settings
        self.accumulator = accumulator
        self._max_staleness = timedelta(seconds=max_staleness)
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._on_update = on_update
        path = settings.state_file
        username_policy = accumulator.pseudonyms.username_policy
        self._state_file = (
            None if path is None else StateFile(path, source=settings.source, username_policy=username_policy)
        )
        self._saved_revision: object = None
        self._reader = reader_factory(self._on_state_rejected)
        self._latest: Timestamped[AgentStats] | None = None
        self.failure_reason = ""

    def current(self) -> Timestamped[AgentStats] | None:
        """Return what is known; None before the first reading and where the last one is too old."""
        if self._latest is None or self._clock.now() - self._latest.at > self._max_staleness:
            return None
        return self._latest

    async def run(self, stop: asyncio.Event) -> None:
        """Read now and then at each turn, until told to stop; a reading under way is then given up."""
        stop_task = asyncio.create_task(stop.wait())
        try:
            await self._restore()
            # Turns come at a fixed beat, which a sampled source needs; replicas differ in where it begins.
            started_at, cycle = self._clock.monotonic() - self._random.uniform(0, 1), 0
            while not stop.is_set():
                await _run_until_stopped(stop_task, self.read_once())
                if not stop.is_set():
                    elapsed = self._clock.monotonic() - started_at
                    cycle = max(cycle, math.floor(elapsed / self._settings.interval)) + 1
                    delay = max(0.0, cycle * self._settings.interval - elapsed)
                    await _run_until_stopped(stop_task, self._clock.sleep(delay))
        finally:
            stop_task.cancel()
            self.close()
            await self._save()

    async def read_once(self) -> bool:
        """Read, and say whether that went well; a fault is told to telemetry and in the log."""
        started_at = self._clock.monotonic()
        try:
            await self._reader.read()
            stats = await asyncio.to_thread(self.accumulator.snapshot)
            self._latest = Timestamped(stats, self._clock.now())
            if self.accumulator.clamped:
                self._telemetry.counters_corrected(self.accumulator.clamped)
            await self._on_update(self._latest)
        except ExporterError as error:
            self._report_failure(error.reason, error)
        except Exception as error:
            self._report_failure("internal", error)
        else:
            self.failure_reason = ""
        elapsed = self._clock.monotonic() - started_at
        self._telemetry.collector_finished(
            COLLECTOR_NAME, elapsed, success=not self.failure_reason, at=self._clock.now()
        )
        # Also after a fault: what was closed until then is counted for good.
        await self._save()
        return not self.failure_reason

    def close(self) -> None:
        """Close the connection; the next reading opens another."""
        self._reader.close()

    async def _restore(self) -> None:
        if self._state_file is None or self.accumulator.since is not None:
            return
        try:
            restored = await asyncio.to_thread(self._state_file.load, self.accumulator)
        except OSError as error:
            # The file may be good and only out of reach, so nothing is written over it.
            self._state_file = None
            self._telemetry.collector_error(COLLECTOR_NAME, "state_unreadable")
            extra = {"path": str(self._settings.state_file), "why": error.strerror}
            logger.error("The state file cannot be read; it is left alone.", extra=extra)
            return
        if restored:
            extra = {"since": str(self.accumulator.since), "until": self.accumulator.cursor}
            logger.info("Counts of agent reports were restored.", extra=extra)

    async def _save(self) -> None:
        if (
            self._state_file is None
            or self.accumulator.since is None
            or self.accumulator.revision == self._saved_revision
        ):
            return
        revision = self.accumulator.revision
        try:
            await asyncio.to_thread(self._state_file.save, self.accumulator)
        except OSError as error:
            self._telemetry.collector_error(COLLECTOR_NAME, "state_unwritable")
            if self._saved_revision != "failed":
                extra = {"path": str(self._state_file.path), "why": error.strerror}
                logger.error("The state file cannot be written; the last one stays.", extra=extra)
            self._saved_revision = "failed"
            return
        self._saved_revision = revision

    def _on_state_rejected(self, reason: str) -> None:
        self._telemetry.collector_error(COLLECTOR_NAME, "state_foreign")
        if self._state_file is not None and self._state_file.path.exists():
            self._state_file.quarantine(reason)
        else:
            logger.warning("Counting of agent reports begins anew.", extra={"why": reason})

    def _report_failure(self, reason: str, error: Exception) -> None:
        self._telemetry.collector_error(COLLECTOR_NAME, reason)
        if self.failure_reason == reason:
            return
        self.failure_reason = reason
        internal = reason == "internal"
        extra = {"collector": COLLECTOR_NAME, "reason": reason, "error": str(error)}
        logger.error("collector_failed", extra=extra, exc_info=error if internal else None)


class PostgresCollector(AgentStatsCollector):
    """The source ``postgres``. Raises ConfigError without the driver."""

    def __init__(
        self,
        settings: AgentStatsSettings,
        accumulator: Accumulator,
        *,
        max_staleness: float,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        on_update: Callable[[Timestamped[AgentStats]], Awaitable[None]] = _noop,
    ) -> None:
        def make_reader(on_state_rejected: Callable[[str], None]) -> Reader:
            return PostgresReader(
                settings, accumulator, clock=clock, telemetry=telemetry, on_state_rejected=on_state_rejected
            )

        super().__init__(
            settings,
            accumulator,
            reader_factory=make_reader,
            max_staleness=max_staleness,
            clock=clock,
            random=random,
            telemetry=telemetry,
            on_update=on_update,
        )


async def _run_until_stopped(stop_task: asyncio.Task[bool], work: Awaitable[object]) -> None:
    """Wait for the work, or for the word to stop; the work is then cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((stop_task, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
