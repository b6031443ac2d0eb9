"""The reader of Coder's database: counts each agent report exactly once.

Reports older than ``agent_stats.overlap`` are committed in batches, and the cursor advances. Younger reports
are aggregated again at each reading. The result therefore depends neither on the order of inserts nor on
restarts. Rows that are inserted after their batch was committed are late: they are detected and not counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.collector import COLLECTOR_NAME, AgentStatsCollector
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.batches import MINUTE, BatchReader, floor_to_minute
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.queries import TABLE_COLUMNS_QUERY, TableSchema
from insights_exporter.agent_stats.postgres.row_aggregation import NameLoader
from insights_exporter.clock import Clock
from insights_exporter.config.settings import AgentStatsSettings
from insights_exporter.errors import AgentStatsError
from insights_exporter.snapshot import AgentStats, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["SESSION_TTL", "PostgresReader", "create_postgres_collector", "load_identity", "load_schema"]

logger = structlog.stdlib.get_logger(__name__)

SESSION_TTL: Final = timedelta(seconds=90)
"""Age after which a report no longer counts as current; agents report every 30 seconds."""

MAX_QUIET: Final = timedelta(hours=1)
"""Time without reports after which the cursor advances anyway: an idle deployment has no late rows."""

RETENTION: Final = timedelta(days=1)
"""Age at which Coder deletes reports."""

MIN_COMMIT_SPAN: Final = timedelta(minutes=5)
"""Minimum span of a commit: a commit each minute would merge all users each minute."""

LATE_CHECK_INTERVAL: Final = 600.0
"""Seconds between two checks for late rows."""


class PostgresReader:
    """Adds the reports of Coder's database to an accumulator.

    ``on_state_rejected`` receives the reason before a state of another deployment is dropped.
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
        """Add new reports; raise AgentStatsError or SecretError, after which the next reading continues."""
        try:
            await self._read()
        except AgentStatsError as error:
            if error.reason == "database_schema" and self._schema is not None:
                # Coder was upgraded: load the schema again, once.
                self._schema = None
                await self._read()
                return
            if error.reason == "database_timeout":
                self._batches.shrink_batches()
            raise

    async def _read(self) -> None:
        if await self._database.connect():
            self._schema = None
        async with self._database.read_only_transaction():
            await self._load_schema()
            await self._names.load()
            cursor = await self._resume_cursor()
            now, newest = (await self._database.fetch(queries.NOW_AND_NEWEST, cursor))[0]
        end = self._commit_horizon(cursor, now, newest)
        if end - cursor >= MIN_COMMIT_SPAN:
            await self._batches.commit(cursor, end)
            cursor = end
        await self._read_uncommitted(cursor, now)
        self._telemetry.agent_lag_updated(max(0.0, (now - newest).total_seconds()) if newest else 0.0)
        await self._check_late_rows()

    async def _load_schema(self) -> None:
        if self._schema is None:
            self._schema = await load_schema(self._database)
            self._batches.set_schema(self._schema)

    async def _resume_cursor(self) -> datetime:
        """Return the time up to which reports are committed; reset without a usable cursor."""
        accumulator = self._accumulator
        identity = await load_identity(self._database)
        now: datetime = (await self._database.fetch("SELECT now()"))[0][0]
        if accumulator.since is not None:
            cursor = datetime.fromisoformat(accumulator.cursor)
            if accumulator.identity != identity:
                self._on_state_rejected("identity: expected the deployment of the database, got another one")
            elif cursor > now + self._overlap + MINUTE:
                self._on_state_rejected(
                    "position: expected a time in the past of the database, got a later one"
                )
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
            logger.warning(
                "agent reports possibly lost",
                since=cursor.isoformat(),
                until=(now - RETENTION).isoformat(),
                error="Coder deletes reports after its retention period",
            )

    def _commit_horizon(self, cursor: datetime, now: datetime, newest: datetime | None) -> datetime:
        """Return the time before which no report is expected; a clock that is ahead does not move it.

        If all clocks of Coder are behind the database's clock, the newest report shows their time.
        """
        quiet_limit = now - MAX_QUIET
        latest = quiet_limit if newest is None else max(newest, quiet_limit)
        return max(cursor, floor_to_minute(min(now, latest) - self._overlap))

    async def _read_uncommitted(self, cursor: datetime, now: datetime) -> None:
        async with self._database.read_only_transaction():
            aggregator = await self._batches.aggregate(cursor, None)
            current_sessions = await self._batches.current_sessions(now - SESSION_TTL)
        self._accumulator.uncommitted = await asyncio.to_thread(aggregator.finish)
        self._accumulator.current_sessions = current_sessions

    async def _check_late_rows(self) -> None:
        """Count and log the late rows since the last check."""
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
            "late agent reports skipped",
            reports=late.row_count,
            since=late.since.isoformat(),
            until=end.isoformat(),
            remedy="raise agent_stats.overlap, or synchronize the clocks of Coder's replicas",
        )


async def load_schema(database: Database) -> TableSchema:
    """Return the schema of the table; requires an open transaction."""
    return TableSchema.from_columns(row[0] for row in await database.fetch(TABLE_COLUMNS_QUERY))


async def load_identity(database: Database) -> str:
    """Return what identifies the deployment of a database; requires an open transaction."""
    organizations = await database.fetch(queries.ORGANIZATION)
    if not organizations:
        raise AgentStatsError(
            "The database has no organization; expected Coder's database.", reason="database_schema"
        )
    return str(organizations[0][0])


def create_postgres_collector(  # noqa: PLR0913  # The parameters of the collector.
    settings: AgentStatsSettings,
    accumulator: Accumulator,
    *,
    max_staleness: float,
    clock: Clock,
    random: Random,
    telemetry: Telemetry,
    on_update: Callable[[Timestamped[AgentStats]], Awaitable[None]] | None = None,
) -> AgentStatsCollector:
    """Return a collector that reads Coder's database; raise ConfigError if the driver is not installed."""

    def create_reader(on_state_rejected: Callable[[str], None]) -> PostgresReader:
        return PostgresReader(
            settings, accumulator, clock=clock, telemetry=telemetry, on_state_rejected=on_state_rejected
        )

    return AgentStatsCollector(
        settings,
        accumulator,
        reader_factory=create_reader,
        max_staleness=max_staleness,
        clock=clock,
        random=random,
        telemetry=telemetry,
        on_update=on_update,
    )
