"""Agent reports as coderd's own metrics show them: the newest one of each agent, once a minute.

coderd looks at the reports at its own ticks, so a page is new only where a tick came between; the number of
ticks is on the page. One that found no report leaves everything as it was, which looks like the same values
again. Neither counts.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.collectors.agent_stats.exponential import index
from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.ledger import Ledger, OpenNow
from insights_exporter.collectors.agent_stats.page import LARGE, AgentName, AgentRow, Page, parse
from insights_exporter.collectors.agent_stats.place import Place
from insights_exporter.collectors.agent_stats.roster import Roster
from insights_exporter.collectors.agent_stats.source import NAME
from insights_exporter.collectors.agent_stats.tally import Tally
from insights_exporter.collectors.agent_stats.traffic import Bytes, Traffic
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.snapshot import Inventory, Reading, TemplateKey
from insights_exporter.telemetry import Telemetry

__all__ = ["TICK", "SamplingReader"]

logger = logging.getLogger(__name__)

TICK: Final = 60.0
"""Seconds between two looks that coderd takes at its reports."""

HOLDS: Final = 2.5 * TICK
"""Seconds after which values that stand still mean that nobody is connected."""

_WAITING: Final = 1.0
_RESULTS: Final = ("observed", "unobserved", "repeated", "unjoined")
"""What becomes of an agent on a page."""


class SamplingReader:
    """Reads a page each time it is told to, into a ledger.

    ``fetch`` returns the page. ``inventory`` is what was last known to exist, None before anything is.
    ``identity`` names the deployment, as its counts must not be added to another's. ``foreign`` hears why
    what the ledger held cannot be added to, before it begins anew.
    """

    def __init__(  # noqa: PLR0913 - everything from outside is a parameter.
        self,
        ledger: Ledger,
        *,
        fetch: Callable[[], Awaitable[str]],
        inventory: Callable[[], Reading[Inventory] | None],
        identity: str,
        interval: float,
        clock: Clock,
        telemetry: Telemetry,
        foreign: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._fetch = fetch
        self._inventory = inventory
        self._identity = identity
        self._interval = interval
        self._clock = clock
        self._telemetry = telemetry
        self._foreign = foreign
        self._traffic: Traffic | None = None
        self._roster: tuple[object, Roster] | None = None
        self._followed_at: float | None = None
        self._looked_at: float | None = None
        self._told: set[str] = set()

    def close(self) -> None:
        """Do nothing; whoever gave ``fetch`` closes its connections."""

    async def read(self) -> None:
        """Count what is new; raise an ExporterError, after which nothing was counted."""
        inventory = await self._known()
        page = await self._page()
        roster = self._roster_of(inventory)
        if page.broken:
            self._warn("metrics_values", "Values in coderd's metrics are none.", count=page.broken)
        place = self._place()
        self._ledger.templates = tuple(one.key for one in inventory.templates)
        joined = self._joined(page, roster, inventory)
        if place is None:
            # Whether these values are fresh or stand still for hours, nobody can tell.
            self._begin(page, joined)
        elif place.is_elsewhere(page):
            self._look_aside(page, joined)
        else:
            await self._go_on(page, place, joined)
        if self._looked_at is not None:
            self._telemetry.agent_lag(self._clock.monotonic() - self._looked_at)

    async def _known(self) -> Inventory:
        """Return what exists; the first poll may still be under way."""
        waited = 0.0
        while (reading := self._inventory()) is None:
            if waited >= self._interval:
                raise SourceError(
                    "The workspaces are not known yet, so agents cannot be told to belong to templates.",
                    reason="workspaces_unknown",
                )
            await self._clock.sleep(_WAITING)
            waited += _WAITING
        return reading.value

    async def _page(self) -> Page:
        text = await self._fetch()
        return parse(text) if len(text) < LARGE else await asyncio.to_thread(parse, text)

    def _place(self) -> Place | None:
        """Return where the last page was; None where counting must begin."""
        ledger = self._ledger
        place = Place.read(ledger.position)
        if ledger.since is not None and ledger.identity != self._identity:
            self._foreign("It holds counts of another deployment.")
            place = None
        elif ledger.since is not None and place is None and ledger.position:
            self._foreign("It does not say up to where was counted.")
        if place is None:
            ledger.begin(self._clock.now(), identity=self._identity)
        if self._traffic is None or place is None:
            self._traffic = Traffic(per_tick=place is not None and place.per_tick)
        return place

    def _roster_of(self, inventory: Inventory) -> Roster:
        if self._roster is None or self._roster[0] is not inventory.workspaces:
            named = Roster.of((one.owner, one.name, one.key) for one in inventory.workspaces)
            self._roster = inventory.workspaces, named
        return self._roster[1]

    def _joined(
        self, page: Page, roster: Roster, inventory: Inventory
    ) -> dict[AgentName, tuple[TemplateKey, AgentRow]]:
        found = {
            agent: (key, row)
            for agent, row in page.rows.items()
            if (key := roster.template(agent[0], agent[1])) is not None
        }
        if page.rows and not inventory.workspaces:
            raise SourceError(
                "No workspace is visible, so agents cannot be told to belong to templates. "
                "Give the token's account the role template-admin.",
                reason="workspaces_unknown",
            )
        return found

    def _look_aside(self, page: Page, joined: dict[AgentName, tuple[TemplateKey, AgentRow]]) -> None:
        """Leave the page of another replica alone, unless the one that is followed seems to be gone."""
        if self._followed_at is None or self._clock.monotonic() - self._followed_at > HOLDS:
            self._begin(page, joined)
            return
        self._warn(
            "several_replicas",
            "Several replicas of Coder answer at the metrics address; only the newest counts. "
            "Let agent_stats.metrics_url name one of them.",
        )

    def _begin(self, page: Page, joined: dict[AgentName, tuple[TemplateKey, AgentRow]]) -> None:
        assert self._traffic is not None  # noqa: S101 - _place() made it.
        self._traffic.begin(page.rows)
        for result in _RESULTS:
            # What first appears later than at the start would be no increase.
            self._telemetry.agent_rows(result, 0)
        self._ledger.now = _open(joined)
        at = self._clock.now().timestamp()
        self._looked_at = self._clock.monotonic()
        per_tick = self._traffic.per_tick
        self._note(Place(page.started, page.ticks, page.fingerprint, at, per_tick=per_tick))

    async def _go_on(
        self, page: Page, place: Place, joined: dict[AgentName, tuple[TemplateKey, AgentRow]]
    ) -> None:
        assert self._traffic is not None  # noqa: S101 - as above.
        at = self._clock.now().timestamp()
        if self._looked_at is None or place.is_later(page):
            # Also a look that found nothing is as good as new.
            self._looked_at = self._clock.monotonic()
        if not place.is_news(page):
            self._telemetry.agent_rows("repeated", len(page.rows))
            if at - place.changed_at > HOLDS:
                self._ledger.now = OpenNow()
            self._note(place.seen_again(page))
            return
        restarted = place.is_restarted(page)
        added = self._traffic.added(page.rows, restarted=restarted, traced=page.is_traced)
        # What a tick tells of holds until the next one, and never longer than has really passed.
        passed = min(max(0.0, at - place.changed_at), max(self._interval, TICK))
        tally = self._count(joined, added, passed)
        closed = await asyncio.to_thread(self._ledger.closed.plus, tally)
        # From here on nothing may fail or wait: what is added and up to where belongs together.
        self._ledger.closed = closed
        self._ledger.now = _open(joined)
        self._note(Place(page.started, page.ticks, page.fingerprint, at, per_tick=self._traffic.per_tick))
        self._telemetry.agent_rows("unjoined", len(page.rows) - len(joined))

    def _count(
        self,
        joined: dict[AgentName, tuple[TemplateKey, AgentRow]],
        added: dict[AgentName, Bytes],
        passed: float,
    ) -> Tally:
        tally, observed = Tally(), 0
        spent: set[tuple[TemplateKey, str, str]] = set()
        for agent, (key, row) in joined.items():
            received, sent = added.get(agent, (0, 0))
            tally.traffic(key, received=received, transmitted=sent)
            user = self._ledger.people.shown(agent[0]) if row.sessions else None
            if user is not None:
                spent.update((key, user, app) for app in row.sessions)
            if row.sessions and row.latency is not None:
                observed += 1
                bucket = bisect_left(LATENCY_BUCKETS, row.latency)
                fine = index(row.latency) if self._ledger.exponential else None
                tally.observe(key, user, row.sessions, bucket=bucket, seconds=row.latency, fine=fine)
        for key, user, app in spent:
            tally.session(key, user, app, seconds=passed)
        self._telemetry.agent_rows("observed", observed)
        self._telemetry.agent_rows("unobserved", len(joined) - observed)
        return tally

    def _note(self, place: Place) -> None:
        self._followed_at = self._clock.monotonic()
        self._ledger.position = place.written()

    def _warn(self, reason: str, text: str, **told: object) -> None:
        """Count a fault that does not end a reading, and tell of it once."""
        self._telemetry.collector_error(NAME, reason)
        if reason not in self._told:
            self._told.add(reason)
            logger.warning(text, extra={"collector": NAME, "reason": reason, **told})


def _open(joined: dict[AgentName, tuple[TemplateKey, AgentRow]]) -> OpenNow:
    now = OpenNow()
    for key, row in joined.values():
        now.connections[key] = now.connections.get(key, 0) + row.connections
        for app, count in row.sessions.items():
            place = (*key, app)
            now.sessions[place] = now.sessions.get(place, 0) + count
    return now
