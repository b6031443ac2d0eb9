"""Which columns the exporter reads of Coder's database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from insights_exporter.collectors.agent_stats.apps import COLUMNS
from insights_exporter.collectors.agent_stats.shape import NEEDED, Shape

__all__ = ["MISSING", "grants", "needed"]

MISSING: Final = """
SELECT wanted.tbl, wanted.col FROM unnest($1::text[], $2::text[]) AS wanted (tbl, col)
WHERE NOT has_column_privilege(wanted.tbl, wanted.col, 'SELECT')
"""
"""Which of these columns the role may not read."""

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "templates": ("id", "name", "organization_id", "deleted"),
    "organizations": ("id", "name", "is_default"),
    "users": ("id", "username"),
}


def needed(shape: Shape, *, by_user: bool) -> list[tuple[str, str]]:
    """Return the columns that are read, each with its table in front."""
    reports = [*sorted(NEEDED), *(("usage",) if shape.usage else ())]
    reports += ["session_counts"] if shape.counts else COLUMNS
    found = [("workspace_agent_stats", column) for column in reports]
    for table, columns in _NAMES.items():
        if table != "users" or by_user:
            found += [(table, column) for column in columns]
    return found


def grants(missing: Iterable[tuple[str, str]], role: str) -> str:
    """Return the SQL that lets a role read these columns."""
    columns: dict[str, list[str]] = {}
    for table, column in missing:
        columns.setdefault(table, []).append(column)
    quoted = '"{}"'.format(role.replace('"', '""'))
    return " ".join(
        f"GRANT SELECT ({', '.join(names)}) ON {table} TO {quoted};" for table, names in columns.items()
    )
