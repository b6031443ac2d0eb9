"""How many bytes a new tick of coderd adds.

Coder's code sets the gauges of bytes anew at each tick, to what came since the tick before; its description
sounds as if they grew. Both are read: a gauge that falls, or an agent that vanishes, while coderd goes on
running, shows that they are set anew. Until then only what a gauge grew by is counted, which is never too
much.
"""

from __future__ import annotations

from collections.abc import Mapping

from insights_exporter.agent_stats.coderd_metrics.scrape import AgentName, AgentSample

__all__ = ["ByteGaugeTracker"]

Bytes = tuple[int, int]


class ByteGaugeTracker:
    """Remembers the gauges of the last tick; ``per_tick`` says that they are known to be set anew."""

    def __init__(self, *, resets_each_collection: bool = False) -> None:
        self.resets_each_collection = resets_each_collection
        self._previous: dict[AgentName, Bytes] | None = None

    def start(self, agents: Mapping[AgentName, AgentSample]) -> None:
        """Take what stands now for the beginning, and count nothing of it."""
        self._previous = _byte_values(agents)

    def update(
        self, agents: Mapping[AgentName, AgentSample], *, restarted: bool, detects_restart: bool
    ) -> dict[AgentName, Bytes]:
        """Return what each agent received and sent since the last tick that was seen.

        ``traced`` says that a restart of coderd would have been noticed; without it, what falls was reset.
        """
        current, previous = _byte_values(agents), self._previous
        self._previous = current
        if restarted:
            return current
        if previous is not None and detects_restart and not self.resets_each_collection:
            self.resets_each_collection = any(
                agent not in current or current[agent][0] < received or current[agent][1] < transmitted
                for agent, (received, transmitted) in previous.items()
            )
        if self.resets_each_collection:
            return current
        if previous is None:
            return {}
        return {
            agent: _increase(current_bytes, previous.get(agent, (0, 0)))
            for agent, current_bytes in current.items()
        }


def _byte_values(agents: Mapping[AgentName, AgentSample]) -> dict[AgentName, Bytes]:
    return {
        agent: (agent_sample.received, agent_sample.transmitted) for agent, agent_sample in agents.items()
    }


def _increase(current: Bytes, previous: Bytes) -> Bytes:
    received, transmitted = (
        new - old if new >= old else new for new, old in zip(current, previous, strict=True)
    )
    return received, transmitted
