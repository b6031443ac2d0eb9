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

from insights_exporter.agent_stats import Accumulator
from insights_exporter.clock import Clock
from insights_exporter.collectors import (
    CoderApi,
    CollectResult,
    DeploymentCollector,
    DeploymentState,
    InsightsCollector,
    InsightsState,
    InventoryCollector,
    InventoryState,
)
from insights_exporter.config.settings import Settings
from insights_exporter.errors import ExporterError
from insights_exporter.filters import Filters
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.snapshot import AgentStats, Deployment, Insights, Inventory, Snapshot, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["ApiClient", "Poller", "PollerState"]

T = TypeVar("T")

logger = logging.getLogger(__name__)


class ApiClient(Protocol):
    """Gives a poll what it asks, within a time."""

    def with_timeout(self, seconds: float) -> CoderApi:
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
    last_inventory: Timestamped[Inventory] | None = None
    last_insights: Timestamped[Insights] | None = None
    last_deployment: Timestamped[Deployment] | None = None
    failure_reasons: dict[str, str] = field(default_factory=dict)
    """The reason why each failing collector last failed."""
    last_slot: int | None = None
    agent_stats: tuple[object, Accumulator] | None = None
    """What agents reported so far, and the settings under which it was counted."""
    sticky_selection: tuple[object, StickySelection] | None = None
    """Which series are named where a limit binds, and the settings under which they were chosen."""


class Poller:
    """Runs all collectors, and publishes a snapshot after each poll."""

    def __init__(
        self,
        client: ApiClient,
        settings: Settings,
        *,
        publish: Callable[[Snapshot], Awaitable[None]],
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        agent_stats: Callable[[], Timestamped[AgentStats] | None] = lambda: None,
        state: PollerState | None = None,
    ) -> None:
        self._client = client
        self._settings = settings.poll
        self._publish = publish
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._agent_stats = agent_stats
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
        stop_task = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await _run_until_stopped(stop_task, self.poll_once())
                if not stop.is_set():
                    await _run_until_stopped(stop_task, self._clock.sleep(self.seconds_until_next_poll()))
        finally:
            stop_task.cancel()

    def seconds_until_next_poll(self) -> float:
        """Return how many seconds remain until the next poll begins."""
        settings, now = self._settings, self._clock.now().timestamp()
        slot = math.floor((now - settings.offset) / settings.interval) + 1
        if self.state.last_slot is not None:
            slot = max(slot, self.state.last_slot + 1)
        self.state.last_slot = slot
        start = slot * settings.interval + settings.offset + self._random.uniform(0, settings.jitter)
        return max(0.0, start - now)

    async def poll_once(self) -> Snapshot:
        """Ask everything once, publish what is known then, and return it."""
        started_at = self._clock.monotonic()
        coder = self._client.with_timeout(self._settings.deadline)
        state = self.state
        results = [await self._collect_deployment(coder)]
        results += [await self._collect_inventory(coder), await self._collect_insights(coder)]
        now = self._clock.now()
        snapshot = Snapshot(
            collected_at=now,
            inventory=self._if_fresh(state.last_inventory, now),
            insights=self._if_fresh(state.last_insights, now),
            deployment=self._if_fresh(state.last_deployment, now),
            agent_stats=self._agent_stats(),
        )
        result = _poll_result(results) if await self._try_publish(snapshot) else "failed"
        self._telemetry.poll_finished(result, self._clock.monotonic() - started_at)
        return snapshot

    async def _try_publish(self, snapshot: Snapshot) -> bool:
        try:
            await self._publish(snapshot)
        except Exception as error:
            self._report_failure("poller", "internal", error)
            return False
        self.state.failure_reasons.pop("poller", None)
        return True

    async def _collect_deployment(self, coder: CoderApi) -> int | None:
        collected, error_count = await self._run_collector(
            self._deployment.name, self._deployment.collect(coder, now=self._server_time(coder))
        )
        self.state.last_deployment = collected or self.state.last_deployment
        return error_count

    async def _collect_inventory(self, coder: CoderApi) -> int | None:
        collected, error_count = await self._run_collector(
            self._inventory.name, self._inventory.collect(coder, now=self._server_time(coder))
        )
        self.state.last_inventory = collected or self.state.last_inventory
        return error_count

    async def _collect_insights(self, coder: CoderApi) -> int | None:
        # Templates that could not be listed now are still those of the last list.
        last = self.state.last_inventory
        collection = self._insights.collect(
            coder, now=self._server_time(coder), inventory=None if last is None else last.value
        )
        collected, error_count = await self._run_collector(self._insights.name, collection)
        self.state.last_insights = collected or self.state.last_insights
        return error_count

    async def _run_collector(
        self, name: str, collection: Awaitable[CollectResult[T]]
    ) -> tuple[Timestamped[T] | None, int | None]:
        """Return what a collector found, and its faults; None twice where it failed as a whole."""
        started_at = self._clock.monotonic()
        result: CollectResult[T] | None = None
        try:
            result = await collection
        except ExporterError as error:
            self._report_failure(name, error.reason, error)
        except Exception as error:
            self._report_failure(name, "internal", error)
        else:
            self.state.failure_reasons.pop(name, None)
        now = self._clock.now()
        self._telemetry.collector_finished(
            name, self._clock.monotonic() - started_at, success=result is not None, at=now
        )
        return (None, None) if result is None else (Timestamped(result.value, now), result.error_count)

    def _report_failure(self, name: str, reason: str, error: Exception) -> None:
        internal = reason == "internal"
        # What a collector noted itself is counted already, but not that it came to nothing.
        self._telemetry.collector_error(name, reason)
        failure = f"{reason}: {type(error).__name__}" if internal else reason
        if self.state.failure_reasons.get(name) == failure:
            return
        self.state.failure_reasons[name] = failure
        extra = {"collector": name, "reason": reason, "error": str(error)}
        logger.error("collector_failed", extra=extra, exc_info=error if internal else None)

    def _if_fresh(self, collected: Timestamped[T] | None, now: datetime) -> Timestamped[T] | None:
        if collected is None or (now - collected.at).total_seconds() > self._settings.max_staleness:
            return None
        return collected

    def _server_time(self, coder: CoderApi) -> datetime:
        """Return the server's time: its rules on ranges go by its own clock."""
        return self._clock.now() + timedelta(seconds=coder.clock_skew or 0.0)


def _poll_result(error_counts: list[int | None]) -> str:
    if all(count is None for count in error_counts):
        return "failed"
    return "ok" if all(count == 0 for count in error_counts) else "partial"


async def _run_until_stopped(stop_task: asyncio.Task[bool], awaitable: Awaitable[object]) -> None:
    """Wait for the work, or for the word to stop; the work is then cancelled."""
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((stop_task, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
