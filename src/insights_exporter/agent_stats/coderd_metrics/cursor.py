"""What was counted of coderd's metrics: the cursor of the last collection, and the byte gauges' last values.

Coder resets the byte gauges at each collection to the bytes since the previous one, although their HELP
describes cumulative values. Both forms are supported: a gauge that decreases, or an agent that disappears,
without a restart of coderd proves that the gauges are reset. Until then only increases are counted, which
never counts a byte twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import msgspec
from msgspec import Struct

from insights_exporter.agent_stats.coderd_metrics.scrape import AgentName, AgentSample, AgentScrape

__all__ = ["ByteGaugeTracker", "SampleCursor"]

START_TIME_TOLERANCE: Final = 5.0
"""Seconds by which the reported start time of one process may vary."""


class SampleCursor(Struct, frozen=True, array_like=True):
    """The last counted scrape: coderd's start time, its collection count and a fingerprint of the values.

    ``changed_at`` is when the values changed, in Unix seconds. ``resets_each_collection`` is the state of the
    byte gauges. The state file stores the cursor as a JSON array, so the order of the fields is its format.
    """

    start_time: float | None
    collection_count: int | None
    fingerprint: str
    changed_at: float
    resets_each_collection: bool = False

    @classmethod
    def loads(cls, text: str) -> Self | None:
        """Return the cursor of a text; None if it is invalid."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None

    def dumps(self) -> str:
        """Return the cursor as text."""
        return msgspec.json.encode(self).decode()

    def is_other_replica(self, scrape: AgentScrape) -> bool:
        """Return whether the scrape is of a replica that started before the followed one."""
        if scrape.start_time is None or self.start_time is None:
            return False
        if abs(scrape.start_time - self.start_time) <= START_TIME_TOLERANCE:
            return (
                self.collection_count is not None
                and scrape.collection_count is not None
                and scrape.collection_count < self.collection_count
            )
        return scrape.start_time < self.start_time

    def is_restarted(self, scrape: AgentScrape) -> bool:
        """Return whether coderd restarted since."""
        if scrape.start_time is not None and self.start_time is not None:
            return scrape.start_time - self.start_time > START_TIME_TOLERANCE
        return (
            scrape.collection_count is not None
            and self.collection_count is not None
            and scrape.collection_count < self.collection_count
        )

    def is_newer(self, scrape: AgentScrape) -> bool:
        """Return whether coderd collected again since, even without new values."""
        return (
            self.is_restarted(scrape)
            or scrape.collection_count != self.collection_count
            or scrape.fingerprint != self.fingerprint
        )

    def has_changed(self, scrape: AgentScrape) -> bool:
        """Return whether the scrape has values that are not counted yet."""
        if scrape.fingerprint == self.fingerprint:
            return False
        # Coder updates the values before the collection count; the next scrape has both.
        return (
            self.is_restarted(scrape)
            or scrape.collection_count is None
            or scrape.collection_count != self.collection_count
        )

    def advance_to(self, scrape: AgentScrape) -> Self:
        """Return the cursor after collections without new values."""
        if scrape.fingerprint != self.fingerprint:
            return self
        return msgspec.structs.replace(
            self, start_time=scrape.start_time, collection_count=scrape.collection_count
        )


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
