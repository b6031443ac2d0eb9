"""Coder's table of agent reports with as many rows as wanted, written by the database itself."""

# ruff: noqa: S608 - the SQL is our own.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.support.agent_table import TABLES
from tests.support.postgres import Postgres, postgres_programs

__all__ = ["AGENTS", "START", "AgentTable", "agent_table"]

AGENTS: Final = 10_000
START: Final = datetime(2026, 1, 14, tzinfo=UTC)

_TEMPLATES = 50
_NUMBER = "lpad(to_hex({}), 12, '0')"
_USERS = f"""
INSERT INTO organizations VALUES ('99999999-0000-4000-8000-000000000001', 'acme', true);
INSERT INTO templates SELECT ('11111111-0000-4000-8000-' || {_NUMBER.format("n")})::uuid, 'template-' || n,
  '99999999-0000-4000-8000-000000000001' FROM generate_series(0, {_TEMPLATES - 1}) n;
INSERT INTO users SELECT ('44444444-0000-4000-8000-' || {_NUMBER.format("n")})::uuid, 'user-' || n
  FROM generate_series(0, {AGENTS - 1}) n;
"""
_ROWS = f"""
INSERT INTO workspace_agent_stats
SELECT ('77777777-0000-4000-8000-' || {_NUMBER.format("half::bigint * 65536 + agent")})::uuid,
  '{START.isoformat()}'::timestamptz + half * interval '30 s' + agent * interval '3 ms',
  ('44444444-0000-4000-8000-' || {_NUMBER.format("agent")})::uuid,
  ('88888888-0000-4000-8000-' || {_NUMBER.format("agent")})::uuid,
  ('55555555-0000-4000-8000-' || {_NUMBER.format("agent")})::uuid,
  ('11111111-0000-4000-8000-' || {_NUMBER.format(f"agent % {_TEMPLATES}")})::uuid,
  '{{"TCP": 2}}', 2, 40, 4096 + agent, 30, 2048 + agent,
  CASE WHEN agent % 25 = 0 THEN -0.001 ELSE (15 + agent % 200) * (0.8 + 0.5 * random()) END,
  (agent % 2 = 0)::int, (agent % 4 = 1)::int, (agent % 20 = 3)::int, (agent % 4 = 3)::int, false
FROM generate_series(FIRST, LAST) half, generate_series(0, {AGENTS - 1}) agent;
"""
_UNINDEXED = "DROP INDEX idx_agent_stats_created_at, idx_agent_stats_user_id;"
_INDEXED = """
CREATE INDEX idx_agent_stats_created_at ON workspace_agent_stats (created_at);
CREATE INDEX idx_agent_stats_user_id ON workspace_agent_stats (user_id);
CREATE INDEX workspace_agent_stats_template_id_created_at_user_id_idx ON workspace_agent_stats
  (template_id, created_at, user_id) INCLUDE (session_count_vscode, session_count_jetbrains,
  session_count_reconnecting_pty, session_count_ssh, connection_median_latency_ms) WHERE connection_count > 0;
VACUUM ANALYZE workspace_agent_stats;
"""


@dataclass
class AgentTable:
    """A table that every agent writes to each half minute, all with an open session."""

    server: Postgres
    database: str
    minutes: int = 0

    @property
    def dsn(self) -> str:
        """The database's address."""
        return self.server.dsn(self.database)

    @property
    def now(self) -> datetime:
        """The end of what was written, which is the time of day there."""
        return START + timedelta(minutes=self.minutes)

    def sql(self, statements: str) -> str:
        """Run statements."""
        return self.server.sql(statements, database=self.database)

    def grow(self, minutes: int) -> None:
        """Let so many minutes pass."""
        rows = _ROWS.replace("FIRST", str(self.minutes * 2))
        self.minutes += minutes
        self.sql(
            rows.replace("LAST", str(self.minutes * 2 - 1))
            + f"ALTER DATABASE {self.database} SET search_path = public, pg_catalog;"
            "CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS"
            f" $$SELECT '{self.now.isoformat()}'::timestamptz$$"
        )

    def settle(self) -> None:
        """Make the indexes, and let the database learn what the table is like, as it would in earnest."""
        self.sql(_INDEXED)


@contextmanager
def agent_table(minutes: int) -> Iterator[AgentTable]:
    """Start a server with such a table; everything is gone at the end."""
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: see tests/support/install-binaries.sh.")
    server = Postgres(programs)
    try:
        server.start(shared_buffers="512MB", max_wal_size="4GB", maintenance_work_mem="256MB")
        table = AgentTable(server, server.new_database())
        sessions = ", ".join(
            f"session_count_{one} bigint NOT NULL DEFAULT 0"
            for one in ("vscode", "jetbrains", "reconnecting_pty", "ssh")
        )
        made = TABLES.replace("SESSIONS", sessions)
        table.sql(made.replace("CREATE TABLE workspace_agent", "CREATE UNLOGGED TABLE workspace_agent"))
        table.sql(_UNINDEXED + _USERS)
        table.grow(minutes)
        table.settle()
        yield table
    finally:
        server.remove()
