"""Reports by slices of time: counts them for good, in order, two slices at a time where there are many."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.collectors.agent_stats import queries
from insights_exporter.collectors.agent_stats.counting import Apps, Counting, Groups
from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.collectors.agent_stats.naming import Naming
from insights_exporter.collectors.agent_stats.shape import Shape
from insights_exporter.settings import AgentStatsSettings
from insights_exporter.telemetry import Telemetry

__all__ = ["Slices", "minute_of"]

_MINUTE: Final = timedelta(minutes=1)


@dataclass(slots=True)
class _Backlog:
    """What is left: slices are taken from ``begin`` up to ``end``, and are counted up to ``position``."""

    begin: datetime
    end: datetime
    position: datetime
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)


class Slices:
    """Counts the reports of a table of one shape into a ledger.

    ``batch`` is how many reports a slice has at most; make it smaller after one that takes too long.
    """

    def __init__(
        self,
        settings: AgentStatsSettings,
        database: Database,
        naming: Naming,
        ledger: Ledger,
        telemetry: Telemetry,
    ) -> None:
        self.batch = self._most_rows = settings.batch_rows
        self._settings = settings
        self._database = database
        self._naming = naming
        self._ledger = ledger
        self._telemetry = telemetry
        self.of(Shape(counts=False, usage=False))

    def of(self, shape: Shape) -> None:
        """Take the table to have this shape from now on."""
        self._shape = shape
        self.apps = Apps(shape)
        self._groups = Groups(self._naming.identities, self.apps)

    async def count(self, begin: datetime, end: datetime | None) -> Counting:
        """Return the counts of a range; names of users that are newer than ours are asked for."""
        counting = await self._count(self._database, begin, end)
        if self._naming.identities.strangers:
            await self._naming.learn_users()
            counting = await self._count(self._database, begin, end)
        return counting

    async def close(self, position: datetime, end: datetime) -> None:
        """Count everything up to ``end`` for good; after a fault, slices before it are counted."""
        async with self._database.reading():
            reach = await self._reach(self._database, position, end)
            if reach == end:
                counting = await self.count(position, end)
            else:
                # Whoever is in reports that old has a name by now, so nobody needs to be asked for later.
                await self._naming.learn_users()
        if reach == end:
            await self._add(position, end, counting)
        else:
            await self._close_many(_Backlog(position, end, position))

    async def _close_many(self, backlog: _Backlog) -> None:
        """Use two connections: one process of a database uses one core."""
        second = Database(self._settings)
        databases = [self._database]
        with suppress(SourceError):
            # The database may not have another connection for us; then one has to do.
            await second.open()
            databases.append(second)
        try:
            async with asyncio.TaskGroup() as group:
                for database in databases:
                    group.create_task(self._close_some(database, backlog))
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            second.drop()

    async def _close_some(self, database: Database, backlog: _Backlog) -> None:
        """Count slice after slice of those that nobody else has taken."""
        while backlog.begin < backlog.end:
            async with database.reading():
                async with backlog.turn:
                    begin = backlog.begin
                    if begin >= backlog.end:
                        return
                    end = backlog.begin = await self._reach(database, begin, backlog.end)
                counting = await self._count(database, begin, end)
            async with backlog.moved:
                await backlog.moved.wait_for(lambda: backlog.position == begin)  # noqa: B023 - it waits here.
                await self._add(begin, end, counting)
                backlog.position = end
                backlog.moved.notify_all()

    async def _count(self, database: Database, begin: datetime, end: datetime | None) -> Counting:
        query = queries.grouped(
            self._shape, begin, end, by_user=self._naming.by_user, exponential=self._ledger.exponential
        )
        counting = Counting(self._groups)
        await database.lines(query, counting.take)
        return counting

    async def _add(self, begin: datetime, end: datetime, counting: Counting) -> None:
        """Count a slice for good."""
        closed = await asyncio.to_thread(lambda: self._ledger.closed.plus(counting.finish()))
        # From here on nothing may fail or wait: what is added and up to where belongs together.
        self._ledger.closed = closed
        self._ledger.position = end.isoformat()
        self._ledger.lateness.close(begin, end, counting.rows)
        self._telemetry.agent_rows("observed", counting.observed)
        self._telemetry.agent_rows("unobserved", counting.rows - counting.observed)
        self.batch = min(self._most_rows, self.batch * 2)

    async def _reach(self, database: Database, begin: datetime, end: datetime) -> datetime:
        """Return how far a batch reaches: to a whole minute, so that none is counted on both sides."""
        if end - begin <= _MINUTE:
            return end
        rows, last = (await database.rows(queries.BATCH, begin, end, self.batch))[0]
        if rows < self.batch:
            return end
        # The minute that the last report is in may go on beyond the batch.
        return max(minute_of(last), begin + _MINUTE)


def minute_of(at: datetime) -> datetime:
    """Return the minute that a moment is in; so that no minute is counted on both sides of a position."""
    return at.replace(second=0, microsecond=0)
