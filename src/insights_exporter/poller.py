"""When Coder is asked, and what becomes of the answers.

Polls begin a little after multiples of the interval, as Coder's own rollup runs on these, and never overlap.
Each ends with a snapshot, also one that found nothing: what is too old to be believed must vanish.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Protocol, TypeVar

from insights_exporter.clock import Clock
from insights_exporter.collectors import (
    Coder,
    Collected,
    DeploymentCollector,
    DeploymentState,
    InsightsCollector,
    InsightsState,
    InventoryCollector,
    InventoryState,
)
from insights_exporter.collectors.agent_stats import Ledger
from insights_exporter.errors import ExporterError
from insights_exporter.filters import Filters
from insights_exporter.metrics.limits import Standing
from insights_exporter.settings import Settings
from insights_exporter.snapshot import AgentStats, Deployment, Insights, Inventory, Reading, Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["Client", "Poller", "PollerState"]

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Client(Protocol):
    """Gives a poll what it asks, within a time."""

    def within(self, seconds: float) -> Coder:
        """Return what to ask in the next seconds."""
        ...


@dataclass(slots=True)
class PollerState:
    """Everything that must outlive a poller when settings change: give it to the next one.

    It belongs to one deployment and one account; for another one begin anew.
    """

    inventory: InventoryState = field(default_factory=InventoryState)
    insights: InsightsState = field(default_factory=InsightsState)
    deployment: DeploymentState = field(default_factory=DeploymentState)
    last_inventory: Reading[Inventory] | None = None
    last_insights: Reading[Insights] | None = None
    last_deployment: Reading[Deployment] | None = None
    failing: dict[str, str] = field(default_factory=dict)
    """The reason why each failing collector last failed."""
    last_slot: int | None = None
    agent_stats: tuple[object, Ledger] | None = None
    """What agents reported so far, and the settings under which it was counted."""
    standing: tuple[object, Standing] | None = None
    """Which series are named where a limit binds, and the settings under which they were chosen."""


class Poller:
    """Runs all collectors, and publishes a snapshot after each poll."""

    def __init__(  # noqa: PLR0913 - everything from outside is a parameter.
        self,
        client: Client,
        settings: Settings,
        *,
        publish: Callable[[Snapshot], Awaitable[None]],
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        extra: Callable[[], Reading[AgentStats] | None] = lambda: None,
        state: PollerState | None = None,
    ) -> None:
        self._client = client
        self._settings = settings.poll
        self._publish = publish
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._extra = extra
        self.state = state if state is not None else PollerState()
        filters = Filters(settings.filters)
        poll = settings.poll
        self._deployment = DeploymentCollector(poll=poll, telemetry=telemetry, state=self.state.deployment)
        self._inventory = InventoryCollector(
            poll=poll, filters=filters, telemetry=telemetry, state=self.state.inventory
        )
        self._insights = InsightsCollector(
            settings.insights, poll=poll, filters=filters, telemetry=telemetry, state=self.state.insights
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Poll now and then at each turn, until told to stop; a poll under way is then given up."""
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await _first(stopped, self.poll_once())
                if not stop.is_set():
                    await _first(stopped, self._clock.sleep(self.until_next()))
        finally:
            stopped.cancel()

    def until_next(self) -> float:
        """Return how many seconds remain until the next poll begins."""
        settings, now = self._settings, self._clock.now().timestamp()
        slot = math.floor((now - settings.offset) / settings.interval) + 1
        if self.state.last_slot is not None:
            slot = max(slot, self.state.last_slot + 1)
        self.state.last_slot = slot
        begin = slot * settings.interval + settings.offset + self._random.uniform(0, settings.jitter)
        return max(0.0, begin - now)

    async def poll_once(self) -> Snapshot:
        """Ask everything once, publish what is known then, and return it."""
        began = self._clock.monotonic()
        coder = self._client.within(self._settings.deadline)
        state = self.state
        results = [await self._collect_deployment(coder)]
        results += [await self._collect_inventory(coder), await self._collect_insights(coder)]
        now = self._clock.now()
        snapshot = Snapshot(
            taken_at=now,
            inventory=self._fresh(state.last_inventory, now),
            insights=self._fresh(state.last_insights, now),
            deployment=self._fresh(state.last_deployment, now),
            agent_stats=self._extra(),
        )
        result = _result(results) if await self._published(snapshot) else "failed"
        self._telemetry.poll_finished(result, self._clock.monotonic() - began)
        return snapshot

    async def _published(self, snapshot: Snapshot) -> bool:
        try:
            await self._publish(snapshot)
        except Exception as error:  # noqa: BLE001 - the next poll may fare better.
            self._failed("poller", "internal", error)
            return False
        self.state.failing.pop("poller", None)
        return True

    async def _collect_deployment(self, coder: Coder) -> int | None:
        reading, faults = await self._run(
            self._deployment.name, self._deployment.collect(coder, now=self._now(coder))
        )
        self.state.last_deployment = reading or self.state.last_deployment
        return faults

    async def _collect_inventory(self, coder: Coder) -> int | None:
        reading, faults = await self._run(
            self._inventory.name, self._inventory.collect(coder, now=self._now(coder))
        )
        self.state.last_inventory = reading or self.state.last_inventory
        return faults

    async def _collect_insights(self, coder: Coder) -> int | None:
        # Templates that could not be listed now are still those of the last list.
        last = self.state.last_inventory
        collecting = self._insights.collect(
            coder, now=self._now(coder), inventory=None if last is None else last.value
        )
        reading, faults = await self._run(self._insights.name, collecting)
        self.state.last_insights = reading or self.state.last_insights
        return faults

    async def _run(
        self, name: str, collecting: Awaitable[Collected[T]]
    ) -> tuple[Reading[T] | None, int | None]:
        """Return what a collector found, and its faults; None twice where it failed as a whole."""
        began = self._clock.monotonic()
        found: Collected[T] | None = None
        try:
            found = await collecting
        except ExporterError as error:
            self._failed(name, error.reason, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the other collectors.
            self._failed(name, "internal", error)
        else:
            self.state.failing.pop(name, None)
        now = self._clock.now()
        self._telemetry.collector_finished(
            name, self._clock.monotonic() - began, success=found is not None, at=now
        )
        return (None, None) if found is None else (Reading(found.value, now), found.faults)

    def _failed(self, name: str, reason: str, error: Exception) -> None:
        internal = reason == "internal"
        # What a collector noted itself is counted already, but not that it came to nothing.
        self._telemetry.collector_error(name, reason)
        what = f"{reason}: {type(error).__name__}" if internal else reason
        if self.state.failing.get(name) == what:
            return
        self.state.failing[name] = what
        told = {"collector": name, "reason": reason, "error": str(error)}
        logger.error("collector_failed", extra=told, exc_info=error if internal else None)

    def _fresh(self, reading: Reading[T] | None, now: datetime) -> Reading[T] | None:
        if reading is None or (now - reading.at).total_seconds() > self._settings.max_staleness:
            return None
        return reading

    def _now(self, coder: Coder) -> datetime:
        """Return the server's time: its rules on ranges go by its own clock."""
        return self._clock.now() + timedelta(seconds=coder.clock_skew or 0.0)


def _result(faults: list[int | None]) -> str:
    if all(one is None for one in faults):
        return "failed"
    return "ok" if all(one == 0 for one in faults) else "partial"


async def _first(stopped: asyncio.Task[bool], work: Awaitable[object]) -> None:
    """Wait for the work, or for the word to stop; the work is then cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((stopped, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
