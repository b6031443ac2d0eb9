"""Agent statistics from Coder's database: reachable, permitted, of a known form, fresh, and cheap to read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from insights_exporter.agent_stats import AgentStatsError
from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.table_schema import TABLE_COLUMNS_QUERY, TableSchema
from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats.rights import (
    MISSING_PRIVILEGES,
    grant_statements,
    required_columns,
)
from insights_exporter.config.settings import Settings, UsernameMode
from insights_exporter.errors import ConfigError

__all__ = ["AgentDatabaseCheck"]

_SUBJECT: Final = "agent reports"
_ADVICE: Final = {
    "database_unreachable": "Look whether the database runs, and whether it can be reached from here.",
    "database_timeout": "Look what keeps the database busy, or raise agent_stats.statement_timeout.",
    "database_tls": "Set sslmode and sslrootcert in agent_stats.dsn as docs/agent-statistics.md shows.",
    "database_login": "Compare the role and the password with the database's; see agent_stats.password_file.",
    "database_address": "Set agent_stats.dsn to postgresql://user@host:5432/database.",
    "database_schema": "Set agent_stats.dsn to the database that Coder uses.",
    "database_permission": "Grant what docs/agent-statistics.md lists.",
}

RATE_WINDOW: Final = timedelta(minutes=10)
MAX_REPORT_AGE: Final = timedelta(minutes=5)
MAX_CLOCK_SKEW: Final = 10.0
"""Seconds between two clocks that are worth a word."""

SMALL_TABLE_ROWS: Final = 10_000
"""Rows up to which a table is read as fast without an index."""

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
    """Looks at the database as the exporter would."""

    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what is found; nothing follows where a problem makes the rest pointless."""
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
            advice = "Make the file of agent_stats.dsn or agent_stats.password readable."
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
            yield self._check_clock(server["clock"])
            table_schema = TableSchema.from_columns(
                row[0] for row in await database.fetch(TABLE_COLUMNS_QUERY)
            )
            yield Finding(Level.OK, f"{_SUBJECT}: form", f"The table has {table_schema.name}.")
            privileges = await self._check_privileges(database, table_schema, server["role"])
            yield privileges
            if privileges.level is Level.PROBLEM:
                return
            async for finding in self._check_freshness(database):
                yield finding
            yield await self._check_index(database, table_schema)

    def _check_clock(self, database_time: float) -> Finding:
        subject, skew = f"{_SUBJECT}: clock", database_time - self.clock.now().timestamp()
        if abs(skew) < MAX_CLOCK_SKEW:
            return Finding(Level.OK, subject, "The database's clock and ours agree.")
        direction = "ahead of" if skew > 0 else "behind"
        text = f"The database's clock is {abs(skew):.0f} s {direction} ours."
        return Finding(Level.WARNING, subject, text, "Synchronise both clocks.")

    async def _check_privileges(self, database: Database, table_schema: TableSchema, role: str) -> Finding:
        subject = f"{_SUBJECT}: rights"
        required = required_columns(table_schema, by_user=self.settings.privacy.users is not UsernameMode.OFF)
        tables, columns = zip(*required, strict=True)
        if missing := [tuple(row) for row in await database.fetch(MISSING_PRIVILEGES, tables, columns)]:
            missing_names = ", ".join(".".join(column) for column in missing)
            text = f"The role {role} may not read {missing_names}."
            return Finding(Level.PROBLEM, subject, text, grant_statements(missing, role))
        if (await database.fetch(_WRITE_PRIVILEGES_SQL))[0][0]:
            text = f"The role {role} may read all it needs, and could change it."
            return Finding(Level.WARNING, subject, text, "Give the exporter a role that may only read.")
        return Finding(Level.OK, subject, f"The role {role} may read all it needs.")

    async def _check_freshness(self, database: Database) -> AsyncIterator[Finding]:
        now, newest, recent = (await database.fetch(_FRESHNESS_SQL, RATE_WINDOW))[0]
        subject = f"{_SUBJECT}: newest"
        if newest is None:
            text = "The table is empty."
            yield Finding(
                Level.WARNING, subject, text, "Connect to a workspace; reports follow each half minute."
            )
            return
        age = now - newest
        rate = recent / (RATE_WINDOW / timedelta(minutes=1))
        text = (
            f"The newest report is {max(0.0, age.total_seconds()):.0f} s old; {rate:,.1f} come in a minute."
        )
        if age > MAX_REPORT_AGE:
            advice = "Connect to a workspace. If nothing comes then, look for errors in Coder's log."
            yield Finding(Level.WARNING, subject, text, advice)
        else:
            yield Finding(Level.OK, subject, text)
        if age.total_seconds() < -MAX_CLOCK_SKEW:
            yield Finding(
                Level.WARNING,
                f"{_SUBJECT}: Coder's clocks",
                f"Reports come from {-age.total_seconds():.0f} s in the future.",
                "Set the clocks of Coder's replicas; one that is too far behind has its reports lost.",
            )

    async def _check_index(self, database: Database, table_schema: TableSchema) -> Finding:
        """Let the database tell how it would answer what it is asked once a minute."""
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
        text = f"Recent reports are found by: {scans[0] if scans else plan[0]}."
        if any("Index" in line for line in plan):
            return Finding(Level.OK, subject, text)
        rows = (await database.fetch(_ROW_ESTIMATE_SQL))[0][0]
        if rows <= SMALL_TABLE_ROWS:
            return Finding(Level.OK, subject, f"{text} The table is small.")
        advice = "Run ANALYZE workspace_agent_stats, and look for Coder's index on created_at."
        return Finding(Level.WARNING, subject, f"{text} It reads all {rows:,.0f} rows.", advice)


def _connection_finding(server: Any, elapsed: float) -> Finding:
    text = f"PostgreSQL {server['version'].partition(' ')[0]} answers in {elapsed * 1000:.0f} ms"
    if server["tls"]:
        return Finding(Level.OK, _SUBJECT, f"{text}, encrypted by {server['tls']}.")
    if not server["remote"]:
        return Finding(Level.OK, _SUBJECT, f"{text}; the connection stays on this machine.")
    advice = "Add sslmode=verify-full and sslrootcert to agent_stats.dsn."
    return Finding(Level.WARNING, _SUBJECT, f"{text}, unencrypted: passwords and names can be read.", advice)
