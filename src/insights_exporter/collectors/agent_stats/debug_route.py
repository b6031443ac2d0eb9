"""coderd's metrics through its API, for those who cannot reach its own metrics address."""

from __future__ import annotations

from typing import Protocol

from insights_exporter.collectors.agent_stats.faults import AgentStatsError
from insights_exporter.errors import Forbidden, UnsupportedEndpoint

__all__ = ["DebugMetrics", "fetch_debug_metrics"]


class DebugMetrics(Protocol):
    """Asks Coder's debug route."""

    async def debug_metrics(self) -> str:
        """Return Coder's own Prometheus metrics as text."""
        ...


async def fetch_debug_metrics(client: DebugMetrics) -> str:
    """Return the page; raise an ExporterError that names the other way where this one is closed."""
    try:
        return await client.debug_metrics()
    except Forbidden:
        raise AgentStatsError(
            "The token's account may not read coderd's metrics through the API, as only owners may. "
            "Set agent_stats.metrics_url to coderd's own metrics address.",
            reason="forbidden",
        ) from None
    except UnsupportedEndpoint:
        raise AgentStatsError(
            "This release of Coder does not serve its metrics through the API. "
            "Set agent_stats.metrics_url to coderd's own metrics address.",
            reason="route_missing",
        ) from None
