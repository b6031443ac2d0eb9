"""Coder's tables of agent reports in both schemas, and the expected statistics in plain SQL."""

# ruff: noqa: S608 # The SQL consists of constants of the tests.

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.simulator.postgres import agent_stats_sql
from insights_exporter.simulator.usage import SESSION_FAMILIES
from tests.support.postgres import Postgres

__all__ = [
    "GRANT_SQL",
    "INVENTORY_SQL",
    "SESSION_FAMILIES",
    "AgentStatsRow",
    "AgentStatsTable",
    "ExpectedStats",
]

INVENTORY_SQL = """
CREATE TABLE organizations (
  id uuid PRIMARY KEY, name text NOT NULL, is_default boolean NOT NULL DEFAULT false
);
CREATE TABLE users (id uuid PRIMARY KEY, username text NOT NULL, email text NOT NULL DEFAULT '');
CREATE TABLE templates (
  id uuid PRIMARY KEY, name varchar(64) NOT NULL, organization_id uuid NOT NULL,
  deleted boolean NOT NULL DEFAULT false
);
"""
"""The columns of the inventory that agent statistics read."""

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
    """One report; the defaults are those of a busy workspace."""

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
    """Whether the expected statistics exclude the row, because it is inserted too late."""


@dataclass(frozen=True)
class ExpectedStats:
    """Expected statistics since a time; buckets are cumulative, as in Prometheus."""

    latency: dict[tuple[str, ...], tuple[list[int], float]]
    app_latency: dict[tuple[str, ...], tuple[list[int], float]]
    session_seconds: dict[tuple[str, ...], float]
    received: dict[tuple[str, ...], float]
    transmitted: dict[tuple[str, ...], float]


@dataclass
class AgentStatsTable:
    """A database of a deployment with two templates and some users."""

    server: Postgres
    database: str
    json_session_counts: bool
    users: dict[str, UUID] = field(default_factory=dict)
    templates: dict[str, UUID] = field(default_factory=dict)

    @classmethod
    def create(cls, server: Postgres, *, json_session_counts: bool = False) -> AgentStatsTable:
        """Create a database with empty tables; ``json_session_counts`` selects the newer schema."""
        table = cls(server, server.new_database(), json_session_counts)
        # One call, since each psql is a process.
        table.sql(
            INVENTORY_SQL
            + agent_stats_sql(json_session_counts=json_session_counts)
            + f"INSERT INTO organizations VALUES ('{_ORGANIZATION_ID}', 'acme', true);"
            + ";".join(map(table._new_template, ("python", "java")))
            + ";"
            + ";".join(map(table._new_user, ("ada", "grace", "alan")))
        )
        return table

    @property
    def dsn(self) -> str:
        """The DSN of the superuser."""
        return self.server.dsn(self.database)

    def sql(self, statements: str) -> str:
        """Run statements and return their output."""
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
        """Insert reports in one statement."""
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
        """Freeze the clock of the database."""
        self.server.freeze_clock(self.database, now)

    def grant(self, role: str, password: str) -> None:
        """Create an account with the documented privileges only."""
        columns = (
            "session_counts"
            if self.json_session_counts
            else ", ".join(f"session_count_{family}" for family in SESSION_FAMILIES)
        )
        self.sql(GRANT_SQL.format(role=role, password=password, sessions=columns))

    def migrate_to_json(self) -> None:
        """Migrate the older schema to the newer one, as Coder does at its start."""
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
        """Return the statistics of all reports since a time, computed row by row."""
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
        """Run statements and queries in one psql process, since each start is slow."""
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
