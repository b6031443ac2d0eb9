"""The schema of the table of agent reports, which an upgrade of Coder may change at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from insights_exporter.agent_stats.app_families import SESSION_COUNT_COLUMNS
from insights_exporter.errors import AgentStatsError

__all__ = [
    "MISSING_PRIVILEGES",
    "REQUIRED_COLUMNS",
    "TABLE_COLUMNS_QUERY",
    "TableSchema",
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
