"""Writes the agent reports of a simulated deployment into a PostgreSQL database.

The tables have Coder's names and the columns that agent statistics need. Rows come from the same events as
the API's responses: first a whole day, then continuously.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from insights_exporter.errors import ConfigError
from insights_exporter.simulator.model import PREBUILDS_USER, AgentReport, client_app
from insights_exporter.simulator.usage import SESSION_FAMILIES
from insights_exporter.simulator.world import World

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["RETENTION", "AgentStatsTables", "agent_stats_sql", "populate_database"]

logger = structlog.stdlib.get_logger(__name__)

RETENTION: Final = timedelta(days=1)
"""The time for which Coder keeps reports."""

PURGE_INTERVAL: Final = timedelta(minutes=10)

_OWNERSHIP_COMMENT: Final = "Created by the simulator of insights-exporter."
_BATCH_SIZE: Final = 5000
_SESSION_COUNT_COLUMNS: Final = tuple(f"session_count_{family}" for family in SESSION_FAMILIES)
_SESSION_COUNTS_COLUMN: Final = "session_counts"
_SCHEMA_SQL: Final = """
CREATE TABLE organizations (
  id uuid PRIMARY KEY, name text NOT NULL, display_name text NOT NULL, is_default boolean NOT NULL,
  created_at timestamptz NOT NULL, deleted boolean NOT NULL DEFAULT false
);
CREATE TABLE users (
  id uuid PRIMARY KEY, username text NOT NULL, name text NOT NULL, email text NOT NULL,
  avatar_url text NOT NULL, created_at timestamptz NOT NULL, deleted boolean NOT NULL
);
CREATE TABLE templates (
  id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations, name varchar(64) NOT NULL,
  display_name varchar(64) NOT NULL, icon varchar(256) NOT NULL, created_at timestamptz NOT NULL,
  deprecated text NOT NULL, deleted boolean NOT NULL
);
CREATE TABLE workspaces (
  id uuid PRIMARY KEY, owner_id uuid NOT NULL REFERENCES users, organization_id uuid NOT NULL,
  template_id uuid NOT NULL REFERENCES templates, name varchar(64) NOT NULL,
  created_at timestamptz NOT NULL, deleted boolean NOT NULL DEFAULT false
);
"""
_AGENT_STATS_SQL: Final = """
CREATE TABLE workspace_agent_stats (
  id uuid PRIMARY KEY, created_at timestamptz NOT NULL, user_id uuid NOT NULL, agent_id uuid NOT NULL,
  workspace_id uuid NOT NULL, template_id uuid NOT NULL, connections_by_proto jsonb NOT NULL DEFAULT '{}',
  connection_count bigint NOT NULL DEFAULT 0, rx_packets bigint NOT NULL DEFAULT 0,
  rx_bytes bigint NOT NULL DEFAULT 0, tx_packets bigint NOT NULL DEFAULT 0,
  tx_bytes bigint NOT NULL DEFAULT 0, connection_median_latency_ms double precision DEFAULT -1,
  SESSIONS, usage boolean NOT NULL DEFAULT false
);
CREATE INDEX idx_agent_stats_created_at ON workspace_agent_stats (created_at);
CREATE INDEX idx_agent_stats_user_id ON workspace_agent_stats (user_id);
"""
_TABLE_NAMES: Final = ("organizations", "users", "templates", "workspaces", "workspace_agent_stats")


def agent_stats_sql(*, json_session_counts: bool) -> str:
    """Return the statements that create the table of agent reports and its indexes."""
    sessions = (
        f"{_SESSION_COUNTS_COLUMN} jsonb NOT NULL DEFAULT '{{}}'"
        if json_session_counts
        else ", ".join(f"{column} bigint NOT NULL DEFAULT 0" for column in _SESSION_COUNT_COLUMNS)
    )
    return _AGENT_STATS_SQL.replace("SESSIONS", sessions)


class AgentStatsTables:
    """Coder's tables in a database that is empty or belongs to a simulator.

    ``json_session_counts`` selects the newer schema, with a JSON object of sessions instead of four columns.
    Methods raise ConfigError for an unusable database.
    """

    def __init__(self, connection: Connection[Record], world: World, *, json_session_counts: bool) -> None:
        self._connection = connection
        self._world = world
        self._json_session_counts = json_session_counts
        self._user_indexes = {user.id: index for index, user in enumerate(world.users)}
        self._usernames = {user.id: user.username for user in world.users}

    async def create(self, now: datetime) -> None:
        """Create the tables and insert the organizations, users, templates and workspaces."""
        for name in _TABLE_NAMES:
            comment = await self._connection.fetchval("SELECT obj_description(to_regclass($1))", name)
            exists = await self._connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name)
            if exists and comment != _OWNERSHIP_COMMENT:
                raise ConfigError(f"--postgres: expected a database of its own, found a table {name} in it.")
        schema_sql = _SCHEMA_SQL + agent_stats_sql(json_session_counts=self._json_session_counts)
        comment_statements = "".join(
            f"COMMENT ON TABLE {name} IS '{_OWNERSHIP_COMMENT}';" for name in _TABLE_NAMES
        )
        async with self._connection.transaction():
            await self._connection.execute(f"DROP TABLE IF EXISTS {', '.join(_TABLE_NAMES)} CASCADE")
            await self._connection.execute(schema_sql + comment_statements)
            await self._insert_inventory(now)

    async def update_usernames(self) -> None:
        """Write the current usernames of users that were renamed."""
        current = {user.id: user.username for user in self._world.users}
        renamed = [(UUID(key), name) for key, name in current.items() if self._usernames.get(key) != name]
        if renamed:
            await self._connection.executemany("UPDATE users SET username = $2 WHERE id = $1", renamed)
            self._usernames = current

    async def delete_before(self, cutoff: datetime) -> None:
        """Delete old reports, as Coder does."""
        await self._connection.execute("DELETE FROM workspace_agent_stats WHERE created_at < $1", cutoff)

    async def insert_reports(self, since: datetime, until: datetime) -> int:
        """Insert the agent reports of [since, until) and return the number of rows."""
        if not self._world.usage_stats_enabled:
            return 0
        columns = (
            *("id", "created_at", "user_id", "agent_id", "workspace_id", "template_id"),
            *("connections_by_proto", "connection_count", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes"),
            *(
                "connection_median_latency_ms",
                "usage",
                *((_SESSION_COUNTS_COLUMN,) if self._json_session_counts else _SESSION_COUNT_COLUMNS),
            ),
        )
        reports, row_count = self._world.agent_reports(since, until), 0
        # Generation runs in a thread, so that the API stays responsive.
        while batch := await asyncio.to_thread(list, islice(reports, _BATCH_SIZE)):
            rows = [self._row(report) for report in batch]
            await self._connection.copy_records_to_table(
                "workspace_agent_stats", records=rows, columns=columns
            )
            row_count += len(rows)
        return row_count

    async def _insert_inventory(self, now: datetime) -> None:
        world = self._world
        await self._copy_rows(
            "organizations",
            (
                (
                    UUID(item.id),
                    item.name,
                    item.display_name or item.name,
                    item.is_default,
                    item.created_at,
                    False,
                )
                for item in world.organizations
            ),
        )
        await self._copy_rows(
            "users",
            (
                (
                    UUID(item.id),
                    item.username,
                    item.name,
                    item.email,
                    item.avatar_url,
                    item.created_at,
                    item.deleted,
                )
                for item in (*world.users, *world.service_accounts, PREBUILDS_USER)
            ),
        )
        await self._copy_rows(
            "templates",
            (
                (
                    *(UUID(item.id), UUID(item.organization.id), item.name, item.display_name, item.icon),
                    *(item.created_at, item.deprecation_message, item.deleted),
                )
                for item in world.templates
            ),
        )
        await self._copy_rows(
            "workspaces",
            (
                (
                    *(UUID(item.id), UUID(item.owner.id), UUID(item.template.organization.id)),
                    *(UUID(item.template.id), item.name, item.created_at, False),
                )
                for item in world.workspaces(now)
            ),
        )

    async def _copy_rows(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        await self._connection.copy_records_to_table(table, records=list(rows))

    def _row(self, report: AgentReport) -> tuple[object, ...]:
        counts = {family: report.sessions.get(family, 0) for family in SESSION_FAMILIES}
        user_index = self._user_indexes[report.user_id]
        # Newer agents report client programs in snake case.
        session_counts_by_client = {
            client_app(family, user_index).replace("-", "_"): count
            for family, count in counts.items()
            if count
        }
        return (
            *(
                UUID(report.id),
                report.created_at,
                UUID(report.user_id),
                UUID(report.agent_id),
                UUID(report.workspace_id),
            ),
            *(
                UUID(report.template_id),
                json.dumps({"TCP": report.connection_count}),
                report.connection_count,
            ),
            *(report.rx_bytes // 1000, report.rx_bytes, report.tx_bytes // 1000, report.tx_bytes),
            *(report.latency_ms, report.usage),
            *((json.dumps(session_counts_by_client),) if self._json_session_counts else counts.values()),
        )


@asynccontextmanager
async def populate_database(
    dsn: str,
    world: World,
    *,
    json_session_counts: bool,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[int]:
    """Insert one day of reports, yield the number of rows, and append new reports within the context.

    Raises ConfigError for an unusable database.
    """
    asyncpg = _import_asyncpg()
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
        # The driver's message may quote the address, which may contain a password.
        raise ConfigError(
            "--postgres: expected an address that can be reached, such as "
            "postgresql://user@host:5432/database."
        ) from None
    try:
        tables, started = AgentStatsTables(connection, world, json_session_counts=json_session_counts), now()
        await tables.create(started)
        rows = await tables.insert_reports(started - RETENTION, started)
        append_task = asyncio.create_task(_append_reports(tables, started, now, sleep))
        try:
            yield rows
        finally:
            append_task.cancel()
            await asyncio.wait((append_task,))
    finally:
        await connection.close()


async def _append_reports(
    tables: AgentStatsTables,
    written_until: datetime,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    purged_at = written_until
    while True:
        # Coder batches reports for a second.
        await sleep(1.0)
        until = now()
        try:
            await tables.update_usernames()
            await tables.insert_reports(written_until, until)
            if until - purged_at >= PURGE_INTERVAL:
                await tables.delete_before(until - RETENTION)
                purged_at = until
        except (OSError, _import_asyncpg().PostgresError, _import_asyncpg().InterfaceError) as error:
            logger.error("report insert failed", error=str(error))  # noqa: TRY400 # An expected error.
            return
        written_until = until


def _import_asyncpg() -> Any:
    try:
        import asyncpg  # noqa: PLC0415 # An optional dependency.
    except ImportError:
        raise ConfigError(
            "--postgres: its driver is not installed. Run: pip install 'insights-exporter[postgres]'."
        ) from None
    return asyncpg
