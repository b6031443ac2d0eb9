"""What the agents of a simulated deployment report, as rows of a real database.

The tables have Coder's names and, as far as agent reports need them, its columns. Rows come from the same
events as the answers of the simulated API, a day of them at once and then as time goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from insights_exporter.errors import ConfigError
from insights_exporter.simulator.api.client_apps import client_app
from insights_exporter.simulator.model import AgentReport
from insights_exporter.simulator.usage import BUILTIN
from insights_exporter.simulator.world import World

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["BACKLOG", "ReportTables", "report_tables"]

logger = logging.getLogger(__name__)

BACKLOG: Final = timedelta(days=1)
"""How many reports Coder keeps."""

REMOVE_EVERY: Final = timedelta(minutes=10)

_MARK: Final = "Made up by the simulator of insights-exporter."
_BLOCK: Final = 5000
_COLUMNS: Final = tuple(f"session_count_{family}" for family in BUILTIN)
_COUNTS: Final = "session_counts"
_TABLES: Final = """
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
CREATE TABLE workspace_agent_stats (
  id uuid PRIMARY KEY, created_at timestamptz NOT NULL, user_id uuid NOT NULL, agent_id uuid NOT NULL,
  workspace_id uuid NOT NULL, template_id uuid NOT NULL,
  connections_by_proto jsonb NOT NULL DEFAULT '{}', connection_count bigint NOT NULL DEFAULT 0,
  rx_packets bigint NOT NULL DEFAULT 0, rx_bytes bigint NOT NULL DEFAULT 0,
  tx_packets bigint NOT NULL DEFAULT 0, tx_bytes bigint NOT NULL DEFAULT 0,
  SESSIONS, connection_median_latency_ms double precision NOT NULL DEFAULT -1,
  usage boolean NOT NULL DEFAULT false
);
CREATE INDEX idx_agent_stats_created_at ON workspace_agent_stats (created_at);
CREATE INDEX idx_agent_stats_user_id ON workspace_agent_stats (user_id);
"""
_NAMES: Final = ("organizations", "users", "templates", "workspaces", "workspace_agent_stats")


class ReportTables:
    """Tables in a database that is empty, or was filled by a simulator before.

    ``counts`` chooses the newer form, with one object of sessions in place of four columns. Raises
    ConfigError where the database cannot be used.
    """

    def __init__(self, connection: Connection[Record], world: World, *, counts: bool) -> None:
        self._connection = connection
        self._world = world
        self._counts = counts
        self._places = {user.id: place for place, user in enumerate(world.users)}

    async def create(self, now: datetime) -> None:
        """Make the tables anew, with everybody and everything that exists at a moment."""
        for name in _NAMES:
            mark = await self._connection.fetchval("SELECT obj_description(to_regclass($1))", name)
            exists = await self._connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name)
            if exists and mark != _MARK:
                raise ConfigError(f"--postgres: expected a database of its own, found a table {name} in it.")
        sessions = (
            f"{_COUNTS} jsonb NOT NULL DEFAULT '{{}}'"
            if self._counts
            else ", ".join(f"{column} bigint NOT NULL DEFAULT 0" for column in _COLUMNS)
        )
        marks = "".join(f"COMMENT ON TABLE {name} IS '{_MARK}';" for name in _NAMES)
        async with self._connection.transaction():
            await self._connection.execute(f"DROP TABLE IF EXISTS {', '.join(_NAMES)} CASCADE")
            await self._connection.execute(_TABLES.replace("SESSIONS", sessions) + marks)
            await self._people_and_places(now)

    async def remove(self, before: datetime) -> None:
        """Remove old reports, as Coder does."""
        await self._connection.execute("DELETE FROM workspace_agent_stats WHERE created_at < $1", before)

    async def write(self, since: datetime, until: datetime) -> int:
        """Write what agents reported in [since, until) and return how many rows that were."""
        if not self._world.collecting:
            return 0
        columns = (
            *("id", "created_at", "user_id", "agent_id", "workspace_id", "template_id"),
            *("connections_by_proto", "connection_count", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes"),
            *("connection_median_latency_ms", "usage", *((_COUNTS,) if self._counts else _COLUMNS)),
        )
        reports, written = self._world.agent_reports(since, until), 0
        # Making events up is work; whoever asks the API meanwhile need not wait for it.
        while block := await asyncio.to_thread(list, islice(reports, _BLOCK)):
            rows = [self._row(one) for one in block]
            await self._connection.copy_records_to_table(
                "workspace_agent_stats", records=rows, columns=columns
            )
            written += len(rows)
        return written

    async def _people_and_places(self, now: datetime) -> None:
        world = self._world
        await self._fill(
            "organizations",
            (
                (UUID(one.id), one.name, one.display_name or one.name, one.is_default, one.created_at, False)
                for one in world.organizations
            ),
        )
        await self._fill(
            "users",
            (
                (UUID(one.id), one.username, one.name, one.email, one.avatar_url, one.created_at, one.deleted)
                for one in world.users
            ),
        )
        await self._fill(
            "templates",
            (
                (
                    *(UUID(one.id), UUID(one.organization.id), one.name, one.display_name, one.icon),
                    *(one.created_at, one.deprecation_message, one.deleted),
                )
                for one in world.templates
            ),
        )
        await self._fill(
            "workspaces",
            (
                (
                    *(UUID(one.id), UUID(one.owner.id), UUID(one.template.organization.id)),
                    *(UUID(one.template.id), one.name, one.created_at, False),
                )
                for one in world.workspaces(now)
            ),
        )

    async def _fill(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        await self._connection.copy_records_to_table(table, records=list(rows))

    def _row(self, one: AgentReport) -> tuple[object, ...]:
        counts = {family: one.sessions.get(family, 0) for family in BUILTIN}
        place = self._places[one.user_id]
        # Newer agents name the program, in the letters of an identifier.
        programs = {
            client_app(family, place).replace("-", "_"): count for family, count in counts.items() if count
        }
        return (
            *(UUID(one.id), one.created_at, UUID(one.user_id), UUID(one.agent_id), UUID(one.workspace_id)),
            *(UUID(one.template_id), json.dumps({"TCP": one.connection_count}), one.connection_count),
            *(one.rx_bytes // 1000, one.rx_bytes, one.tx_bytes // 1000, one.tx_bytes),
            *(one.latency_ms, one.usage),
            *((json.dumps(programs),) if self._counts else counts.values()),
        )


@asynccontextmanager
async def report_tables(
    dsn: str,
    world: World,
    *,
    counts: bool,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[int]:
    """Fill a database with a day of reports and go on as time does; yield how many rows there are at first.

    Raises ConfigError where the database cannot be used.
    """
    asyncpg = _driver()
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
        # What the driver says could quote the address, which may hold a password.
        raise ConfigError(
            "--postgres: expected an address that can be reached, such as "
            "postgresql://user@host:5432/database."
        ) from None
    try:
        tables, began = ReportTables(connection, world, counts=counts), now()
        await tables.create(began)
        rows = await tables.write(began - BACKLOG, began)
        following = asyncio.create_task(_follow(tables, began, now, sleep))
        try:
            yield rows
        finally:
            following.cancel()
            await asyncio.wait((following,))
    finally:
        await connection.close()


async def _follow(
    tables: ReportTables,
    position: datetime,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    removed = position
    while True:
        # Coder gathers reports for a second before it writes them.
        await sleep(1.0)
        until = now()
        try:
            await tables.write(position, until)
            if until - removed >= REMOVE_EVERY:
                await tables.remove(until - BACKLOG)
                removed = until
        except (OSError, _driver().PostgresError, _driver().InterfaceError) as error:
            logger.error("The database takes no more reports.", extra={"why": str(error)})  # noqa: TRY400 - it says all.
            return
        position = until


def _driver() -> Any:
    try:
        import asyncpg  # noqa: PLC0415 - only those who want a database have it.
    except ImportError:
        raise ConfigError(
            "--postgres: its driver is not installed. Run: pip install 'insights-exporter[postgres]'."
        ) from None
    return asyncpg
