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

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.batches import BatchReader, floor_to_minute
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.row_aggregation import parse_current_sessions
from insights_exporter.agent_stats.postgres.table_schema import TABLE_COLUMNS_QUERY, TableSchema
from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats.faults import AgentStatsError
from insights_exporter.collectors.agent_stats.naming import NameLoader
from insights_exporter.collectors.agent_stats.source import COLLECTOR_NAME
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.telemetry import Telemetry

__all__ = ["PostgresReader"]

logger = logging.getLogger(__name__)

SESSION_TTL: Final = timedelta(seconds=90)
"""How long an agent's word holds; it speaks every 30 seconds."""

MAX_QUIET: Final = timedelta(hours=1)
"""How long no report may come until we go on all the same: nobody works, so nothing is late."""

RETENTION: Final = timedelta(days=1)
"""From this age on Coder removes reports."""

MIN_COMMIT_SPAN: Final = timedelta(minutes=5)
"""How much is closed at least at a time: minute by minute, each user would be added up once a minute more."""

LATE_CHECK_INTERVAL: Final = 600.0
"""Seconds between two looks for reports that came too late."""

_MINUTE: Final = timedelta(minutes=1)


class PostgresReader:
    """Reads once each time it is told to, into a ledger.

    ``foreign`` hears why what the ledger held cannot be added to, before it begins anew.
    """

    def __init__(
        self,
        settings: AgentStatsSettings,
        accumulator: Accumulator,
        *,
        clock: Clock,
        telemetry: Telemetry,
        on_state_rejected: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._accumulator = accumulator
        self._clock = clock
        self._telemetry = telemetry
        self._on_state_rejected = on_state_rejected
        self._database = Database(settings)
        self._names = NameLoader(self._database, accumulator, clock=clock)
        self._overlap = timedelta(seconds=settings.overlap)
        self._late_checked_at: float | None = None
        self._reported_gap: datetime | None = None
        self._schema: TableSchema | None = None
        self._batches = BatchReader(settings, self._database, self._names, accumulator, telemetry)

    def close(self) -> None:
        """Close the connection."""
        self._database.terminate()

    async def read(self) -> None:
        """Count what is new; raise SourceError or SecretError, after which nothing is lost."""
        try:
            await self._read()
        except AgentStatsError as error:
            if error.reason == "database_schema" and self._schema is not None:
                # Coder was upgraded under us: look at the tables again, once.
                self._schema = None
                await self._read()
                return
            if error.reason == "database_timeout":
                self._batches.batch_rows = max(1, self._batches.batch_rows // 2)
            raise

    async def _read(self) -> None:
        if await self._database.connect():
            self._schema = None
        async with self._database.read_only_transaction():
            schema = await self._load_schema()
            await self._names.load()
            cursor = await self._resume_cursor()
            now, newest = (await self._database.fetch(queries.NOW_AND_NEWEST, cursor))[0]
        end = self._commit_horizon(cursor, now, newest)
        if end - cursor >= MIN_COMMIT_SPAN:
            await self._batches.commit(cursor, end)
            cursor = end
        await self._read_uncommitted(schema, cursor, now)
        self._telemetry.agent_lag_updated(max(0.0, (now - newest).total_seconds()) if newest else 0.0)
        await self._check_late_rows()

    async def _load_schema(self) -> TableSchema:
        if self._schema is None:
            rows = await self._database.fetch(TABLE_COLUMNS_QUERY)
            self._schema = TableSchema.from_columns(row[0] for row in rows)
            self._batches.set_schema(self._schema)
        return self._schema

    async def _resume_cursor(self) -> datetime:
        """Return up to when reports are closed; begin where nothing was counted or another was."""
        accumulator = self._accumulator
        organizations = await self._database.fetch(queries.ORGANIZATION)
        if not organizations:
            raise AgentStatsError(
                "There is no organization; expected a database that Coder uses.", reason="database_schema"
            )
        identity = str(organizations[0][0])
        now: datetime = (await self._database.fetch("SELECT now()"))[0][0]
        if accumulator.since is not None:
            cursor = datetime.fromisoformat(accumulator.cursor)
            if accumulator.identity != identity:
                self._on_state_rejected("It holds counts of another deployment.")
            elif cursor > now + self._overlap + _MINUTE:
                self._on_state_rejected("It holds counts of a time that the database has not reached.")
            else:
                self._warn_about_gap(cursor, now)
                return cursor
        start = floor_to_minute(now)
        accumulator.reset(start, identity=identity, cursor=start.isoformat())
        return start

    def _warn_about_gap(self, cursor: datetime, now: datetime) -> None:
        if now - cursor > RETENTION and cursor != self._reported_gap:
            self._reported_gap = cursor
            self._telemetry.collector_error(COLLECTOR_NAME, "gap")
            extra = {"from": cursor.isoformat(), "to": (now - RETENTION).isoformat()}
            logger.warning("Coder may have removed agent reports before they were read.", extra=extra)

    def _commit_horizon(self, cursor: datetime, now: datetime, newest: datetime | None) -> datetime:
        """Return up to when nothing comes late; clocks that are ahead close nothing early.

        Where all of Coder's clocks are behind the database's, the newest report says what time it is there.
        """
        quiet_limit = now - MAX_QUIET
        latest = quiet_limit if newest is None else max(newest, quiet_limit)
        return max(cursor, floor_to_minute(min(now, latest) - self._overlap))

    async def _read_uncommitted(self, schema: TableSchema, cursor: datetime, now: datetime) -> None:
        lines: list[str] = []

        async def collect(chunk: list[str]) -> None:
            lines.extend(chunk)

        async with self._database.read_only_transaction():
            aggregator = await self._batches.aggregate(cursor, None)
            await self._database.copy_lines(
                queries.current_sessions_query(schema, now - SESSION_TTL), collect
            )
        self._accumulator.uncommitted = await asyncio.to_thread(aggregator.finish)
        self._accumulator.current_sessions = parse_current_sessions(
            lines, self._names.identities, self._batches.session_column
        )

    async def _check_late_rows(self) -> None:
        """Name reports of closed slices that came after these were counted."""
        detector, now = self._accumulator.late_rows, self._clock.monotonic()
        if not detector.batches or (
            self._late_checked_at is not None and now - self._late_checked_at < LATE_CHECK_INTERVAL
        ):
            return
        bounds = [batch.begin for batch in detector.batches]
        end = detector.batches[-1].end
        async with self._database.read_only_transaction():
            records = await self._database.fetch(queries.ROWS_BY_BATCH, bounds, bounds[0], end)
        self._late_checked_at = now
        counts_by_batch = dict(map(tuple, records))
        late = detector.detect([counts_by_batch.get(number, 0) for number in range(1, len(bounds) + 1)])
        if late is None:
            return
        self._telemetry.agent_rows_processed("late", late.row_count)
        logger.warning(
            "Agent reports came too late to be counted; raise agent_stats.overlap, or set Coder's clocks.",
            extra={"reports": late.row_count, "since": late.since.isoformat(), "until": end.isoformat()},
        )
