"""coderd's metrics through its API, for those who cannot reach its own metrics address."""

from __future__ import annotations

from typing import Protocol

from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.errors import Forbidden, RouteMissing

__all__ = ["DebugMetrics", "through_api"]


class DebugMetrics(Protocol):
    """Asks Coder's debug route."""

    async def debug_metrics(self) -> str:
        """Return Coder's own Prometheus metrics as text."""
        ...


async def through_api(coder: DebugMetrics) -> str:
    """Return the page; raise an ExporterError that names the other way where this one is closed."""
    try:
        return await coder.debug_metrics()
    except Forbidden:
        raise SourceError(
            "The token's account may not read coderd's metrics through the API, as only owners may. "
            "Set agent_stats.metrics_url to coderd's own metrics address.",
            reason="forbidden",
        ) from None
    except RouteMissing:
        raise SourceError(
            "This release of Coder does not serve its metrics through the API. "
            "Set agent_stats.metrics_url to coderd's own metrics address.",
            reason="route_missing",
        ) from None
