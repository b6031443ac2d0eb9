"""SQL queries; the database aggregates, so that few rows are transferred.

One line per group of reports. Only reports with a measured latency and an open session are observations, and
are counted by bucket. Coder stores -1, -0.001 or NULL without a measurement. Rows that a client wrote instead
of an agent (``usage``) are never observations.
"""

# ruff: noqa: S608  # The SQL consists of constants and timestamps.
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.agent_stats.aggregate import (
    BOUND_TOLERANCE,
    BUCKETS_PER_DOUBLING,
    SESSION_COUNT_COLUMNS,
)
from insights_exporter.errors import AgentStatsError
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS

__all__ = [
    "BATCH_END",
    "BUCKET_SQL",
    "CHUNK_MINUTES",
    "MISSING_PRIVILEGES",
    "NOW_AND_NEWEST",
    "OLDEST",
    "ORGANIZATION",
    "REQUIRED_COLUMNS",
    "ROWS_BY_BATCH",
    "TABLE_COLUMNS_QUERY",
    "TEMPLATES",
    "USERS",
    "TableSchema",
    "aggregate_query",
    "current_sessions_query",
    "grant_statements",
    "required_columns",
]

TABLE_COLUMNS_QUERY: Final = """
SELECT a.attname::text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = to_regclass('workspace_agent_stats') AND a.attnum > 0 AND NOT a.attisdropped
"""
"""Returns the table's columns.

``information_schema`` omits columns without a grant, which would look like another schema instead of a
missing privilege.
"""

REQUIRED_COLUMNS: Final = frozenset(
    {
        *("created_at", "user_id", "agent_id", "template_id", "connection_count"),
        *("connection_median_latency_ms", "rx_bytes", "tx_bytes"),
    }
)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The schema of the table.

    ``has_session_counts``: sessions are in one JSON column, otherwise in one column per app family.
    ``has_usage``: a column marks rows that a client wrote instead of an agent.
    """

    has_session_counts: bool
    has_usage: bool

    @classmethod
    def from_columns(cls, columns: Iterable[str]) -> TableSchema:
        """Return the schema of these columns; raise AgentStatsError if it is unknown."""
        column_names = frozenset(columns)
        if not column_names:
            raise AgentStatsError(
                "There is no table workspace_agent_stats in the search path; expected Coder's database.",
                reason="database_schema",
            )
        if missing := sorted(REQUIRED_COLUMNS - column_names):
            raise _unsupported_schema(", ".join(missing))
        if "session_counts" in column_names:
            return cls(has_session_counts=True, has_usage="usage" in column_names)
        if missing := sorted(set(SESSION_COUNT_COLUMNS) - column_names):
            raise _unsupported_schema(", ".join(missing))
        return cls(has_session_counts=False, has_usage="usage" in column_names)

    @property
    def name(self) -> str:
        """The name of the schema in messages."""
        return "session_counts" if self.has_session_counts else "four session_count columns"


def _unsupported_schema(missing: str) -> AgentStatsError:
    return AgentStatsError(
        f"The table workspace_agent_stats lacks {missing}; expected a known schema.",
        reason="database_schema",
    )


MISSING_PRIVILEGES: Final = """
SELECT wanted.tbl, wanted.col FROM unnest($1::text[], $2::text[]) AS wanted (tbl, col)
WHERE NOT has_column_privilege(wanted.tbl, wanted.col, 'SELECT')
"""
"""Returns the columns that the role may not read."""

_NAME_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "templates": ("id", "name", "organization_id", "deleted"),
    "organizations": ("id", "name", "is_default"),
    "users": ("id", "username"),
}


def required_columns(schema: TableSchema, *, by_user: bool) -> list[tuple[str, str]]:
    """Return the (table, column) pairs that the queries read."""
    report_columns = [*sorted(REQUIRED_COLUMNS), *(("usage",) if schema.has_usage else ())]
    report_columns += ["session_counts"] if schema.has_session_counts else SESSION_COUNT_COLUMNS
    table_columns = [("workspace_agent_stats", column) for column in report_columns]
    for table, columns in _NAME_COLUMNS.items():
        if table != "users" or by_user:
            table_columns += [(table, column) for column in columns]
    return table_columns


def grant_statements(missing: Iterable[tuple[str, str]], role: str) -> str:
    """Return the SQL that grants a role these columns."""
    columns: dict[str, list[str]] = {}
    for table, column in missing:
        columns.setdefault(table, []).append(column)
    quoted_role = '"{}"'.format(role.replace('"', '""'))
    return " ".join(
        f"GRANT SELECT ({', '.join(names)}) ON {table} TO {quoted_role};" for table, names in columns.items()
    )


_BUCKET_FACTOR: Final = f"{BUCKETS_PER_DOUBLING / math.log(2)!r}::double precision"
BUCKET_INDEX_SQL: Final = (
    f"ceil(ln(connection_median_latency_ms / 1000) * {_BUCKET_FACTOR}"
    f" - {BOUND_TOLERANCE!r}::double precision)::int - 1"
)
"""``aggregate.bucket_index`` in SQL."""

CHUNK_MINUTES: Final = 60
"""Minutes per bit mask; a bigint has 64 bits."""

OLDEST: Final = "SELECT min(created_at) FROM workspace_agent_stats"
NOW_AND_NEWEST: Final = "SELECT now(), max(created_at) FROM workspace_agent_stats WHERE created_at >= $1"
BATCH_END: Final = """
SELECT count(*), max(created_at) FROM (
  SELECT created_at FROM workspace_agent_stats WHERE created_at >= $1 AND created_at < $2
  ORDER BY created_at LIMIT $3
) AS batch
"""
"""Returns the number of the first ``$3`` reports of a range, and the time of the last of them."""

ROWS_BY_BATCH: Final = """
SELECT width_bucket(created_at, $1::timestamptz[]), count(*) FROM workspace_agent_stats
WHERE created_at >= $2 AND created_at < $3 GROUP BY 1
"""
"""Returns the number of rows by batch, numbered from 1; ``$1`` are the begins of the batches."""

TEMPLATES: Final = """
SELECT t.id::text, o.name::text, t.name::text, t.deleted
FROM templates t JOIN organizations o ON o.id = t.organization_id
"""
USERS: Final = "SELECT id::text, username::text FROM users"
ORGANIZATION: Final = "SELECT id::text FROM organizations ORDER BY is_default DESC, id LIMIT 1"

_SQL_BOUNDS: Final = ",".join(f"{-bound * 1000:g}" for bound in reversed(LATENCY_BUCKETS))
# Bounds are inclusive in Prometheus and exclusive in width_bucket(); negated values make them inclusive.
BUCKET_SQL: Final = (
    f"{len(LATENCY_BUCKETS)} - width_bucket(-connection_median_latency_ms, "
    f"'{{{_SQL_BOUNDS}}}'::double precision[])"
)


def aggregate_query(
    schema: TableSchema, begin: datetime, end: datetime | None, *, by_user: bool, exponential: bool = False
) -> str:
    """Return the query for the reports in [begin, end), or from ``begin`` on if ``end`` is None.

    Result columns: template id, user id, apps, hour since ``begin``, bit mask of the minutes in that hour,
    number of reports, bytes received, bytes sent, sum of the observed milliseconds, and observations.
    Observations are tuples separated by blanks: bucket, count and optionally exponential bucket, separated by
    commas. Apps are a bit mask over ``SESSION_COUNT_COLUMNS``, or the JSON object of the newer schema.
    """
    has_session = "apps IS NOT NULL" if schema.has_session_counts else "apps <> 0"
    agent_condition, usage_column = (" AND NOT usage", ", usage") if schema.has_usage else ("", "")
    is_measured = "connection_median_latency_ms > 0 AND connection_median_latency_ms < 'Infinity'"
    is_observation = f"{has_session} AND {is_measured}{agent_condition}"
    single_chunk = end is not None and end - begin <= timedelta(minutes=CHUNK_MINUTES)
    # One group key less saves a tenth of the time.
    group_keys = "template_id, counted_user, apps" + ("" if single_chunk else ", chunk")
    chunk_result = "0" if single_chunk else "chunk"
    chunk_column = "" if single_chunk else f"minute / {CHUNK_MINUTES} AS chunk,"
    bucket_keys, exponential_column, exponential_result = f"{group_keys}, bucket", "", ""
    if exponential:
        bucket_keys = f"{bucket_keys}, exponential_bucket"
        exponential_column = f"CASE WHEN {is_observation} THEN {BUCKET_INDEX_SQL} END AS exponential_bucket,"
        exponential_result = " || ',' || exponential_bucket"
    end_condition = "" if end is None else f" AND created_at < {_timestamp_literal(end)}"
    user_expression = f"CASE WHEN {has_session} THEN user_id END" if by_user else "NULL"
    return f"""
SELECT template_id, counted_user, apps, {chunk_result}, bit_or(minutes), sum(reports),
  sum(received), sum(sent),
  sum(milliseconds) FILTER (WHERE bucket IS NOT NULL),
  string_agg(bucket || ',' || reports{exponential_result}, ' ') FILTER (WHERE bucket IS NOT NULL)
FROM (
  SELECT template_id, {user_expression} AS counted_user, apps, {chunk_column}
    CASE WHEN {is_observation} THEN {BUCKET_SQL} END AS bucket, {exponential_column}
    bit_or(1::bigint << minute % {CHUNK_MINUTES}) AS minutes,
    count(*) AS reports, sum(connection_median_latency_ms) AS milliseconds,
    -- sum(bigint) is numeric and slow; double precision is exact up to 9 PB.
    sum(greatest(rx_bytes, 0)::double precision) AS received,
    sum(greatest(tx_bytes, 0)::double precision) AS sent
  FROM (
    SELECT template_id, user_id, connection_median_latency_ms, rx_bytes, tx_bytes{usage_column},
      {_apps_expression(schema)} AS apps,
      (floor(date_part('epoch', created_at) / 60) - {begin.timestamp() // 60:.0f})::int AS minute
    FROM workspace_agent_stats WHERE created_at >= {_timestamp_literal(begin)}{end_condition}
    -- OFFSET 0 prevents inlining, which would evaluate the expressions at each use.
    OFFSET 0
  ) AS report
  GROUP BY {bucket_keys}
) AS by_bucket
GROUP BY {group_keys}
"""


def current_sessions_query(schema: TableSchema, begin: datetime, end: datetime | None = None) -> str:
    """Return the query for the newest report of each agent in a range, and all rows of clients.

    The range is [begin, end), or from ``begin`` on if ``end`` is None.

    Result columns: template id, agent id (only for rows of clients), session counts, connections, number of
    reports.
    """
    if schema.has_session_counts:
        counts_expression = "session_counts"
    else:
        parts = ", ".join(f"coalesce({column}, 0)" for column in SESSION_COUNT_COLUMNS)
        counts_expression = f"ARRAY[{parts}]::bigint[]"
    usage_expression = "usage" if schema.has_usage else "false"
    end_condition = "" if end is None else f" AND created_at < {_timestamp_literal(end)}"
    return f"""
WITH recent AS MATERIALIZED (
  SELECT agent_id, template_id, created_at, connection_count,
    {counts_expression} AS counts, {usage_expression} AS by_client
  FROM workspace_agent_stats WHERE created_at >= {_timestamp_literal(begin)}{end_condition}
), newest AS (
  SELECT DISTINCT ON (agent_id) * FROM recent WHERE NOT by_client ORDER BY agent_id, created_at DESC
)
SELECT template_id, NULL, counts, sum(greatest(connection_count, 0)), count(*)
FROM newest GROUP BY template_id, counts
UNION ALL
SELECT template_id, agent_id::text, counts, 0, 1
FROM recent WHERE by_client GROUP BY template_id, agent_id, counts
"""


def _apps_expression(schema: TableSchema) -> str:
    if schema.has_session_counts:
        return "CASE WHEN jsonb_typeof(session_counts) = 'object' THEN nullif(session_counts, '{}') END"
    bits = [
        f"CASE WHEN {column} > 0 THEN {1 << bit} ELSE 0 END"
        for bit, column in enumerate(SESSION_COUNT_COLUMNS)
    ]
    return " + ".join(bits)


def _timestamp_literal(at: datetime) -> str:
    return f"'{at.isoformat()}'::timestamptz"
