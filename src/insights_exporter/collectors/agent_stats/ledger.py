"""All that was counted, and what is served of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TypeVar

from insights_exporter.collectors.agent_stats.apps import FAMILIES
from insights_exporter.collectors.agent_stats.lateness import Closed, Lateness
from insights_exporter.collectors.agent_stats.people import People
from insights_exporter.collectors.agent_stats.tally import (
    NOTHING,
    PLACES,
    Counts,
    Tally,
    added,
    merged,
    paired,
)
from insights_exporter.filters import Filters
from insights_exporter.lanes import less_anywhere
from insights_exporter.redaction import Redaction
from insights_exporter.snapshot import AgentStats, Distribution, TemplateKey

__all__ = ["Ledger", "OpenNow"]

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class OpenNow:
    """What is open at this moment: sessions by template and app, connections by template."""

    sessions: dict[tuple[str, str, str], int] = field(default_factory=dict)
    connections: dict[tuple[str, str], int] = field(default_factory=dict)


class Ledger:
    """Adds up what a source counts.

    ``closed`` is counted for good and is what a state file keeps; ``position`` says, in the words of the
    source, up to where. ``open`` is counted anew at each reading, until it is old enough that nothing comes
    late; a source that never counts anything twice leaves it empty. ``since`` is when counting began.

    Users are counted as shown; ``people`` says how that is. ``exponential`` asks for exponential buckets of
    latencies beside the explicit ones.
    """

    def __init__(self, redaction: Redaction, filters: Filters, *, exponential: bool = False) -> None:
        self.filters = filters
        self.exponential = exponential
        self.people = People(redaction, filters)
        self.closed = Tally()
        self.open = Tally()
        self.now = OpenNow()
        self.lateness = Lateness()
        self.since: datetime | None = None
        self.position = ""
        self.identity = ""
        """Whose reports were counted: another deployment's must not be added to them."""
        self.templates: tuple[TemplateKey, ...] = ()
        """Those that exist: what they have nothing of is zero."""
        self._last: AgentStats | None = None
        self.held = 0
        """How many totals fell in the last statement and were held."""

    def begin(
        self, at: datetime, *, identity: str, position: str = "", slices: Iterable[Closed] = ()
    ) -> None:
        """Forget everything and count from a moment on."""
        self.closed, self.open, self.now = Tally(), Tally(), OpenNow()
        self.lateness = Lateness(slices)
        self.since, self.identity, self.position = at, identity, position
        self._last = None

    @property
    def mark(self) -> object:
        """What changes whenever there is something new to keep on disk."""
        return self.position, self.lateness.slices

    def statement(self) -> AgentStats:
        """Return what is known; a label set that is new since the last statement is 0 once.

        Without that, ``increase()`` would lose its first value. In the first statement all stand at their
        value: after a restart a zero would look like a reset.
        """
        if self.since is None:
            raise RuntimeError("Nothing is known before counting began.")
        last, self.held = self._last or AgentStats(self.since), 0
        closed, recent = self.closed, self.open
        apps = dict(merged(closed.app_latency, recent.app_latency))
        received = dict(added(closed.received, recent.received))
        transmitted = dict(added(closed.transmitted, recent.transmitted))
        for template in self.templates:
            for app in FAMILIES:
                apps.setdefault((*template, app), Counts())
            received.setdefault(template, 0)
            transmitted.setdefault(template, 0)
        found = AgentStats(
            since=self.since,
            latency={
                place: self._distributions(self._named(merged(one, more)), last.latency.get(place, {}))
                for place, one, more in paired(closed.latency, recent.latency)
            },
            app_latency=self._distributions(apps.items(), last.app_latency),
            session_seconds={
                place: self._numbers(self._named(added(one, more)), last.session_seconds.get(place, {}))
                for place, one, more in paired(closed.session_seconds, recent.session_seconds)
            },
            sessions=self._sessions(),
            connections={one: self.now.connections.get(one, 0) for one in self._places(self.now.connections)},
            received_bytes=self._numbers(received.items(), last.received_bytes),
            transmitted_bytes=self._numbers(transmitted.items(), last.transmitted_bytes),
            exponential=self.exponential,
        )
        self._last = found
        return found

    def _sessions(self) -> dict[tuple[str, str, str], int]:
        known = {(*template, app): 0 for template in self.templates for app in FAMILIES}
        return known | self.now.sessions

    def _places(self, found: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
        return dict.fromkeys(chain(self.templates, found))

    def _named(self, counted: Iterable[tuple[str, V]]) -> Iterator[tuple[str, V]]:
        """Yield the same with users' own names, which the label values are made of later."""
        name = self.people.name
        for shown, value in counted:
            if (username := name(shown)) is not None:
                yield username, value

    def _distributions(
        self, counted: Iterable[tuple[K, Counts]], last: Mapping[K, Distribution]
    ) -> dict[K, Distribution]:
        since = self.since
        assert since is not None  # noqa: S101 - statement() made sure.
        found: dict[K, Distribution] = {}
        first = self._last is None
        for key, counts in counted:
            before, lanes = last.get(key), counts.lanes
            if before is not None and lanes == before.lanes:
                found[key] = before
            elif before is not None and less_anywhere(lanes, before.lanes, PLACES):
                self.held += 1
                found[key] = before
            elif before is not None or first:
                found[key] = Distribution(lanes, PLACES, counts.total, since, counts.fine or NOTHING)
            else:
                found[key] = Distribution(0, PLACES, 0.0, since)
        return found

    def _numbers(self, counted: Iterable[tuple[K, float]], last: Mapping[K, float]) -> dict[K, float]:
        if self._last is None:
            return {key: float(value) for key, value in counted}
        found: dict[K, float] = {}
        for key, value in counted:
            before = last.get(key)
            if before is None:
                found[key] = 0.0
            else:
                self.held += value < before
                found[key] = float(max(value, before))
        return found
