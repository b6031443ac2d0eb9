"""All that belongs to one reading of the configuration; a new reading replaces it whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random
from types import TracebackType
from typing import Final, Self

from insights_exporter import __version__
from insights_exporter.agent_stats import (
    Accumulator,
    AgentStatsCollector,
    AgentStatsCollectorProtocol,
    CoderdMetricsReader,
    PostgresCollector,
    fetch_debug_metrics,
)
from insights_exporter.app.poller import Poller, PollerState
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.metrics_client import MetricsClient
from insights_exporter.config.settings import AgentStatsSource, PrivacySettings, Settings, UsernameMode
from insights_exporter.filters import Filters
from insights_exporter.landing_page import CollectorState, ExporterStatus, LandingPage, ViewOptions
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.metrics.encoder.text import FamilySamples
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.otlp import OtlpPusher, SelfMetricsSource
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.server import HtmlPage
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from insights_exporter.telemetry import Telemetry

__all__ = ["Dependencies", "Runtime", "load_username_policy", "shows_usernames"]

COLLECTORS: Final = ("insights", "inventory", "deployment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What every generation runs in."""

    clock: Clock
    random: Random
    telemetry: Telemetry
    self_metrics: SelfMetricsSource | None = None
    """The exporter's own metrics, to push them, too."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


def load_username_policy(privacy: PrivacySettings) -> UsernamePolicy:
    """Return how users appear; raise SecretError where the key cannot be read."""
    key = b"" if privacy.hash_key is None else privacy.hash_key.read().reveal().encode()
    return UsernamePolicy(privacy.users, key)


def shows_usernames(privacy: PrivacySettings) -> bool:
    """Say whether what is shown may hold words of Coder, in which somebody may be named."""
    return privacy.users is UsernameMode.NAMED


def _sticky_selection(settings: Settings, state: PollerState) -> StickySelection:
    """Return whose counters are named; a new choice would let those of the rest fall."""
    key = (settings.limits, settings.privacy)
    if state.sticky_selection is None or state.sticky_selection[0] != key:
        state.sticky_selection = (key, StickySelection())
    return state.sticky_selection[1]


class Runtime:
    """Polls, keeps the last snapshot and renders it; an asynchronous context manager.

    Raises ConfigError where a certificate or a secret cannot be used. ``state`` carries over what the
    generation before it learned of the same deployment.
    """

    def __init__(
        self, settings: Settings, dependencies: Dependencies, *, state: PollerState | None = None
    ) -> None:
        self.settings = settings
        self.snapshot: Snapshot | None = None
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
            username_policy, settings.privacy.parameter_free_text, settings.insights.utc_offset
        )
        self._landing_page = LandingPage(view_options)
        self._subscribers: list[Callable[[Snapshot], Awaitable[None]]] = [self.exposition.publish]
        self._publish_lock = asyncio.Lock()
        self._client = CoderClient(
            settings.coder,
            clock=dependencies.clock,
            observer=dependencies.telemetry,
            include_server_text=shows_usernames(settings.privacy),
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
        )
        self._stop = asyncio.Event()
        self._poll_task: asyncio.Task[None] | None = None
        self._agent_stats_task: asyncio.Task[None] | None = None
        self._exit_stack = AsyncExitStack()
        self._pusher = self._create_pusher() if settings.otlp.enabled else None

    async def __aenter__(self) -> Self:
        """Open the connections."""
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
        """Stop polling, push what was not pushed yet and close the connections."""
        await self._close(flush=True)

    async def retire(self) -> None:
        """Stop polling and close the connections; the generation that came instead pushes."""
        await self._close(flush=False)

    async def _close(self, *, flush: bool) -> None:
        await self.stop_polling()
        if self._pusher is not None:
            await self._pusher.close(flush=flush)
        await self._exit_stack.aclose()

    def start_polling(self) -> asyncio.Task[None]:
        """Begin to poll, at once and then at each turn; the task ends only by a fault or by ``pause``."""
        self._stop.clear()
        self._poll_task = asyncio.create_task(self.poller.run(self._stop))
        if self._agent_stats_collector is not None:
            self._agent_stats_task = asyncio.create_task(self._agent_stats_collector.run(self._stop))
        return self._poll_task

    async def stop_polling(self) -> None:
        """Stop polling; a poll under way is given up."""
        tasks = [task for task in (self._poll_task, self._agent_stats_task) if task is not None]
        self._poll_task = self._agent_stats_task = None
        self._stop.set()
        if tasks:
            await asyncio.wait(tasks)

    async def publish(self, snapshot: Snapshot) -> None:
        """Render a snapshot and serve it from then on."""
        async with self._publish_lock:
            for subscriber in self._subscribers:
                await subscriber(snapshot)
            self.snapshot = snapshot

    def _create_metrics_client(self) -> MetricsClient | None:
        url, dependencies = self.settings.agent_stats.metrics_url, self._dependencies
        if self.settings.agent_stats.source is not AgentStatsSource.CODERD_METRICS or url is None:
            return None
        return MetricsClient(
            self.settings.coder,
            url,
            clock=dependencies.clock,
            observer=dependencies.telemetry,
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
    ) -> AgentStatsCollectorProtocol | None:
        """Return what reads agent reports; it goes on with what was counted under the same settings."""
        settings, dependencies = self.settings, self._dependencies
        if settings.agent_stats.source is AgentStatsSource.NONE:
            return None
        exponential = settings.otlp.enabled and settings.otlp.exponential_histograms
        key = (settings.agent_stats, settings.privacy, exponential)
        if state.agent_stats is None or state.agent_stats[0] != key:
            accumulator = Accumulator(username_policy, Filters(settings.filters), exponential=exponential)
            state.agent_stats = (key, accumulator)
        accumulator = state.agent_stats[1]
        collector_type: Callable[..., AgentStatsCollectorProtocol] = PostgresCollector
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
            clock=self._dependencies.clock,
            telemetry=self._dependencies.telemetry,
            on_state_rejected=on_state_rejected,
        )

    async def _fetch_coderd_metrics(self) -> str:
        timeout = self.settings.agent_stats.interval
        if self._metrics_client is not None:
            return await self._metrics_client.fetch(timeout=timeout)
        return await fetch_debug_metrics(self._client.with_timeout(timeout))

    async def _on_agent_stats(self, agent_stats: Timestamped[AgentStats]) -> None:
        """Serve newer agent reports beside what the last poll found."""
        if self.snapshot is not None:
            await self.publish(replace(self.snapshot, agent_stats=agent_stats))

    def not_ready_reason(self) -> str:
        """Return why no fresh numbers are served, or nothing."""
        if self.snapshot is None:
            return "The first poll has not ended yet."
        if not any(self._is_fresh(collected) for collected in self._served_data().values()):
            failures = ", ".join(
                f"{name}: {reason}" for name, reason in sorted(self.poller.state.failure_reasons.items())
            )
            message = f"Nothing of Coder is younger than {self.settings.poll.max_staleness:g} seconds."
            return f"{message} {failures}".rstrip()
        return ""

    async def landing_page(self) -> HtmlPage:
        """Return the landing page as of now."""
        return await self._landing_page.render(self.snapshot, self._page_status())

    def _page_status(self) -> ExporterStatus:
        return ExporterStatus(
            now=self._dependencies.clock.now(),
            version=__version__,
            not_ready_reason=self.not_ready_reason(),
            collectors=[self._collector_status(name) for name in COLLECTORS] + [self._agent_stats_status()],
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
            "agent_stats", at, failure_reason, served=collected is not None, configured=configured
        )

    def _served_data(self) -> dict[str, Timestamped[object] | None]:
        return {name: getattr(self.snapshot, name, None) for name in COLLECTORS}

    def _is_fresh(self, collected: Timestamped[object] | None) -> bool:
        # A poll that hangs leaves its snapshot; the readings in it age all the same.
        return collected is not None and self._age(collected.at) <= self.settings.poll.max_staleness

    def _age(self, at: datetime) -> float:
        return (self._dependencies.clock.now() - at).total_seconds()
