"""Agent statistics of the past, from the reports that Coder still holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.batches import BatchReader
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.reader import SESSION_TTL, load_identity, load_schema
from insights_exporter.agent_stats.postgres.row_aggregation import NameLoader
from insights_exporter.clock import Clock
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.snapshot import AgentStats, TemplateKey
from insights_exporter.telemetry import Telemetry

__all__ = ["HistoryReader"]


class HistoryReader:
    """Reads past reports into an accumulator, which can then be saved as the state of a live reader.

    ``templates_at`` returns the templates that existed at a time; their series without reports are 0.
    """

    def __init__(
        self,
        settings: AgentStatsSettings,
        accumulator: Accumulator,
        *,
        templates_at: Callable[[datetime], tuple[TemplateKey, ...]],
        clock: Clock,
    ) -> None:
        self._accumulator = accumulator
        self._templates_at = templates_at
        self._database = Database(settings)
        self._names = NameLoader(self._database, accumulator, clock=clock)
        self._batches = BatchReader(settings, self._database, self._names, accumulator, Telemetry())

    async def read(
        self, since: datetime, until: datetime, *, interval: timedelta, alignment: timedelta
    ) -> AsyncGenerator[tuple[datetime, AgentStats]]:
        """Yield the statistics at each multiple of ``interval`` up to ``until``, which is one of them.

        Statistics count the reports before their time. The first time is the first multiple of ``alignment``
        from which on Coder holds all reports; nothing is yielded if it is not before ``until``. All reports
        come from one snapshot of the database, so that Coder's deletion of old ones cannot make a gap. Raises
        AgentStatsError or SecretError.
        """
        try:
            await self._database.connect()
            async with self._database.read_only_transaction():
                time = await self._start(since, alignment)
                if time is None or time >= until:
                    return
                self._batches.set_schema(await load_schema(self._database))
                await self._names.load()
                identity = await load_identity(self._database)
                self._accumulator.reset(time, identity=identity, cursor=time.isoformat())
                yield time, await self._snapshot(time)
                while time < until:
                    begin, time = time, time + interval
                    aggregator = await self._batches.aggregate(begin, time)
                    await self._batches.commit_aggregate(begin, time, aggregator)
                    yield time, await self._snapshot(time)
        finally:
            self._database.terminate()

    async def _start(self, since: datetime, alignment: timedelta) -> datetime | None:
        oldest: datetime | None = (await self._database.fetch(queries.OLDEST))[0][0]
        if oldest is None:
            return None
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return epoch - (epoch - max(since, oldest)) // alignment * alignment

    async def _snapshot(self, time: datetime) -> AgentStats:
        accumulator = self._accumulator
        accumulator.current_sessions = await self._batches.current_sessions(time - SESSION_TTL, time)
        accumulator.templates = self._templates_at(time)
        return await asyncio.to_thread(partial(accumulator.snapshot, new_from_zero=False))
