"""Agent reports from Coder's database, each counted once.

Reports that are older than the overlap are closed: their sums are added for good, slice by slice, and the
position moves on. The younger ones are summed up anew at each reading. So it does not matter in which order
they come, how often they are read, or when the exporter is restarted. What comes later than the overlap is
not counted; it is noticed, as the rows of closed slices are counted again now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats import queries
from insights_exporter.collectors.agent_stats.counting import opened
from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.collectors.agent_stats.naming import Naming
from insights_exporter.collectors.agent_stats.shape import PROBE, Shape
from insights_exporter.collectors.agent_stats.slices import Slices, minute_of
from insights_exporter.collectors.agent_stats.source import NAME
from insights_exporter.settings import AgentStatsSettings
from insights_exporter.telemetry import Telemetry

__all__ = ["PostgresReader"]

logger = logging.getLogger(__name__)

PRESENT: Final = timedelta(seconds=90)
"""How long an agent's word holds; it speaks every 30 seconds."""

SILENCE: Final = timedelta(hours=1)
"""How long no report may come until we go on all the same: nobody works, so nothing is late."""

REMOVED_AFTER: Final = timedelta(days=1)
"""From this age on Coder removes reports."""

STRIDE: Final = timedelta(minutes=5)
"""How much is closed at least at a time: minute by minute, each user would be added up once a minute more."""

LOOK_EVERY: Final = 600.0
"""Seconds between two looks for reports that came too late."""

_MINUTE: Final = timedelta(minutes=1)


class PostgresReader:
    """Reads once each time it is told to, into a ledger.

    ``foreign`` hears why what the ledger held cannot be added to, before it begins anew.
    """

    def __init__(
        self,
        settings: AgentStatsSettings,
        ledger: Ledger,
        *,
        clock: Clock,
        telemetry: Telemetry,
        foreign: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._foreign = foreign
        self._database = Database(settings)
        self._naming = Naming(self._database, ledger, clock=clock)
        self._overlap = timedelta(seconds=settings.overlap)
        self._looked: float | None = None
        self._gap: datetime | None = None
        self._shape: Shape | None = None
        self._slices = Slices(settings, self._database, self._naming, ledger, telemetry)

    def close(self) -> None:
        """Close the connection."""
        self._database.drop()

    async def read(self) -> None:
        """Count what is new; raise SourceError or SecretError, after which nothing is lost."""
        try:
            await self._read()
        except SourceError as error:
            if error.reason == "database_schema" and self._shape is not None:
                # Coder was upgraded under us: look at the tables again, once.
                self._shape = None
                await self._read()
                return
            if error.reason == "database_timeout":
                self._slices.batch = max(1, self._slices.batch // 2)
            raise

    async def _read(self) -> None:
        if await self._database.open():
            self._shape = None
        async with self._database.reading():
            shape = await self._probe()
            await self._naming.learn()
            position = await self._position()
            now, newest = (await self._database.rows(queries.RANGE, position))[0]
        end = self._closable(position, now, newest)
        if end - position >= STRIDE:
            await self._slices.close(position, end)
            position = end
        await self._count_open(shape, position, now)
        self._telemetry.agent_lag(max(0.0, (now - newest).total_seconds()) if newest else 0.0)
        await self._look_for_late()

    async def _probe(self) -> Shape:
        if self._shape is None:
            rows = await self._database.rows(PROBE)
            self._shape = Shape.of(row[0] for row in rows)
            self._slices.of(self._shape)
        return self._shape

    async def _position(self) -> datetime:
        """Return up to when reports are closed; begin where nothing was counted or another was."""
        ledger = self._ledger
        organizations = await self._database.rows(queries.ORGANIZATION)
        if not organizations:
            raise SourceError(
                "There is no organization; expected a database that Coder uses.", reason="database_schema"
            )
        identity = str(organizations[0][0])
        now: datetime = (await self._database.rows("SELECT now()"))[0][0]
        if ledger.since is not None:
            position = datetime.fromisoformat(ledger.position)
            if ledger.identity != identity:
                self._foreign("It holds counts of another deployment.")
            elif position > now + self._overlap + _MINUTE:
                self._foreign("It holds counts of a time that the database has not reached.")
            else:
                self._warn_of_gap(position, now)
                return position
        begin = minute_of(now)
        ledger.begin(begin, identity=identity, position=begin.isoformat())
        return begin

    def _warn_of_gap(self, position: datetime, now: datetime) -> None:
        if now - position > REMOVED_AFTER and position != self._gap:
            self._gap = position
            self._telemetry.collector_error(NAME, "gap")
            told = {"from": position.isoformat(), "to": (now - REMOVED_AFTER).isoformat()}
            logger.warning("Coder may have removed agent reports before they were read.", extra=told)

    def _closable(self, position: datetime, now: datetime, newest: datetime | None) -> datetime:
        """Return up to when nothing comes late; clocks that are ahead close nothing early.

        Where all of Coder's clocks are behind the database's, the newest report says what time it is there.
        """
        silent = now - SILENCE
        told = silent if newest is None else max(newest, silent)
        return max(position, minute_of(min(now, told) - self._overlap))

    async def _count_open(self, shape: Shape, position: datetime, now: datetime) -> None:
        lines: list[str] = []

        async def keep(some: list[str]) -> None:
            lines.extend(some)

        async with self._database.reading():
            counting = await self._slices.count(position, None)
            await self._database.lines(queries.open_now(shape, now - PRESENT), keep)
        self._ledger.open = await asyncio.to_thread(counting.finish)
        self._ledger.now = opened(lines, self._naming.identities, self._slices.apps)

    async def _look_for_late(self) -> None:
        """Name reports of closed slices that came after these were counted."""
        lateness, moment = self._ledger.lateness, self._clock.monotonic()
        if not lateness.slices or (self._looked is not None and moment - self._looked < LOOK_EVERY):
            return
        bounds = [one.begin for one in lateness.slices]
        end = lateness.slices[-1].end
        async with self._database.reading():
            found = await self._database.rows(queries.ROWS_BY_SLICE, bounds, bounds[0], end)
        self._looked = moment
        rows = dict(map(tuple, found))
        late = lateness.compare([rows.get(place, 0) for place in range(1, len(bounds) + 1)])
        if late is None:
            return
        self._telemetry.agent_rows("late", late.rows)
        logger.warning(
            "Agent reports came too late to be counted; raise agent_stats.overlap, or set Coder's clocks.",
            extra={"reports": late.rows, "since": late.since.isoformat(), "until": end.isoformat()},
        )
