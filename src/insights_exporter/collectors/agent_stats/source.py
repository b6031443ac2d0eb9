"""What a source of agent reports does, whatever it reads."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from insights_exporter.snapshot import AgentStats, Timestamped

__all__ = ["COLLECTOR_NAME", "AgentStatsCollectorProtocol"]

COLLECTOR_NAME: Final = "agent_stats"
"""The collector's name in metrics and logs."""


class AgentStatsCollectorProtocol(Protocol):
    """Reads agent reports at its own pace; faults go to telemetry and never out of ``run``.

    ``failing`` is the reason why the last reading failed, or empty.
    """

    failure_reason: str

    async def run(self, stop: asyncio.Event) -> None:
        """Read now and then at each turn, until told to stop; what was counted is kept by then."""
        ...

    def current(self) -> Timestamped[AgentStats] | None:
        """Return what is known; None before the first reading and where the last one is too old."""
        ...
