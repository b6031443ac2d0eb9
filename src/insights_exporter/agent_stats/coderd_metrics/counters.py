"""Deltas of coderd's byte gauges.

Coder resets the gauges at each collection to the bytes since the previous one, although their HELP describes
cumulative values. Both forms are supported: a gauge that decreases, or an agent that disappears, without a
restart of coderd proves that the gauges are reset. Until then only increases are counted, which never counts
a byte twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from insights_exporter.agent_stats.coderd_metrics.scrape import AgentName, AgentSample

__all__ = ["ByteGaugeTracker"]

Bytes = tuple[int, int]
"""Received and transmitted bytes."""


class ByteGaugeTracker:
    """The byte gauges of the last collection.

    ``resets_each_collection`` is True once the gauges are known to be reset at each collection.
    """

    def __init__(self, *, resets_each_collection: bool = False) -> None:
        self.resets_each_collection = resets_each_collection
        self._previous: dict[AgentName, Bytes] | None = None

    def start(self, agents: Mapping[AgentName, AgentSample]) -> None:
        """Set the baseline without counting it."""
        self._previous = _byte_values(agents)

    def update(
        self, agents: Mapping[AgentName, AgentSample], *, restarted: bool, detects_restart: bool
    ) -> dict[AgentName, Bytes]:
        """Return the received and transmitted bytes of each agent since the last update.

        ``detects_restart`` says whether the scrape shows restarts of coderd. If it does not, a decrease is
        taken for a restart.
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
