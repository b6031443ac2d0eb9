"""Agent reports from Coder's database, each counted once.

Reports that are older than the overlap are closed: nothing comes late any more, so their sums are added for
good, slice by slice, and the position moves on. The younger ones are summed up anew at each reading. So it
does not matter in which order they come, how often they are read, or when the exporter is restarted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats import queries
from insights_exporter.collectors.agent_stats.counting import Apps, Counting, Identities, opened
from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.ledger import Ledger
from insights_exporter.collectors.agent_stats.shape import PROBE, Shape
from insights_exporter.collectors.agent_stats.source import NAME
from insights_exporter.settings import AgentStatsSettings
from insights_exporter.snapshot import TemplateKey
from insights_exporter.telemetry import Telemetry

__all__ = ["PostgresReader"]

logger = logging.getLogger(__name__)

PRESENT: Final = timedelta(seconds=90)
"""How long an agent's word holds; it speaks every 30 seconds."""

SLICE: Final = timedelta(minutes=30)
SHORTEST_SLICE: Final = timedelta(minutes=1)
REMOVED_AFTER: Final = timedelta(days=1)
"""From this age on Coder removes reports."""

NAMES_HOLD: Final = 3600.0
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
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._foreign = foreign
        self._database = Database(settings)
        self._overlap = timedelta(seconds=settings.overlap)
        self._slice = SLICE
        self._names = Identities(ledger.people, ledger.filters)
        self._users_read: float | None = None
        self._shape: Shape | None = None
        self._apps = Apps(Shape(counts=False, usage=False))

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
                self._slice = max(SHORTEST_SLICE, self._slice / 2)
            raise

    async def _read(self) -> None:
        if await self._database.open():
            self._shape = None
        async with self._database.reading():
            shape = await self._probe()
            await self._learn_names()
            position = await self._position()
            now, newest = await self._range(position)
        end = self._closable(position, now, newest)
        while position < end:
            position = await self._close(shape, position, min(end, position + self._slice))
            self._slice = min(SLICE, self._slice * 2)
        await self._count_open(shape, position, now)
        self._telemetry.agent_lag(max(0.0, (now - newest).total_seconds()) if newest else 0.0)

    async def _probe(self) -> Shape:
        if self._shape is None:
            rows = await self._database.rows(PROBE)
            self._shape = Shape.of(row[0] for row in rows)
            self._apps = Apps(self._shape)
        return self._shape

    async def _learn_names(self) -> None:
        existing: list[TemplateKey] = []
        for number, organization, name, deleted in await self._database.rows(queries.TEMPLATES):
            key = TemplateKey(organization, name)
            if self._names.template_named(number, key) and not deleted:
                existing.append(key)
        self._ledger.templates = tuple(existing)
        now = self._clock.monotonic()
        if self._users_read is None or now - self._users_read >= NAMES_HOLD:
            await self._learn_users()
            self._users_read = now

    async def _learn_users(self) -> None:
        self._names.strangers = False
        if self._by_user:
            for number, username in await self._database.rows(queries.USERS):
                self._names.user_named(number, username)

    @property
    def _by_user(self) -> bool:
        return not self._ledger.people.redaction.off

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
        begin = _floor(now)
        ledger.begin(begin, identity=identity, position=begin.isoformat())
        return begin

    def _warn_of_gap(self, position: datetime, now: datetime) -> None:
        if now - position > REMOVED_AFTER:
            self._telemetry.collector_error(NAME, "gap")
            told = {"from": position.isoformat(), "to": (now - REMOVED_AFTER).isoformat()}
            logger.warning("Coder may have removed agent reports before they were read.", extra=told)

    async def _range(self, position: datetime) -> tuple[datetime, datetime | None]:
        now, newest = (await self._database.rows(queries.RANGE, position))[0]
        return now, newest

    def _closable(self, position: datetime, now: datetime, newest: datetime | None) -> datetime:
        """Return up to when nothing comes late; clocks that are ahead close nothing early."""
        if newest is None:
            return position
        return max(position, _floor(min(now, newest) - self._overlap))

    async def _close(self, shape: Shape, begin: datetime, end: datetime) -> datetime:
        end = max(_floor(end), begin + _MINUTE)
        async with self._database.reading():
            counting = await self._count(shape, begin, end)
        tally = await asyncio.to_thread(counting.finish)
        # From here on nothing may fail or wait: what is added and up to where belongs together.
        self._ledger.closed.add(tally)
        self._ledger.position = end.isoformat()
        self._telemetry.agent_rows("observed", counting.observed)
        self._telemetry.agent_rows("unobserved", counting.rows - counting.observed)
        return end

    async def _count(self, shape: Shape, begin: datetime, end: datetime | None) -> Counting:
        """Return the counts of a range; names of users that are newer than ours are asked for."""
        query = queries.grouped(shape, begin, end, by_user=self._by_user)
        counting = Counting(self._names, self._apps)
        await self._database.lines(query, counting.take)
        if self._names.strangers:
            await self._learn_users()
            counting = Counting(self._names, self._apps)
            await self._database.lines(query, counting.take)
        return counting

    async def _count_open(self, shape: Shape, position: datetime, now: datetime) -> None:
        lines: list[str] = []

        async def keep(some: list[str]) -> None:
            lines.extend(some)

        async with self._database.reading():
            counting = await self._count(shape, position, None)
            await self._database.lines(queries.open_now(shape, now - PRESENT), keep)
        self._ledger.open = counting.finish()
        self._ledger.now = opened(lines, self._names, self._apps)


def _floor(at: datetime) -> datetime:
    """Return the minute that a moment is in; so that no minute is counted on both sides of a position."""
    return at.replace(second=0, microsecond=0)
