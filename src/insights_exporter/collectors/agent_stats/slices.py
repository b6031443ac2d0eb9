"""Reports by slices of time: counts them for good, in order, one while the database adds up the next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.collectors.agent_stats import queries
from insights_exporter.collectors.agent_stats.counting import Apps, Counting, Groups
from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.collectors.agent_stats.naming import Naming
from insights_exporter.collectors.agent_stats.shape import Shape
from insights_exporter.settings import AgentStatsSettings
from insights_exporter.telemetry import Telemetry

__all__ = ["Slices", "minute_of"]

_MINUTE: Final = timedelta(minutes=1)

_PIECE: Final = 100
_AHEAD: Final = 200
"""How many pieces of so many lines of a slice may wait; the database waits where there are more."""


@dataclass(slots=True)
class _Slice:
    """Reports of a span, and lines about them that wait to be counted; None ends them."""

    begin: datetime
    end: datetime
    counting: Counting
    lines: asyncio.Queue[list[str] | None] = field(default_factory=lambda: asyncio.Queue(_AHEAD))

    async def take(self, lines: list[str]) -> None:
        """Let lines wait."""
        for begin in range(0, len(lines), _PIECE):
            await self.lines.put(lines[begin : begin + _PIECE])

    async def count(self) -> None:
        """Count all lines as they come."""
        while (lines := await self.lines.get()) is not None:
            await self.counting.take(lines)


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
        counting = await self._count(begin, end)
        if self._naming.identities.strangers:
            await self._naming.learn_users()
            counting = await self._count(begin, end)
        return counting

    async def close(self, position: datetime, end: datetime) -> None:
        """Count everything up to ``end`` for good; after a fault, slices before it are counted."""
        async with self._database.reading():
            reach = await self._reach(position, end)
            if reach == end:
                counting = await self.count(position, end)
            else:
                # Whoever is in reports that old has a name by now, so nobody needs to be asked for later.
                await self._naming.learn_users()
        if reach == end:
            await self._add(position, end, counting)
        else:
            await self._close_many(position, end)

    async def _close_many(self, position: datetime, end: datetime) -> None:
        """Use one connection, and so one core of the database: scrapes, and others, need some as well."""
        order = asyncio.Lock()
        before: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                while position < end:
                    try:
                        async with self._database.reading():
                            one = await self._next(position, end)
                            counted = group.create_task(self._close_one(one, order))
                            await self._database.lines(self._query(one.begin, one.end), one.take)
                            await one.lines.put(None)
                    finally:
                        # Two slices at most are under way, and a fault of one leaves the other whole.
                        if before is not None:
                            await before
                    position, before = one.end, counted
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _next(self, position: datetime, end: datetime) -> _Slice:
        return _Slice(position, await self._reach(position, end), Counting(self._groups))

    async def _close_one(self, one: _Slice, order: asyncio.Lock) -> None:
        """Count a slice for good after those that asked for it earlier."""
        async with order:
            await one.count()
            await self._add(one.begin, one.end, one.counting)

    async def _count(self, begin: datetime, end: datetime | None) -> Counting:
        counting = Counting(self._groups)
        await self._database.lines(self._query(begin, end), counting.take)
        return counting

    def _query(self, begin: datetime, end: datetime | None) -> str:
        return queries.grouped(
            self._shape, begin, end, by_user=self._naming.by_user, exponential=self._ledger.exponential
        )

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

    async def _reach(self, begin: datetime, end: datetime) -> datetime:
        """Return how far a batch reaches: to a whole minute, so that none is counted on both sides."""
        if end - begin <= _MINUTE:
            return end
        rows, last = (await self._database.rows(queries.BATCH, begin, end, self.batch))[0]
        if rows < self.batch:
            return end
        # The minute that the last report is in may go on beyond the batch.
        return max(minute_of(last), begin + _MINUTE)


def minute_of(at: datetime) -> datetime:
    """Return the minute that a moment is in; so that no minute is counted on both sides of a position."""
    return at.replace(second=0, microsecond=0)
