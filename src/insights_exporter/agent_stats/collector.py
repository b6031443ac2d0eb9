"""The agent statistics collector: reads a source at a fixed interval and saves the counts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Final, Protocol

import structlog

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.state_file import StateFile
from insights_exporter.clock import Clock, run_until_stopped
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.errors import ExporterError
from insights_exporter.snapshot import AgentStats, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["COLLECTOR_NAME", "AgentStatsCollector", "Reader"]

COLLECTOR_NAME: Final = "agent_stats"
"""Collector name in metrics and logs."""

logger = structlog.stdlib.get_logger(__name__)


class Reader(Protocol):
    """Adds the new reports of one source to an accumulator."""

    async def read(self) -> None:
        """Add new reports; raise ExporterError on failure, after which no report is counted twice."""
        ...

    def close(self) -> None:
        """Close connections; the next ``read`` opens new ones."""
        ...


class AgentStatsCollector:
    """Reads agent reports from one source.

    ``accumulator`` continues the counts of a previous collector with the same settings. ``reader_factory``
    makes the reader; its argument is a callback for a restored state that belongs to another source, with
    the reason. ``on_update`` receives the statistics after each successful reading. ``failure_reason`` is the
    reason of the last failure, and empty after a success.
    """

    def __init__(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        self,
        settings: AgentStatsSettings,
        accumulator: Accumulator,
        *,
        reader_factory: Callable[[Callable[[str], None]], Reader],
        max_staleness: float,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        on_update: Callable[[Timestamped[AgentStats]], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self.accumulator = accumulator
        self._max_staleness = timedelta(seconds=max_staleness)
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._on_update = on_update
        path = settings.state_file
        self._state_file = None if path is None else StateFile(path, source=settings.source)
        self._saved_revision: object = None
        self._save_failed = False
        self._reader = reader_factory(self._on_state_rejected)
        self._latest: Timestamped[AgentStats] | None = None
        self.failure_reason = ""

    def current(self) -> Timestamped[AgentStats] | None:
        """Return the latest statistics; None before the first reading or after ``max_staleness``."""
        if self._latest is None or self._clock.now() - self._latest.at > self._max_staleness:
            return None
        return self._latest

    async def run(self, stop: asyncio.Event) -> None:
        """Read at once and then at each interval until ``stop`` is set, which cancels a running reading."""
        stop_task = asyncio.create_task(stop.wait())
        try:
            await self.restore()
            # A sampled source needs a fixed interval; the random phase spreads the load of replicas.
            started_at, cycle = self._clock.monotonic() - self._random.uniform(0, 1), 0
            while not stop.is_set():
                await run_until_stopped(stop_task, self.read_once())
                if not stop.is_set():
                    elapsed = self._clock.monotonic() - started_at
                    cycle = max(cycle, math.floor(elapsed / self._settings.interval)) + 1
                    delay = max(0.0, cycle * self._settings.interval - elapsed)
                    await run_until_stopped(stop_task, self._clock.sleep(delay))
        finally:
            stop_task.cancel()
            self.close()
            await self._save()

    async def read_once(self) -> bool:
        """Read once and return whether it succeeded; an error is counted and logged."""
        started_at = self._clock.monotonic()
        try:
            await self._reader.read()
            stats = await asyncio.to_thread(self.accumulator.snapshot)
            self._latest = Timestamped(stats, self._clock.now())
            if self.accumulator.clamped:
                self._telemetry.counters_corrected(self.accumulator.clamped)
            if self._on_update is not None:
                await self._on_update(self._latest)
        except ExporterError as error:
            self._report_failure(error.reason, error)
        except Exception as error:  # noqa: BLE001  # A failed reading must not end the collector.
            self._report_failure("internal", error)
        else:
            self.failure_reason = ""
        elapsed = self._clock.monotonic() - started_at
        self._telemetry.collector_finished(
            COLLECTOR_NAME, elapsed, success=not self.failure_reason, at=self._clock.now()
        )
        # A failed reading may have committed batches.
        await self._save()
        return not self.failure_reason

    def close(self) -> None:
        """Close connections; the next reading opens new ones."""
        self._reader.close()

    async def restore(self) -> None:
        """Load the state file, unless the accumulator already has counts."""
        if self._state_file is None or self.accumulator.since is not None:
            return
        try:
            restored = await asyncio.to_thread(self._state_file.load, self.accumulator)
        except OSError as error:
            # The file may be valid but unreadable for now, so it must not be overwritten.
            self._state_file = None
            self._telemetry.collector_error(COLLECTOR_NAME, "state_unreadable")
            logger.error(  # noqa: TRY400  # The cause is an operating system error, without a traceback.
                "state file read failed", path=str(self._settings.state_file), error=error.strerror
            )
            return
        if restored:
            logger.info(
                "agent counters restored", since=str(self.accumulator.since), until=self.accumulator.cursor
            )

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
            if not self._save_failed:
                logger.error(  # noqa: TRY400  # The cause is an operating system error, without a traceback.
                    "state file write failed", path=str(self._state_file.path), error=error.strerror
                )
            self._save_failed = True
            return
        self._saved_revision, self._save_failed = revision, False

    def _on_state_rejected(self, reason: str) -> None:
        self._telemetry.collector_error(COLLECTOR_NAME, "state_foreign")
        if self._state_file is not None and self._state_file.path.exists():
            self._state_file.quarantine(reason)
        else:
            logger.warning("agent counters reset", error=reason)

    def _report_failure(self, reason: str, error: Exception) -> None:
        self._telemetry.collector_error(COLLECTOR_NAME, reason)
        if self.failure_reason == reason:
            return
        self.failure_reason = reason
        internal = reason == "internal"
        logger.error(
            "collector failed",
            collector=COLLECTOR_NAME,
            reason=reason,
            error=str(error),
            exc_info=error if internal else None,
        )
