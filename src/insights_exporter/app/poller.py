"""The poll loop: when the collectors run, and the snapshot that each poll publishes.

Polls start ``poll.offset`` seconds after multiples of ``poll.interval``, because Coder's rollup runs on such
multiples, and never overlap. Each poll publishes a snapshot, even one that collected nothing: data older than
``poll.max_staleness`` must disappear.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Final, TypeVar

import structlog

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.clock import Clock, run_until_stopped
from insights_exporter.collectors import (
    CoderApi,
    CollectResult,
    DeploymentCollector,
    DeploymentState,
    InventoryCollector,
    InventoryState,
    count_group_usage,
    observe_onboarding,
)
from insights_exporter.config.settings import CostSettings, Settings
from insights_exporter.config.teams import load_teams
from insights_exporter.errors import ExporterError
from insights_exporter.insights.budget import ApiTimeBudget
from insights_exporter.insights.collector import InsightsCollector, InsightsState
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import (
    AgentStats,
    Deployment,
    GroupUsage,
    Insights,
    Inventory,
    Onboarding,
    Snapshot,
    Timestamped,
    UnitPrice,
)
from insights_exporter.telemetry import Telemetry

__all__ = ["Poller", "PollerState"]

T = TypeVar("T")

WARM_UP_PAUSE: Final = 5.0
"""Seconds between two polls while the exporter warms up and its requests may continue at once."""

logger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class PollerState:
    """State that a reload passes to the next poller, if deployment, account and filters are the same."""

    inventory: InventoryState = field(default_factory=InventoryState)
    insights: InsightsState = field(default_factory=InsightsState)
    deployment: DeploymentState = field(default_factory=DeploymentState)
    last_inventory: Timestamped[Inventory] | None = None
    last_insights: Timestamped[Insights] | None = None
    last_deployment: Timestamped[Deployment] | None = None
    failure_reasons: dict[str, str] = field(default_factory=dict)
    """Why each failing collector last failed, by collector."""
    last_slot: int | None = None
    is_warming_up: bool = False
    """Whether the last poll succeeded and left requests of the first complete poll to the next one."""
    agent_stats: tuple[object, Accumulator] | None = None
    """The settings of the agent statistics and the accumulator that counted with them."""
    sticky_selection: tuple[object, StickySelection] | None = None
    """The limits and the series that they selected; a new selection would reset counters."""


class Poller:
    """Runs all collectors and publishes a snapshot after each poll."""

    def __init__(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        self,
        client: CoderApi,
        settings: Settings,
        *,
        publish: Callable[[Snapshot], Awaitable[None]],
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        agent_stats: Callable[[], Timestamped[AgentStats] | None] = lambda: None,
        state: PollerState | None = None,
        api_time: ApiTimeBudget | None = None,
    ) -> None:
        self._client = client
        self._settings = settings.poll
        self._unit_price = _unit_price(settings.cost)
        self._publish = publish
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._agent_stats = agent_stats
        self._api_time = api_time or ApiTimeBudget.create(settings.poll)
        self.state = state if state is not None else PollerState()
        filters = Filters(settings.filters)
        poll = settings.poll
        self._deployment = DeploymentCollector(poll=poll, telemetry=telemetry, state=self.state.deployment)
        self._inventory = InventoryCollector(
            poll=poll,
            filters=filters,
            telemetry=telemetry,
            state=self.state.inventory,
            teams=() if settings.teams.file is None else load_teams(settings.teams.file),
        )
        self._insights = InsightsCollector(
            settings.insights,
            poll=poll,
            filters=filters,
            telemetry=telemetry,
            state=self.state.insights,
            clock=clock,
            api_time=self._api_time,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Poll at once and then on schedule until ``stop`` is set, which cancels a running poll."""
        stop_task = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await run_until_stopped(stop_task, self.poll_once())
                if not stop.is_set():
                    await run_until_stopped(stop_task, self._clock.sleep(self.seconds_to_sleep()))
        finally:
            stop_task.cancel()

    def seconds_to_sleep(self) -> float:
        """Return the seconds until the next poll; it starts soon while the exporter warms up."""
        is_short = self.state.is_warming_up and not self._api_time.is_used_up
        return WARM_UP_PAUSE if is_short else self.seconds_until_next_poll()

    def seconds_until_next_poll(self) -> float:
        """Return the seconds until the next poll starts; no slot is polled twice."""
        settings, now = self._settings, self._clock.now().timestamp()
        slot = math.floor((now - settings.offset) / settings.interval) + 1
        if self.state.last_slot is not None:
            slot = max(slot, self.state.last_slot + 1)
        self.state.last_slot = slot
        start = slot * settings.interval + settings.offset + self._random.uniform(0, settings.jitter)
        return max(0.0, start - now)

    async def poll_once(self) -> Snapshot:
        """Run all collectors once, publish the snapshot and return it."""
        started_at = self._clock.monotonic()
        coder = self._client.with_timeout(self._settings.deadline)
        results = [await self._collect_deployment(coder)]
        results += [await self._collect_inventory(coder), await self._collect_insights(coder, started_at)]
        snapshot = await self._build_snapshot()
        result = _poll_result(results) if await self._try_publish(snapshot) else "failed"
        self._telemetry.poll_finished(result, self._clock.monotonic() - started_at)
        return snapshot

    async def _build_snapshot(self) -> Snapshot:
        now, state = self._clock.now(), self.state
        inventory = self._if_fresh(state.last_inventory, now)
        insights = self._if_fresh(state.last_insights, now)
        groups, onboarding = await asyncio.to_thread(_observe_people, inventory, insights, now)
        return Snapshot(
            collected_at=now,
            inventory=inventory,
            insights=insights,
            deployment=self._if_fresh(state.last_deployment, now),
            agent_stats=self._agent_stats(),
            groups=groups,
            onboarding=onboarding,
            unit_price=self._unit_price,
        )

    async def _publish_partial(self, insights: Insights) -> None:
        """Publish the first insights before the rest of a slow first poll."""
        self.state.last_insights = Timestamped(insights, self._clock.now())
        await self._try_publish(await self._build_snapshot())

    async def _try_publish(self, snapshot: Snapshot) -> bool:
        try:
            await self._publish(snapshot)
        except Exception as error:  # noqa: BLE001  # A failed render must not end polling.
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

    async def _collect_insights(self, coder: CoderApi, poll_started_at: float) -> int | None:
        # If listing templates failed in this poll, the last list still selects them.
        last = self.state.last_inventory
        collection = self._insights.collect(
            coder,
            now=self._server_time(coder),
            inventory=None if last is None else last.value,
            on_partial=self._publish_partial,
            started_at=poll_started_at,
        )
        collected, error_count = await self._run_collector(self._insights.name, collection)
        self.state.last_insights = collected or self.state.last_insights
        self.state.is_warming_up = collected is not None and collected.value.warm_up_ratio < 1.0
        if last is not None:
            inventory = self._insights.with_current_usernames(last.value)
            self.state.last_inventory = Timestamped(inventory, last.at)
        return error_count

    async def _run_collector(
        self, name: str, collection: Awaitable[CollectResult[T]]
    ) -> tuple[Timestamped[T] | None, int | None]:
        """Return a collector's data and its error count; both None if the collector failed."""
        started_at = self._clock.monotonic()
        result: CollectResult[T] | None = None
        try:
            result = await collection
        except ExporterError as error:
            self._report_failure(name, error.reason, error)
        except Exception as error:  # noqa: BLE001  # One failed collector must not stop the others.
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
        # The collector counted its own partial errors; this counts the failed run.
        self._telemetry.collector_error(name, reason)
        failure = f"{reason}: {type(error).__name__}" if internal else reason
        if self.state.failure_reasons.get(name) == failure:
            return
        self.state.failure_reasons[name] = failure
        logger.error(
            "collector failed",
            collector=name,
            reason=reason,
            error=str(error),
            exc_info=error if internal else None,
        )

    def _if_fresh(self, collected: Timestamped[T] | None, now: datetime) -> Timestamped[T] | None:
        if collected is None or (now - collected.at).total_seconds() > self._settings.max_staleness:
            return None
        return collected

    def _server_time(self, coder: CoderApi) -> datetime:
        """Return the server's time, because Coder validates time ranges by its own clock."""
        return self._clock.now() + timedelta(seconds=coder.clock_skew or 0.0)


def _observe_people(
    inventory: Timestamped[Inventory] | None, insights: Timestamped[Insights] | None, now: datetime
) -> tuple[tuple[GroupUsage, ...], Onboarding | None]:
    """Return the usage by group and the onboarding, which take too long for the event loop.

    With ten thousand users it is a tenth of a second.
    """
    if inventory is None:
        return (), None
    usage = None if insights is None else insights.value
    return (
        count_group_usage(inventory.value, usage),
        observe_onboarding(inventory.value, usage, now=now),
    )


def _unit_price(cost: CostSettings) -> UnitPrice | None:
    if cost.price_per_unit is None:
        return None
    return UnitPrice(cost.price_per_unit, cost.currency or "")


def _poll_result(error_counts: list[int | None]) -> str:
    if all(count is None for count in error_counts):
        return "failed"
    return "ok" if all(count == 0 for count in error_counts) else "partial"
