"""Everything that belongs to one loaded configuration; a reload replaces it as a whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random
from types import TracebackType
from typing import Final, Self

from insights_exporter import __version__
from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.coderd_metrics.reader import CoderdMetricsReader
from insights_exporter.agent_stats.coderd_metrics.scrape import fetch_debug_metrics
from insights_exporter.agent_stats.collector import COLLECTOR_NAME, AgentStatsCollector
from insights_exporter.agent_stats.postgres.reader import create_postgres_collector
from insights_exporter.app.poller import Poller, PollerState
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.metrics_client import MetricsClient
from insights_exporter.config.settings import AgentStatsSource, Settings
from insights_exporter.insights.budget import ApiTimeBudget
from insights_exporter.landing_page import CollectorState, ExporterStatus, LandingPage, ViewOptions
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.metrics.derivation_cache import DerivationCache
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.otlp import OtlpPusher, SelfMetricsSource
from insights_exporter.privacy import Filters, UsernamePolicy, load_username_policy
from insights_exporter.server import HtmlPage
from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from insights_exporter.telemetry import FanOutTelemetry, Telemetry

__all__ = ["Dependencies", "Runtime"]

COLLECTORS: Final = ("insights", "inventory", "deployment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Parameters that all runtimes of a process share."""

    clock: Clock
    random: Random
    telemetry: Telemetry
    self_metrics: SelfMetricsSource | None = None
    """The exporter's own metrics, which OTLP exports beside Coder's."""
    metrics_path: str = "/metrics"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


def _sticky_selection(settings: Settings, state: PollerState) -> StickySelection:
    """Return the series selection of the limits, kept over reloads: a new selection would reset counters."""
    key = (settings.limits, settings.privacy)
    if state.sticky_selection is None or state.sticky_selection[0] != key:
        state.sticky_selection = (key, StickySelection())
    return state.sticky_selection[1]


class Runtime:
    """Polls Coder, keeps the last snapshot and renders it; an asynchronous context manager.

    Raises ConfigError if a certificate or a secret cannot be used. ``state`` is the previous runtime's state
    of the same deployment and account.
    """

    def __init__(
        self, settings: Settings, dependencies: Dependencies, *, state: PollerState | None = None
    ) -> None:
        self.settings = settings
        self.snapshot: Snapshot | None = None
        """What was collected last; nothing shows it but through ``_visible_snapshot``."""
        self._visible_snapshot: Snapshot | None = None
        self._dependencies = dependencies
        username_policy = load_username_policy(settings.privacy)
        state = state if state is not None else PollerState()
        self.exposition = Exposition(
            username_policy=username_policy,
            limits=settings.limits,
            free_text=settings.privacy.parameter_free_text,
            telemetry=dependencies.telemetry,
            on_families=self._on_families if settings.otlp.enabled else None,
            sticky_selection=_sticky_selection(settings, state),
        )
        view_options = ViewOptions(
            username_policy=username_policy,
            max_name_length=settings.limits.label_value_length,
            show_free_text=settings.privacy.parameter_free_text,
            utc_offset=settings.insights.utc_offset,
        )
        self._landing_page = LandingPage(view_options)
        self._suppressed_parts = DerivationCache()
        self._publish_lock = asyncio.Lock()
        api_time = ApiTimeBudget.create(settings.poll)
        self._client = CoderClient(
            settings.coder,
            clock=dependencies.clock,
            telemetry=FanOutTelemetry(dependencies.telemetry, api_time),
            include_server_text=settings.privacy.shows_usernames,
        )
        self._metrics_client = self._create_metrics_client()
        self._agent_stats_collector = self._create_agent_stats_collector(username_policy, state)
        self.poller = Poller(
            self._client,
            settings,
            publish=self.publish,
            clock=dependencies.clock,
            random=dependencies.random,
            telemetry=dependencies.telemetry,
            agent_stats=lambda: (
                None if self._agent_stats_collector is None else self._agent_stats_collector.current()
            ),
            state=state,
            api_time=api_time,
        )
        self._stop = asyncio.Event()
        self._poll_task: asyncio.Task[None] | None = None
        self._agent_stats_task: asyncio.Task[None] | None = None
        self._exit_stack = AsyncExitStack()
        self._pusher = self._create_pusher() if settings.otlp.enabled else None

    async def __aenter__(self) -> Self:
        """Open connections to Coder."""
        await self._exit_stack.enter_async_context(self._client)
        if self._metrics_client is not None:
            await self._exit_stack.enter_async_context(self._metrics_client)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop polling, flush OTLP exports and close connections."""
        await self._close(flush=True)

    async def retire(self) -> None:
        """Stop polling and close connections without a flush: the next runtime exports the same series."""
        await self._close(flush=False)

    async def _close(self, *, flush: bool) -> None:
        await self.stop_polling()
        if self._pusher is not None:
            await self._pusher.close(flush=flush)
        await self._exit_stack.aclose()

    def start_polling(self) -> asyncio.Task[None]:
        """Start polling; the returned task ends only by an unexpected exception or by ``stop_polling``."""
        self._stop.clear()
        self._poll_task = asyncio.create_task(self.poller.run(self._stop))
        if self._agent_stats_collector is not None:
            self._agent_stats_task = asyncio.create_task(self._agent_stats_collector.run(self._stop))
        return self._poll_task

    async def stop_polling(self) -> None:
        """Stop polling and cancel a running poll."""
        tasks = [task for task in (self._poll_task, self._agent_stats_task) if task is not None]
        self._poll_task = self._agent_stats_task = None
        self._stop.set()
        if tasks:
            await asyncio.wait(tasks)

    async def publish(self, snapshot: Snapshot) -> None:
        """Render a snapshot and serve it."""
        async with self._publish_lock:
            await self._publish_locked(self._with_newest_agent_stats(snapshot))

    async def _publish_locked(self, snapshot: Snapshot) -> None:
        suppressed = await asyncio.to_thread(
            suppress_small_groups, snapshot, self.settings.privacy.min_group_size, self._suppressed_parts
        )
        await self.exposition.publish(suppressed.snapshot)
        self.snapshot, self._visible_snapshot = snapshot, suppressed.snapshot
        self._dependencies.telemetry.small_groups_withheld(suppressed.withheld)

    def _with_newest_agent_stats(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with a reading that was published while the snapshot waited for the lock."""
        collector = self._agent_stats_collector
        newest = None if collector is None else collector.current()
        if newest is None or (snapshot.agent_stats is not None and snapshot.agent_stats.at >= newest.at):
            return snapshot
        return replace(snapshot, agent_stats=newest)

    def _create_metrics_client(self) -> MetricsClient | None:
        url, dependencies = self.settings.agent_stats.metrics_url, self._dependencies
        if self.settings.agent_stats.source is not AgentStatsSource.CODERD_METRICS or url is None:
            return None
        return MetricsClient(
            self.settings.coder,
            url,
            clock=dependencies.clock,
            telemetry=dependencies.telemetry,
            random=dependencies.random,
        )

    def _create_pusher(self) -> OtlpPusher:
        dependencies = self._dependencies
        return OtlpPusher(
            self.settings.otlp,
            self_metrics=dependencies.self_metrics or SelfMetricsSource(tuple, dependencies.clock.now()),
            clock=dependencies.clock,
            telemetry=dependencies.telemetry,
            environ=dependencies.environ,
        )

    def _on_families(self, snapshot: Snapshot, families: Sequence[FamilySamples]) -> None:
        if self._pusher is not None:
            self._pusher.publish(snapshot, families)

    def _create_agent_stats_collector(
        self, username_policy: UsernamePolicy, state: PollerState
    ) -> AgentStatsCollector | None:
        """Return the agent statistics collector; the accumulator of the same settings is reused."""
        settings, dependencies = self.settings, self._dependencies
        if settings.agent_stats.source is AgentStatsSource.NONE:
            return None
        exponential = settings.otlp.needs_exponential_histograms
        key = (settings.agent_stats, settings.privacy, exponential)
        if state.agent_stats is None or state.agent_stats[0] != key:
            accumulator = Accumulator(username_policy, Filters(settings.filters), exponential=exponential)
            state.agent_stats = (key, accumulator)
        accumulator = state.agent_stats[1]
        collector_type: Callable[..., AgentStatsCollector] = create_postgres_collector
        if settings.agent_stats.source is AgentStatsSource.CODERD_METRICS:
            collector_type = partial(
                AgentStatsCollector, reader_factory=partial(self._create_coderd_metrics_reader, accumulator)
            )
        return collector_type(
            settings.agent_stats,
            accumulator,
            max_staleness=settings.poll.max_staleness,
            clock=dependencies.clock,
            random=dependencies.random,
            telemetry=dependencies.telemetry,
            on_update=self._on_agent_stats,
        )

    def _create_coderd_metrics_reader(
        self, accumulator: Accumulator, on_state_rejected: Callable[[str], None]
    ) -> CoderdMetricsReader:
        return CoderdMetricsReader(
            accumulator,
            fetch=self._fetch_coderd_metrics,
            inventory=lambda: self.poller.state.last_inventory,
            identity=self.settings.coder.url,
            interval=self.settings.agent_stats.interval,
            by_client=self.settings.agent_stats.by_client,
            clock=self._dependencies.clock,
            telemetry=self._dependencies.telemetry,
            on_state_rejected=on_state_rejected,
        )

    async def _fetch_coderd_metrics(self) -> str:
        timeout = self.settings.agent_stats.interval
        if self._metrics_client is not None:
            return await self._metrics_client.fetch(timeout=timeout)
        return await fetch_debug_metrics(self._client.with_timeout(timeout).debug_metrics)

    async def _on_agent_stats(self, agent_stats: Timestamped[AgentStats]) -> None:
        """Publish newer agent statistics with the data of the last poll."""
        async with self._publish_lock:
            # Read the snapshot under the lock: a poll may have published a newer one during the wait.
            if self.snapshot is not None:
                await self._publish_locked(replace(self.snapshot, agent_stats=agent_stats))

    def not_ready_reason(self) -> str:
        """Return why the exporter has no fresh data, or an empty string if it has."""
        if self.snapshot is None:
            return "The first poll has not finished."
        if not any(self._is_fresh(collected) for collected in self._served_data().values()):
            failures = ", ".join(
                f"{name}: {reason}" for name, reason in sorted(self.poller.state.failure_reasons.items())
            )
            message = f"All data of Coder is older than {self.settings.poll.max_staleness:g} seconds."
            return f"{message} {failures}".rstrip()
        return ""

    async def landing_page(self) -> HtmlPage:
        """Return the rendered landing page."""
        return await self._landing_page.render(self._visible_snapshot, self._page_status())

    def _page_status(self) -> ExporterStatus:
        insights = self.snapshot.insights if self.snapshot else None
        return ExporterStatus(
            now=self._dependencies.clock.now(),
            version=__version__,
            metrics_path=self._dependencies.metrics_path,
            not_ready_reason=self.not_ready_reason(),
            collectors=[self._collector_status(name) for name in COLLECTORS] + [self._agent_stats_status()],
            warming_up=self.snapshot is None,
            warm_up_ratio=1.0 if insights is None else insights.value.warm_up_ratio,
            data_at=None if insights is None else insights.at,
            # One poll may fail or take its time; after the second missed one the data is old.
            max_data_age=2 * self.settings.poll.interval,
        )

    def _collector_status(self, name: str) -> CollectorState:
        state = self.poller.state
        collected: Timestamped[object] | None = getattr(state, f"last_{name}")
        is_served = self._served_data().get(name) is not None
        at = None if collected is None else collected.at
        return CollectorState(name, at, state.failure_reasons.get(name, ""), served=is_served)

    def _agent_stats_status(self) -> CollectorState:
        collected = self.snapshot.agent_stats if self.snapshot else None
        configured = self.settings.agent_stats.source is not AgentStatsSource.NONE
        at = None if collected is None else collected.at
        failure_reason = (
            "" if self._agent_stats_collector is None else self._agent_stats_collector.failure_reason
        )
        return CollectorState(
            COLLECTOR_NAME, at, failure_reason, served=collected is not None, configured=configured
        )

    def _served_data(self) -> dict[str, Timestamped[object] | None]:
        return {name: getattr(self.snapshot, name, None) for name in COLLECTORS}

    def _is_fresh(self, collected: Timestamped[object] | None) -> bool:
        # While a poll hangs, the last snapshot stays published and its data ages.
        return collected is not None and self._age(collected.at) <= self.settings.poll.max_staleness

    def _age(self, at: datetime) -> float:
        return (self._dependencies.clock.now() - at).total_seconds()
