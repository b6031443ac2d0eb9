"""Agent statistics from Coder's database: reachable, permitted, of a known form, fresh, and cheap to read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats import SourceError, queries
from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.rights import MISSING, grants, needed
from insights_exporter.collectors.agent_stats.shape import PROBE, Shape
from insights_exporter.errors import ConfigError
from insights_exporter.settings import Settings, UserNames

__all__ = ["AgentDatabase"]

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

RECENT: Final = timedelta(minutes=10)
OLD: Final = timedelta(minutes=5)
SKEW: Final = 10.0
"""Seconds between two clocks that are worth a word."""

SMALL: Final = 10_000
"""Rows up to which a table is read as fast without an index."""

_SERVER: Final = """
SELECT current_user::text AS role, current_setting('server_version') AS version,
  inet_server_addr() IS NOT NULL AND inet_server_addr() <> inet_client_addr() AS remote,
  (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
  extract(epoch FROM clock_timestamp())::double precision AS clock
"""
_WRITES: Final = """
SELECT bool_or(has_table_privilege(tbl, right_to))
FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS right_to,
  unnest(ARRAY['workspace_agent_stats', 'templates', 'organizations', 'users']) AS tbl
"""
_FRESHNESS: Final = """
SELECT now() AS now, (SELECT max(created_at) FROM workspace_agent_stats) AS newest,
  count(*) AS recent FROM workspace_agent_stats WHERE created_at >= now() - $1::interval
"""
_ROWS: Final = "SELECT reltuples FROM pg_class WHERE oid = to_regclass('workspace_agent_stats')"


@dataclass(frozen=True, slots=True)
class AgentDatabase:
    """Looks at the database as the exporter would."""

    settings: Settings
    clock: Clock

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what is found; nothing follows where a problem makes the rest pointless."""
        try:
            database = Database(self.settings.agent_stats)
        except ConfigError as error:
            yield Finding(Level.PROBLEM, _SUBJECT, str(error), "Install the driver.")
            return
        try:
            async for finding in self._look(database):
                yield finding
        except SourceError as error:
            yield Finding(Level.PROBLEM, _SUBJECT, str(error), _ADVICE.get(error.reason, "Try again."))
        except ConfigError as error:
            advice = "Make the file of agent_stats.dsn or agent_stats.password readable."
            yield Finding(Level.PROBLEM, _SUBJECT, str(error), advice)
        finally:
            database.drop()

    async def _look(self, database: Database) -> AsyncIterator[Finding]:
        began = self.clock.monotonic()
        await database.open()
        async with database.reading():
            took = self.clock.monotonic() - began
            server = (await database.rows(_SERVER))[0]
            yield _reached(server, took)
            yield self._clocks(server["clock"])
            shape = Shape.of(row[0] for row in await database.rows(PROBE))
            yield Finding(Level.OK, f"{_SUBJECT}: form", f"The table has {shape.name}.")
            rights = await self._rights(database, shape, server["role"])
            yield rights
            if rights.level is Level.PROBLEM:
                return
            async for finding in self._rows(database):
                yield finding
            yield await self._plan(database, shape)

    def _clocks(self, theirs: float) -> Finding:
        subject, skew = f"{_SUBJECT}: clock", theirs - self.clock.now().timestamp()
        if abs(skew) < SKEW:
            return Finding(Level.OK, subject, "The database's clock and ours agree.")
        way = "ahead of" if skew > 0 else "behind"
        text = f"The database's clock is {abs(skew):.0f} s {way} ours."
        return Finding(Level.WARNING, subject, text, "Synchronise both clocks.")

    async def _rights(self, database: Database, shape: Shape, role: str) -> Finding:
        subject = f"{_SUBJECT}: rights"
        wanted = needed(shape, by_user=self.settings.privacy.users is not UserNames.OFF)
        tables, columns = zip(*wanted, strict=True)
        if missing := [tuple(row) for row in await database.rows(MISSING, tables, columns)]:
            named = ", ".join(".".join(one) for one in missing)
            text = f"The role {role} may not read {named}."
            return Finding(Level.PROBLEM, subject, text, grants(missing, role))
        if (await database.rows(_WRITES))[0][0]:
            text = f"The role {role} may read all it needs, and could change it."
            return Finding(Level.WARNING, subject, text, "Give the exporter a role that may only read.")
        return Finding(Level.OK, subject, f"The role {role} may read all it needs.")

    async def _rows(self, database: Database) -> AsyncIterator[Finding]:
        now, newest, recent = (await database.rows(_FRESHNESS, RECENT))[0]
        subject = f"{_SUBJECT}: newest"
        if newest is None:
            text = "The table is empty."
            yield Finding(
                Level.WARNING, subject, text, "Connect to a workspace; reports follow each half minute."
            )
            return
        age = now - newest
        rate = recent / (RECENT / timedelta(minutes=1))
        text = (
            f"The newest report is {max(0.0, age.total_seconds()):.0f} s old; {rate:,.1f} come in a minute."
        )
        if age > OLD:
            advice = "Connect to a workspace. If nothing comes then, look for errors in Coder's log."
            yield Finding(Level.WARNING, subject, text, advice)
        else:
            yield Finding(Level.OK, subject, text)
        if age.total_seconds() < -SKEW:
            yield Finding(
                Level.WARNING,
                f"{_SUBJECT}: Coder's clocks",
                f"Reports come from {-age.total_seconds():.0f} s in the future.",
                "Set the clocks of Coder's replicas; one that is too far behind has its reports lost.",
            )

    async def _plan(self, database: Database, shape: Shape) -> Finding:
        """Let the database tell how it would answer what it is asked once a minute."""
        subject = f"{_SUBJECT}: index"
        now = (await database.rows("SELECT now()"))[0][0]
        since = now - timedelta(seconds=self.settings.agent_stats.overlap)
        plan = [
            row[0]
            for row in await database.rows("EXPLAIN " + queries.grouped(shape, since, None, by_user=True))
        ]
        scans = [
            line.strip(" ->").partition("  (")[0] for line in plan if " on workspace_agent_stats" in line
        ]
        text = f"Recent reports are found by: {scans[0] if scans else plan[0]}."
        if any("Index" in line for line in plan):
            return Finding(Level.OK, subject, text)
        rows = (await database.rows(_ROWS))[0][0]
        if rows <= SMALL:
            return Finding(Level.OK, subject, f"{text} The table is small.")
        advice = "Run ANALYZE workspace_agent_stats, and look for Coder's index on created_at."
        return Finding(Level.WARNING, subject, f"{text} It reads all {rows:,.0f} rows.", advice)


def _reached(server: Any, took: float) -> Finding:
    text = f"PostgreSQL {server['version'].partition(' ')[0]} answers in {took * 1000:.0f} ms"
    if server["tls"]:
        return Finding(Level.OK, _SUBJECT, f"{text}, encrypted by {server['tls']}.")
    if not server["remote"]:
        return Finding(Level.OK, _SUBJECT, f"{text}; the connection stays on this machine.")
    advice = "Add sslmode=verify-full and sslrootcert to agent_stats.dsn."
    return Finding(Level.WARNING, _SUBJECT, f"{text}, unencrypted: passwords and names can be read.", advice)
