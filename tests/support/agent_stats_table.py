"""Coder's tables as far as agent reports need them, in both forms, and what is true of them by plain SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from tests.support.postgres import Postgres

__all__ = ["GRANT_SQL", "SCHEMA_SQL", "SESSION_FAMILIES", "AgentStatsRow", "AgentStatsTable", "ExpectedStats"]

SESSION_FAMILIES = ("vscode", "jetbrains", "reconnecting_pty", "ssh")

SCHEMA_SQL = """
CREATE TABLE organizations (
  id uuid PRIMARY KEY, name text NOT NULL, is_default boolean NOT NULL DEFAULT false
);
CREATE TABLE users (id uuid PRIMARY KEY, username text NOT NULL, email text NOT NULL DEFAULT '');
CREATE TABLE templates (
  id uuid PRIMARY KEY, name varchar(64) NOT NULL, organization_id uuid NOT NULL,
  deleted boolean NOT NULL DEFAULT false
);
CREATE TABLE workspace_agent_stats (
  id uuid PRIMARY KEY, created_at timestamptz NOT NULL, user_id uuid NOT NULL, agent_id uuid NOT NULL,
  workspace_id uuid NOT NULL, template_id uuid NOT NULL, connections_by_proto jsonb NOT NULL DEFAULT '{}',
  connection_count bigint NOT NULL DEFAULT 0, rx_packets bigint NOT NULL DEFAULT 0,
  rx_bytes bigint NOT NULL DEFAULT 0, tx_packets bigint NOT NULL DEFAULT 0,
  tx_bytes bigint NOT NULL DEFAULT 0,
  connection_median_latency_ms double precision DEFAULT -1,
  SESSIONS,
  usage boolean NOT NULL DEFAULT false
);
CREATE INDEX idx_agent_stats_created_at ON workspace_agent_stats (created_at);
CREATE INDEX idx_agent_stats_user_id ON workspace_agent_stats (user_id);
"""
_COLUMNS_SQL = ", ".join(f"session_count_{client} bigint NOT NULL DEFAULT 0" for client in SESSION_FAMILIES)
_JSON_COLUMN_SQL = "session_counts jsonb NOT NULL DEFAULT '{}'"

GRANT_SQL = """
CREATE ROLE {role} LOGIN PASSWORD '{password}';
GRANT SELECT (created_at, user_id, agent_id, template_id, connection_count, connection_median_latency_ms,
  rx_bytes, tx_bytes, {sessions}, usage) ON workspace_agent_stats TO {role};
GRANT SELECT (id, name, organization_id, deleted) ON templates TO {role};
GRANT SELECT (id, name, is_default) ON organizations TO {role};
GRANT SELECT (id, username) ON users TO {role};
"""

_RESULT_SEPARATOR = "-- next --"
_ORGANIZATION_ID = UUID("99999999-0000-4000-8000-000000000001")


@dataclass(frozen=True)
class AgentStatsRow:
    """One report; the default is what an agent tells of a busy workspace."""

    created_at: datetime
    user: str = "ada"
    template: str = "python"
    latency_ms: float | None = 42.0
    sessions: Mapping[str, int] = field(default_factory=lambda: {"vscode": 1})
    usage: bool = False
    agent: int = 1
    connections: int = 1
    received: int = 100
    sent: int = 10
    is_late: bool = False
    """Whether the truth leaves it out, as it comes too late to be counted."""


@dataclass(frozen=True)
class ExpectedStats:
    """What the table holds from a moment on, by plain SQL; buckets are cumulative, as in Prometheus."""

    latency: dict[tuple[str, ...], tuple[list[int], float]]
    app_latency: dict[tuple[str, ...], tuple[list[int], float]]
    session_seconds: dict[tuple[str, ...], float]
    received: dict[tuple[str, ...], float]
    transmitted: dict[tuple[str, ...], float]


@dataclass
class AgentStatsTable:
    """A database of a Coder with two templates and some users."""

    server: Postgres
    database: str
    json_session_counts: bool
    users: dict[str, UUID] = field(default_factory=dict)
    templates: dict[str, UUID] = field(default_factory=dict)

    @classmethod
    def create(cls, server: Postgres, *, json_session_counts: bool = False) -> AgentStatsTable:
        """Make a database with empty tables; ``counts`` is the newer form."""
        table = cls(server, server.new_database(), json_session_counts)
        # All at once: each call of psql is a process.
        table.sql(
            SCHEMA_SQL.replace("SESSIONS", _JSON_COLUMN_SQL if json_session_counts else _COLUMNS_SQL)
            + f"INSERT INTO organizations VALUES ('{_ORGANIZATION_ID}', 'acme', true);"
            + ";".join(map(table._new_template, ("python", "java")))
            + ";"
            + ";".join(map(table._new_user, ("ada", "grace", "alan")))
        )
        return table

    @property
    def dsn(self) -> str:
        """The address for an account that may do everything."""
        return self.server.dsn(self.database)

    def sql(self, statements: str) -> str:
        """Run statements."""
        return self.server.sql(statements, database=self.database)

    def add_template(self, name: str) -> None:
        """Add a template."""
        self.sql(self._new_template(name))

    def _new_template(self, name: str) -> str:
        number = self.templates[name] = uuid4()
        return f"INSERT INTO templates VALUES ('{number}', '{name}', '{_ORGANIZATION_ID}')"

    def add_user(self, name: str) -> None:
        """Add a user."""
        self.sql(self._new_user(name))

    def _new_user(self, name: str) -> str:
        number = self.users[name] = uuid4()
        return f"INSERT INTO users VALUES ('{number}', '{name}', '{name}@example.com')"

    def add(self, *reports: AgentStatsRow) -> None:
        """Write reports, all at once."""
        if not reports:
            return
        columns = (
            "session_counts"
            if self.json_session_counts
            else ", ".join(f"session_count_{item}" for item in SESSION_FAMILIES)
        )
        rows = ",\n".join(self._row(item) for item in reports)
        self.sql(
            "INSERT INTO workspace_agent_stats (id, created_at, user_id, agent_id, workspace_id, template_id,"
            " connection_count, rx_bytes, tx_bytes, connection_median_latency_ms, usage,"
            f" {columns}, connections_by_proto) VALUES {rows}"
        )

    def _row(self, row: AgentStatsRow) -> str:
        if self.json_session_counts:
            sessions = f"'{json.dumps(row.sessions)}'"
        else:
            sessions = ", ".join(str(row.sessions.get(client, 0)) for client in SESSION_FAMILIES)
        latency = "NULL" if row.latency_ms is None else f"'{row.latency_ms}'"
        agent = UUID(int=row.agent)
        return (
            f"('{uuid4()}', '{row.created_at.isoformat()}', '{self.users[row.user]}', '{agent}', '{agent}',"
            f" '{self.templates[row.template]}', {row.connections}, {row.received}, {row.sent}, {latency},"
            f" {row.usage}, {sessions}, '{json.dumps({'LOST': 1} if row.is_late else {})}')"
        )

    def freeze_clock(self, now: datetime) -> None:
        """Let the clock stand still at a moment for who connects after the first time it was set."""
        self.sql(
            f"ALTER DATABASE {self.database} SET search_path = public, pg_catalog;"
            "CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS"
            f" $$SELECT '{now.isoformat()}'::timestamptz$$"
        )

    def grant(self, role: str, password: str) -> None:
        """Make an account with just the rights that the documentation names."""
        columns = (
            "session_counts"
            if self.json_session_counts
            else ", ".join(f"session_count_{family}" for family in SESSION_FAMILIES)
        )
        self.sql(GRANT_SQL.format(role=role, password=password, sessions=columns))

    def migrate_to_json(self) -> None:
        """Turn the older form into the newer one, as Coder does when it starts."""
        counts = "jsonb_strip_nulls(jsonb_build_object({}))"
        pairs = ", ".join(f"'{family}', nullif(session_count_{family}, 0)" for family in SESSION_FAMILIES)
        drops = ", ".join(f"DROP COLUMN session_count_{family}" for family in SESSION_FAMILIES)
        self.sql(
            f"BEGIN; ALTER TABLE workspace_agent_stats ADD COLUMN {_JSON_COLUMN_SQL};"
            f"UPDATE workspace_agent_stats SET session_counts = {counts.format(pairs)};"
            f"ALTER TABLE workspace_agent_stats {drops}; COMMIT"
        )
        self.json_session_counts = True

    def expected_stats(self, since: datetime) -> ExpectedStats:
        """Return what is true of all reports from a moment on, row by row and without any cleverness."""
        if self.json_session_counts:
            app = (
                "CASE WHEN key IN ('ssh', 'zed') THEN 'ssh' WHEN key = 'reconnecting_pty' THEN"
                " 'reconnecting-pty' WHEN key IN ('vscode', 'cursor') THEN 'vscode'"
                " WHEN key = 'jetbrains' THEN 'jetbrains' ELSE 'unknown' END"
            )
            apps = (
                f"SELECT DISTINCT r.id, {app} AS app FROM r, jsonb_each_text(session_counts) AS e(key, value)"
                " WHERE value::bigint > 0"
            )
        else:
            apps = " UNION ALL ".join(
                f"SELECT id, '{item.replace('_', '-')}' FROM r WHERE session_count_{item} > 0"
                for item in SESSION_FAMILIES
            )
        views = (
            "CREATE TEMP VIEW r AS SELECT s.*, o.name AS org, t.name AS tmpl, u.username"
            " FROM workspace_agent_stats s JOIN templates t ON t.id = s.template_id"
            " JOIN organizations o ON o.id = t.organization_id JOIN users u ON u.id = s.user_id"
            f" WHERE s.created_at >= '{since.isoformat()}' AND NOT connections_by_proto ? 'LOST';"
            f"CREATE TEMP VIEW used (id, app) AS {apps};"
            "CREATE TEMP VIEW observed AS SELECT * FROM r WHERE connection_median_latency_ms > 0"
            " AND connection_median_latency_ms < 'Infinity' AND NOT usage AND id IN (SELECT id FROM used);"
        )
        latency, app_latency, seconds, received, sent = self._query_results(
            views,
            _histogram_query("username", "observed"),
            _histogram_query("app", "observed JOIN used USING (id)"),
            "SELECT org, tmpl, username, app, 60 * count(DISTINCT date_trunc('minute', created_at))"
            " FROM r JOIN used USING (id) GROUP BY 1, 2, 3, 4",
            "SELECT org, tmpl, sum(rx_bytes) FROM r GROUP BY 1, 2",
            "SELECT org, tmpl, sum(tx_bytes) FROM r GROUP BY 1, 2",
        )
        return ExpectedStats(
            {tuple(row[:3]): ([int(item) for item in row[4:]], float(row[3])) for row in latency},
            {tuple(row[:3]): ([int(item) for item in row[4:]], float(row[3])) for row in app_latency},
            *({tuple(key): float(value) for *key, value in rows} for rows in (seconds, received, sent)),
        )

    def _query_results(self, setup: str, *queries: str) -> Iterator[list[list[str]]]:
        """Run statements and then queries in one go, as each start of psql takes its time."""
        output = self.sql(setup + "".join(f"\n{query};\n\\echo {_RESULT_SEPARATOR}" for query in queries))
        for result in output.split(_RESULT_SEPARATOR)[:-1]:
            yield [line.split("|") for line in result.strip().splitlines()]


def _histogram_query(label: str, table: str) -> str:
    counts = ", ".join(
        f"count(*) FILTER (WHERE connection_median_latency_ms <= {bound * 1000:g})"
        for bound in LATENCY_BUCKETS
    )
    return (
        f"SELECT org, tmpl, {label}, sum(connection_median_latency_ms) / 1000, {counts}, count(*)"
        f" FROM {table} GROUP BY 1, 2, 3"
    )
