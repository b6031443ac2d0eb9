"""How coderd's own metrics are switched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["AGGREGATION_LABELS", "MetricsOptions"]

AGGREGATION_LABELS = ("agent_name", "template_name", "username", "workspace_name")
"""Everything that agent statistics may be told apart by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOptions:
    """Options of coderd, under their names; ``uptime`` is how long it runs already when it is first asked.

    ``client_sessions`` adds the newer family with one series per client. ``totals`` makes the gauges of bytes
    grow for ever; Coder sets them anew at each tick.
    """

    enable: bool = True
    collect_agent_stats: bool = True
    aggregate_agent_stats_by: tuple[str, ...] = AGGREGATION_LABELS
    client_sessions: bool = False
    cumulative_bytes: bool = False
    uptime: timedelta = timedelta(hours=1)
