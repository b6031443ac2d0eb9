"""Checks of Coder's database as the source of agent reports: reachable, permitted, fresh, indexed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.queries import (
    MISSING_PRIVILEGES,
    TABLE_COLUMNS_QUERY,
    TableSchema,
    grant_statements,
    required_columns,
)
from insights_exporter.check.finding import Finding, Level, clock_skew_finding
from insights_exporter.clock import Clock
from insights_exporter.config.settings import Settings, UsernameMode
from insights_exporter.errors import AgentStatsError, ConfigError

__all__ = ["AgentDatabaseCheck"]

_SUBJECT: Final = "agent reports"
_ADVICE: Final = {
    "database_unreachable": "Check that the database runs and that it is reachable from here.",
    "database_timeout": "Check the load of the database, or raise agent_stats.statement_timeout.",
    "database_tls": "Set sslmode and sslrootcert in agent_stats.dsn as docs/agent-statistics.md shows.",
    "database_login": "Check the role in agent_stats.dsn and the password in agent_stats.password_file.",
    "database_address": "Set agent_stats.dsn to postgresql://user@host:5432/database.",
    "database_schema": "Set agent_stats.dsn to the database that Coder uses.",
    "database_permission": "Grant the privileges that docs/agent-statistics.md lists.",
}

RATE_WINDOW: Final = timedelta(minutes=10)
MAX_REPORT_AGE: Final = timedelta(minutes=5)
MAX_CLOCK_SKEW: Final = 10.0
"""Seconds of skew between the clocks of the exporter and of the database."""

SMALL_TABLE_ROWS: Final = 10_000
"""Rows up to which a sequential scan is as fast as an index scan."""

_SERVER_SQL: Final = """
SELECT current_user::text AS role, current_setting('server_version') AS version,
  inet_server_addr() IS NOT NULL AND inet_server_addr() <> inet_client_addr() AS remote,
  (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
  extract(epoch FROM clock_timestamp())::double precision AS clock
"""
_WRITE_PRIVILEGES_SQL: Final = """
SELECT bool_or(has_table_privilege(tbl, right_to))
FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS right_to,
  unnest(ARRAY['workspace_agent_stats', 'templates', 'organizations', 'users']) AS tbl
"""
_FRESHNESS_SQL: Final = """
SELECT now() AS now, (SELECT max(created_at) FROM workspace_agent_stats) AS newest,
  count(*) AS recent FROM workspace_agent_stats WHERE created_at >= now() - $1::interval
"""
_ROW_ESTIMATE_SQL: Final = "SELECT reltuples FROM pg_class WHERE oid = to_regclass('workspace_agent_stats')"


@dataclass(frozen=True, slots=True)
class AgentDatabaseCheck:
    """Checks the database with the exporter's own connection and queries."""

    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield findings; stop after a problem that would make all further checks fail."""
        try:
            database = Database(self.settings.agent_stats)
        except ConfigError as error:
            yield Finding(Level.PROBLEM, _SUBJECT, str(error), "Install the driver.")
            return
        try:
            async for finding in self._check_database(database):
                yield finding
        except AgentStatsError as error:
            yield Finding(Level.PROBLEM, _SUBJECT, str(error), _ADVICE.get(error.reason, "Try again."))
        except ConfigError as error:
            advice = "Check the files of agent_stats.dsn and agent_stats.password."
            yield Finding(Level.PROBLEM, _SUBJECT, str(error), advice)
        finally:
            database.terminate()

    async def _check_database(self, database: Database) -> AsyncIterator[Finding]:
        started = self.clock.monotonic()
        await database.connect()
        async with database.read_only_transaction():
            elapsed = self.clock.monotonic() - started
            server = (await database.fetch(_SERVER_SQL))[0]
            yield _connection_finding(server, elapsed)
            yield clock_skew_finding(
                f"{_SUBJECT}: clock",
                "The database's",
                server["clock"] - self.clock.now().timestamp(),
                max_skew=MAX_CLOCK_SKEW,
            )
            table_schema = TableSchema.from_columns(
                row[0] for row in await database.fetch(TABLE_COLUMNS_QUERY)
            )
            yield Finding(Level.OK, f"{_SUBJECT}: schema", f"The table has {table_schema.name}.")
            privileges = await self._check_privileges(database, table_schema, server["role"])
            yield privileges
            if privileges.level is Level.PROBLEM:
                return
            async for finding in self._check_freshness(database):
                yield finding
            yield await self._check_index(database, table_schema)

    async def _check_privileges(self, database: Database, table_schema: TableSchema, role: str) -> Finding:
        subject = f"{_SUBJECT}: privileges"
        required = required_columns(table_schema, by_user=self.settings.privacy.users is not UsernameMode.OFF)
        tables, columns = zip(*required, strict=True)
        if missing := [tuple(row) for row in await database.fetch(MISSING_PRIVILEGES, tables, columns)]:
            missing_names = ", ".join(".".join(column) for column in missing)
            text = f"The role {role} lacks SELECT on {missing_names}."
            return Finding(Level.PROBLEM, subject, text, grant_statements(missing, role))
        if (await database.fetch(_WRITE_PRIVILEGES_SQL))[0][0]:
            text = f"The role {role} has all SELECT privileges, and can write, too."
            return Finding(Level.WARNING, subject, text, "Give the exporter a read-only role.")
        return Finding(Level.OK, subject, f"The role {role} has all SELECT privileges.")

    async def _check_freshness(self, database: Database) -> AsyncIterator[Finding]:
        now, newest, recent = (await database.fetch(_FRESHNESS_SQL, RATE_WINDOW))[0]
        subject = f"{_SUBJECT}: freshness"
        if newest is None:
            text = "The table is empty."
            yield Finding(
                Level.WARNING, subject, text, "Connect to a workspace; agents report every 30 seconds."
            )
            return
        age = now - newest
        rate = recent / (RATE_WINDOW / timedelta(minutes=1))
        text = (
            f"The newest report is {max(0.0, age.total_seconds()):.0f} s old; {rate:,.1f} reports per minute."
        )
        if age > MAX_REPORT_AGE:
            advice = "Connect to a workspace. If no report follows, search Coder's log for errors."
            yield Finding(Level.WARNING, subject, text, advice)
        else:
            yield Finding(Level.OK, subject, text)
        if age.total_seconds() < -MAX_CLOCK_SKEW:
            yield Finding(
                Level.WARNING,
                f"{_SUBJECT}: clocks of replicas",
                f"The newest report is {-age.total_seconds():.0f} s in the future.",
                "Synchronise the clocks of Coder's replicas: reports of a slow clock are lost.",
            )

    async def _check_index(self, database: Database, table_schema: TableSchema) -> Finding:
        """Check with EXPLAIN that the periodic query uses an index."""
        subject = f"{_SUBJECT}: index"
        now = (await database.fetch("SELECT now()"))[0][0]
        since = now - timedelta(seconds=self.settings.agent_stats.overlap)
        plan = [
            row[0]
            for row in await database.fetch(
                "EXPLAIN " + queries.aggregate_query(table_schema, since, None, by_user=True)
            )
        ]
        scans = [
            line.strip(" ->").partition("  (")[0] for line in plan if " on workspace_agent_stats" in line
        ]
        text = f"Plan of the periodic query: {scans[0] if scans else plan[0]}."
        if any("Index" in line for line in plan):
            return Finding(Level.OK, subject, text)
        rows = (await database.fetch(_ROW_ESTIMATE_SQL))[0][0]
        if rows <= SMALL_TABLE_ROWS:
            return Finding(Level.OK, subject, f"{text} The table is small.")
        advice = "Run ANALYZE workspace_agent_stats, and check Coder's index on created_at."
        return Finding(Level.WARNING, subject, f"{text} It reads all {rows:,.0f} rows.", advice)


def _connection_finding(server: Any, elapsed: float) -> Finding:
    text = f"PostgreSQL {server['version'].partition(' ')[0]} responds in {elapsed * 1000:.0f} ms"
    if server["tls"]:
        return Finding(Level.OK, _SUBJECT, f"{text}, encrypted with {server['tls']}.")
    if not server["remote"]:
        return Finding(Level.OK, _SUBJECT, f"{text}; the connection is local.")
    advice = "Add sslmode=verify-full and sslrootcert to agent_stats.dsn."
    return Finding(
        Level.WARNING, _SUBJECT, f"{text}, unencrypted: passwords and usernames are readable.", advice
    )
