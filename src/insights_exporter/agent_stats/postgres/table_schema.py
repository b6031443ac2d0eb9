"""How the table of agent reports looks; Coder changed it once, and may while we run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from insights_exporter.agent_stats.app_families import SESSION_COUNT_COLUMNS
from insights_exporter.collectors.agent_stats.faults import AgentStatsError

__all__ = ["REQUIRED_COLUMNS", "TABLE_COLUMNS_QUERY", "TableSchema"]

TABLE_COLUMNS_QUERY: Final = """
SELECT a.attname::text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = to_regclass('workspace_agent_stats') AND a.attnum > 0 AND NOT a.attisdropped
"""
"""Names the table's columns. ``information_schema`` hides those that the role may not read, which would
then look like another shape and not like a missing permission."""

REQUIRED_COLUMNS: Final = frozenset(
    {
        *("created_at", "user_id", "agent_id", "template_id", "connection_count"),
        *("connection_median_latency_ms", "rx_bytes", "tx_bytes"),
    }
)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """Which of the two forms the table has: sessions in one ``counts`` column or in one for each family.

    ``usage`` tells whether rows say that a client wrote them and not an agent.
    """

    has_session_counts: bool
    has_usage: bool

    @classmethod
    def from_columns(cls, columns: Iterable[str]) -> TableSchema:
        """Return the shape that these columns make; raise SourceError where it is neither."""
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
        """What people call it."""
        return "session_counts" if self.has_session_counts else "four session_count columns"


def _unsupported_schema(missing: str) -> AgentStatsError:
    return AgentStatsError(
        f"The table workspace_agent_stats lacks {missing}; expected a form that the exporter knows.",
        reason="database_schema",
    )
