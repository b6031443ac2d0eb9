"""Coder's table of agent reports with as many rows as wanted, written by the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.support.agent_stats_table import SCHEMA_SQL
from tests.support.postgres import Postgres, find_postgres_bin_dir

__all__ = ["AGENT_COUNT", "START", "LargeAgentStatsTable", "large_agent_stats_table"]

AGENT_COUNT: Final = 10_000
START: Final = datetime(2026, 1, 14, tzinfo=UTC)

_TEMPLATE_COUNT = 50
_HEX_ID_SQL = "lpad(to_hex({}), 12, '0')"
_INVENTORY_SQL = f"""
INSERT INTO organizations VALUES ('99999999-0000-4000-8000-000000000001', 'acme', true);
INSERT INTO templates SELECT ('11111111-0000-4000-8000-' || {_HEX_ID_SQL.format("n")})::uuid, 'template-' || n,
  '99999999-0000-4000-8000-000000000001' FROM generate_series(0, {_TEMPLATE_COUNT - 1}) n;
INSERT INTO users SELECT ('44444444-0000-4000-8000-' || {_HEX_ID_SQL.format("n")})::uuid, 'user-' || n
  FROM generate_series(0, {AGENT_COUNT - 1}) n;
"""
_ROWS_SQL = f"""
INSERT INTO workspace_agent_stats
SELECT ('77777777-0000-4000-8000-' || {_HEX_ID_SQL.format("half::bigint * 65536 + agent")})::uuid,
  '{START.isoformat()}'::timestamptz + half * interval '30 s' + agent * interval '3 ms',
  ('44444444-0000-4000-8000-' || {_HEX_ID_SQL.format("agent")})::uuid,
  ('88888888-0000-4000-8000-' || {_HEX_ID_SQL.format("agent")})::uuid,
  ('55555555-0000-4000-8000-' || {_HEX_ID_SQL.format("agent")})::uuid,
  ('11111111-0000-4000-8000-' || {_HEX_ID_SQL.format(f"agent % {_TEMPLATE_COUNT}")})::uuid,
  '{{"TCP": 2}}', 2, 40, 4096 + agent, 30, 2048 + agent,
  CASE WHEN agent % 25 = 0 THEN -0.001 ELSE (15 + agent % 200) * (0.8 + 0.5 * random()) END,
  (agent % 2 = 0)::int, (agent % 4 = 1)::int, (agent % 20 = 3)::int, (agent % 4 = 3)::int, false
FROM generate_series(FIRST, LAST) half, generate_series(0, {AGENT_COUNT - 1}) agent;
"""
_DROP_INDEXES_SQL = "DROP INDEX idx_agent_stats_created_at, idx_agent_stats_user_id;"
_CREATE_INDEXES_SQL = """
CREATE INDEX idx_agent_stats_created_at ON workspace_agent_stats (created_at);
CREATE INDEX idx_agent_stats_user_id ON workspace_agent_stats (user_id);
CREATE INDEX workspace_agent_stats_template_id_created_at_user_id_idx ON workspace_agent_stats
  (template_id, created_at, user_id) INCLUDE (session_count_vscode, session_count_jetbrains,
  session_count_reconnecting_pty, session_count_ssh, connection_median_latency_ms) WHERE connection_count > 0;
VACUUM ANALYZE workspace_agent_stats;
"""


@dataclass
class LargeAgentStatsTable:
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

    def add_minutes(self, minutes: int) -> None:
        """Let so many minutes pass."""
        rows = _ROWS_SQL.replace("FIRST", str(self.minutes * 2))
        self.minutes += minutes
        self.sql(
            rows.replace("LAST", str(self.minutes * 2 - 1))
            + f"ALTER DATABASE {self.database} SET search_path = public, pg_catalog;"
            "CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS"
            f" $$SELECT '{self.now.isoformat()}'::timestamptz$$"
        )

    def create_indexes(self) -> None:
        """Make the indexes, and let the database learn what the table is like, as it would in earnest."""
        self.sql(_CREATE_INDEXES_SQL)


@contextmanager
def large_agent_stats_table(minutes: int) -> Iterator[LargeAgentStatsTable]:
    """Start a server with such a table; everything is gone at the end."""
    bin_dir = find_postgres_bin_dir()
    if bin_dir is None:
        raise SystemExit("PostgreSQL is not installed: see tests/support/install-binaries.sh.")
    server = Postgres(bin_dir)
    try:
        server.start(shared_buffers="512MB", max_wal_size="4GB", maintenance_work_mem="256MB")
        table = LargeAgentStatsTable(server, server.new_database())
        sessions = ", ".join(
            f"session_count_{family} bigint NOT NULL DEFAULT 0"
            for family in ("vscode", "jetbrains", "reconnecting_pty", "ssh")
        )
        schema_sql = SCHEMA_SQL.replace("SESSIONS", sessions)
        table.sql(schema_sql.replace("CREATE TABLE workspace_agent", "CREATE UNLOGGED TABLE workspace_agent"))
        table.sql(_DROP_INDEXES_SQL + _INVENTORY_SQL)
        table.add_minutes(minutes)
        table.create_indexes()
        yield table
    finally:
        server.remove()
