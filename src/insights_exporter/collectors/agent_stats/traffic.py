"""How many bytes a new tick of coderd adds.

Coder's code sets the gauges of bytes anew at each tick, to what came since the tick before; its description
sounds as if they grew. Both are read: a gauge that falls, or an agent that vanishes, while coderd goes on
running, shows that they are set anew. Until then only what a gauge grew by is counted, which is never too
much.
"""

from __future__ import annotations

from collections.abc import Mapping

from insights_exporter.collectors.agent_stats.page import AgentName, AgentRow

__all__ = ["Traffic"]

Bytes = tuple[int, int]


class Traffic:
    """Remembers the gauges of the last tick; ``per_tick`` says that they are known to be set anew."""

    def __init__(self, *, per_tick: bool = False) -> None:
        self.per_tick = per_tick
        self._last: dict[AgentName, Bytes] | None = None

    def begin(self, rows: Mapping[AgentName, AgentRow]) -> None:
        """Take what stands now for the beginning, and count nothing of it."""
        self._last = _bytes(rows)

    def added(
        self, rows: Mapping[AgentName, AgentRow], *, restarted: bool, traced: bool
    ) -> dict[AgentName, Bytes]:
        """Return what each agent received and sent since the last tick that was seen.

        ``traced`` says that a restart of coderd would have been noticed; without it, what falls was reset.
        """
        now, last = _bytes(rows), self._last
        self._last = now
        if restarted:
            return now
        if last is not None and traced and not self.per_tick:
            self.per_tick = any(
                agent not in now or now[agent][0] < received or now[agent][1] < sent
                for agent, (received, sent) in last.items()
            )
        if self.per_tick:
            return now
        if last is None:
            return {}
        return {agent: _grown(one, last.get(agent, (0, 0))) for agent, one in now.items()}


def _bytes(rows: Mapping[AgentName, AgentRow]) -> dict[AgentName, Bytes]:
    return {agent: (row.received, row.transmitted) for agent, row in rows.items()}


def _grown(now: Bytes, last: Bytes) -> Bytes:
    received, sent = (new - old if new >= old else new for new, old in zip(now, last, strict=True))
    return received, sent
