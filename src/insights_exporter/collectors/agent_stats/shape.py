"""How the table of agent reports looks; Coder changed it once, and may while we run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from insights_exporter.collectors.agent_stats.apps import COLUMNS
from insights_exporter.collectors.agent_stats.faults import SourceError

__all__ = ["NEEDED", "PROBE", "Shape"]

PROBE: Final = """
SELECT a.attname::text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = to_regclass('workspace_agent_stats') AND a.attnum > 0 AND NOT a.attisdropped
"""
"""Names the table's columns. ``information_schema`` hides those that the role may not read, which would
then look like another shape and not like a missing permission."""

NEEDED: Final = frozenset(
    {
        *("created_at", "user_id", "agent_id", "template_id", "connection_count"),
        *("connection_median_latency_ms", "rx_bytes", "tx_bytes"),
    }
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Which of the two forms the table has: sessions in one ``counts`` column or in one for each family.

    ``usage`` tells whether rows say that a client wrote them and not an agent.
    """

    counts: bool
    usage: bool

    @classmethod
    def of(cls, columns: Iterable[str]) -> Shape:
        """Return the shape that these columns make; raise SourceError where it is neither."""
        found = frozenset(columns)
        if not found:
            raise SourceError(
                "There is no table workspace_agent_stats in the search path; expected Coder's database.",
                reason="database_schema",
            )
        if missing := sorted(NEEDED - found):
            raise _unknown(", ".join(missing))
        if "session_counts" in found:
            return cls(counts=True, usage="usage" in found)
        if missing := sorted(set(COLUMNS) - found):
            raise _unknown(", ".join(missing))
        return cls(counts=False, usage="usage" in found)

    @property
    def name(self) -> str:
        """What people call it."""
        return "session_counts" if self.counts else "four session_count columns"


def _unknown(missing: str) -> SourceError:
    return SourceError(
        f"The table workspace_agent_stats lacks {missing}; expected a form that the exporter knows.",
        reason="database_schema",
    )
