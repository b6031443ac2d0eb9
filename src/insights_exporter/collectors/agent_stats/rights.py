"""Which columns the exporter reads of Coder's database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from insights_exporter.agent_stats.app_families import SESSION_COUNT_COLUMNS
from insights_exporter.agent_stats.postgres.table_schema import REQUIRED_COLUMNS, TableSchema

__all__ = ["MISSING_PRIVILEGES", "grant_statements", "required_columns"]

MISSING_PRIVILEGES: Final = """
SELECT wanted.tbl, wanted.col FROM unnest($1::text[], $2::text[]) AS wanted (tbl, col)
WHERE NOT has_column_privilege(wanted.tbl, wanted.col, 'SELECT')
"""
"""Which of these columns the role may not read."""

_NAME_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "templates": ("id", "name", "organization_id", "deleted"),
    "organizations": ("id", "name", "is_default"),
    "users": ("id", "username"),
}


def required_columns(schema: TableSchema, *, by_user: bool) -> list[tuple[str, str]]:
    """Return the columns that are read, each with its table in front."""
    report_columns = [*sorted(REQUIRED_COLUMNS), *(("usage",) if schema.has_usage else ())]
    report_columns += ["session_counts"] if schema.has_session_counts else SESSION_COUNT_COLUMNS
    table_columns = [("workspace_agent_stats", column) for column in report_columns]
    for table, columns in _NAME_COLUMNS.items():
        if table != "users" or by_user:
            table_columns += [(table, column) for column in columns]
    return table_columns


def grant_statements(missing: Iterable[tuple[str, str]], role: str) -> str:
    """Return the SQL that lets a role read these columns."""
    columns: dict[str, list[str]] = {}
    for table, column in missing:
        columns.setdefault(table, []).append(column)
    quoted_role = '"{}"'.format(role.replace('"', '""'))
    return " ".join(
        f"GRANT SELECT ({', '.join(names)}) ON {table} TO {quoted_role};" for table, names in columns.items()
    )
