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
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.metrics import MetricsClient
from insights_exporter.collectors.agent_stats import (
    AgentStatsCollector,
    Ledger,
    LedgerCollector,
    PostgresCollector,
    SamplingReader,
    through_api,
)
from insights_exporter.filters import Filters
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.limits import Standing
from insights_exporter.metrics.otlp import Own, Push
from insights_exporter.metrics.text import Samples
from insights_exporter.page import CollectorState, Landing, Lens, Status
from insights_exporter.poller import Poller, PollerState
from insights_exporter.redaction import Redaction
from insights_exporter.server import Page
from insights_exporter.settings import AgentStatsSource, PrivacySettings, Settings, UserNames
from insights_exporter.snapshot import AgentStats, Reading, Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["Environment", "Generation", "may_name_people", "redaction_of"]

SUBJECTS: Final = ("insights", "inventory", "deployment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What every generation runs in."""

    clock: Clock
    random: Random
    telemetry: Telemetry
    own: Own | None = None
    """The exporter's own metrics, to push them, too."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


def redaction_of(privacy: PrivacySettings) -> Redaction:
    """Return how users appear; raise SecretError where the key cannot be read."""
    key = b"" if privacy.hash_key is None else privacy.hash_key.read().reveal().encode()
    return Redaction(privacy.users, key)


def may_name_people(privacy: PrivacySettings) -> bool:
    """Say whether what is shown may hold words of Coder, in which somebody may be named."""
    return privacy.users is UserNames.NAMED


def _standing(settings: Settings, state: PollerState) -> Standing:
    """Return whose counters are named; a new choice would let those of the rest fall."""
    same = (settings.limits, settings.privacy)
    if state.standing is None or state.standing[0] != same:
        state.standing = (same, Standing())
    return state.standing[1]


class Generation:
    """Polls, keeps the last snapshot and renders it; an asynchronous context manager.

    Raises ConfigError where a certificate or a secret cannot be used. ``state`` carries over what the
    generation before it learned of the same deployment.
    """

    def __init__(
        self, settings: Settings, environment: Environment, *, state: PollerState | None = None
    ) -> None:
        self.settings = settings
        self.snapshot: Snapshot | None = None
        self._environment = environment
        redaction = redaction_of(settings.privacy)
        state = state if state is not None else PollerState()
        self.exposition = Exposition(
            redaction=redaction,
            limits=settings.limits,
            free_text=settings.privacy.parameter_free_text,
            telemetry=environment.telemetry,
            pass_on=self._pass_on if settings.otlp.enabled else None,
            standing=_standing(settings, state),
        )
        lens = Lens(redaction, settings.privacy.parameter_free_text, settings.insights.utc_offset)
        self._landing = Landing(lens)
        self._listeners: list[Callable[[Snapshot], Awaitable[None]]] = [self.exposition.publish]
        self._publishing = asyncio.Lock()
        self._client = CoderClient(
            settings.coder,
            clock=environment.clock,
            observer=environment.telemetry,
            quote=may_name_people(settings.privacy),
        )
        self._metrics = self._metrics_client()
        self._agents = self._agent_source(redaction, state)
        self.poller = Poller(
            self._client,
            settings,
            publish=self.publish,
            clock=environment.clock,
            random=environment.random,
            telemetry=environment.telemetry,
            extra=lambda: None if self._agents is None else self._agents.current(),
            state=state,
        )
        self._stop = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()
        self._push = self._pusher() if settings.otlp.enabled else None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._open.enter_async_context(self._client)
        if self._metrics is not None:
            await self._open.enter_async_context(self._metrics)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop polling, push what was not pushed yet and close the connections."""
        await self._close(flush=True)

    async def replaced(self) -> None:
        """Stop polling and close the connections; the generation that came instead pushes."""
        await self._close(flush=False)

    async def _close(self, *, flush: bool) -> None:
        await self.pause()
        if self._push is not None:
            await self._push.close(flush=flush)
        await self._open.aclose()

    def poll(self) -> asyncio.Task[None]:
        """Begin to poll, at once and then at each turn; the task ends only by a fault or by ``pause``."""
        self._stop.clear()
        self._polling = asyncio.create_task(self.poller.run(self._stop))
        if self._agents is not None:
            self._reading = asyncio.create_task(self._agents.run(self._stop))
        return self._polling

    async def pause(self) -> None:
        """Stop polling; a poll under way is given up."""
        under_way = [one for one in (self._polling, self._reading) if one is not None]
        self._polling = self._reading = None
        self._stop.set()
        if under_way:
            await asyncio.wait(under_way)

    async def publish(self, snapshot: Snapshot) -> None:
        """Render a snapshot and serve it from then on."""
        async with self._publishing:
            for listener in self._listeners:
                await listener(snapshot)
            self.snapshot = snapshot

    def _metrics_client(self) -> MetricsClient | None:
        address, environment = self.settings.agent_stats.metrics_url, self._environment
        if self.settings.agent_stats.source is not AgentStatsSource.CODERD_METRICS or address is None:
            return None
        return MetricsClient(
            self.settings.coder,
            address,
            clock=environment.clock,
            observer=environment.telemetry,
            random=environment.random,
        )

    def _pusher(self) -> Push:
        environment = self._environment
        return Push(
            self.settings.otlp,
            own=environment.own or Own(tuple, environment.clock.now()),
            clock=environment.clock,
            telemetry=environment.telemetry,
            environ=environment.environ,
        )

    def _pass_on(self, snapshot: Snapshot, families: Sequence[Samples]) -> None:
        if self._push is not None:
            self._push.publish(snapshot, families)

    def _agent_source(self, redaction: Redaction, state: PollerState) -> AgentStatsCollector | None:
        """Return what reads agent reports; it goes on with what was counted under the same settings."""
        settings, environment = self.settings, self._environment
        if settings.agent_stats.source is AgentStatsSource.NONE:
            return None
        exponential = settings.otlp.enabled and settings.otlp.exponential_histograms
        same = (settings.agent_stats, settings.privacy, exponential)
        if state.agent_stats is None or state.agent_stats[0] != same:
            ledger = Ledger(redaction, Filters(settings.filters), exponential=exponential)
            state.agent_stats = (same, ledger)
        ledger = state.agent_stats[1]
        kind: Callable[..., AgentStatsCollector] = PostgresCollector
        if settings.agent_stats.source is AgentStatsSource.CODERD_METRICS:
            kind = partial(LedgerCollector, reader=partial(self._sampling, ledger))
        return kind(
            settings.agent_stats,
            ledger,
            max_staleness=settings.poll.max_staleness,
            clock=environment.clock,
            random=environment.random,
            telemetry=environment.telemetry,
            changed=self._agents_told,
        )

    def _sampling(self, ledger: Ledger, foreign: Callable[[str], None]) -> SamplingReader:
        return SamplingReader(
            ledger,
            fetch=self._metrics_page,
            inventory=lambda: self.poller.state.last_inventory,
            identity=self.settings.coder.url,
            interval=self.settings.agent_stats.interval,
            clock=self._environment.clock,
            telemetry=self._environment.telemetry,
            foreign=foreign,
        )

    async def _metrics_page(self) -> str:
        within = self.settings.agent_stats.interval
        if self._metrics is not None:
            return await self._metrics.page(within=within)
        return await through_api(self._client.within(within))

    async def _agents_told(self, reading: Reading[AgentStats]) -> None:
        """Serve newer agent reports beside what the last poll found."""
        if self.snapshot is not None:
            await self.publish(replace(self.snapshot, agent_stats=reading))

    def unready(self) -> str:
        """Return why no fresh numbers are served, or nothing."""
        if self.snapshot is None:
            return "The first poll has not ended yet."
        if not any(self._fresh(one) for one in self._readings().values()):
            failing = ", ".join(f"{name}: {why}" for name, why in sorted(self.poller.state.failing.items()))
            stale = f"Nothing of Coder is younger than {self.settings.poll.max_staleness:g} seconds."
            return f"{stale} {failing}".rstrip()
        return ""

    async def landing(self) -> Page:
        """Return the landing page as of now."""
        return await self._landing.page(self.snapshot, self._status())

    def _status(self) -> Status:
        return Status(
            now=self._environment.clock.now(),
            version=__version__,
            unready=self.unready(),
            collectors=[self._collector(name) for name in SUBJECTS] + [self._agent_stats()],
        )

    def _collector(self, name: str) -> CollectorState:
        state = self.poller.state
        reading: Reading[object] | None = getattr(state, f"last_{name}")
        served = self._readings().get(name) is not None
        at = None if reading is None else reading.at
        return CollectorState(name, at, state.failing.get(name, ""), served=served)

    def _agent_stats(self) -> CollectorState:
        reading = self.snapshot.agent_stats if self.snapshot else None
        configured = self.settings.agent_stats.source is not AgentStatsSource.NONE
        at = None if reading is None else reading.at
        failing = "" if self._agents is None else self._agents.failing
        return CollectorState("agent_stats", at, failing, served=reading is not None, configured=configured)

    def _readings(self) -> dict[str, Reading[object] | None]:
        return {name: getattr(self.snapshot, name, None) for name in SUBJECTS}

    def _fresh(self, reading: Reading[object] | None) -> bool:
        # A poll that hangs leaves its snapshot; the readings in it age all the same.
        return reading is not None and self._age(reading.at) <= self.settings.poll.max_staleness

    def _age(self, at: datetime) -> float:
        return (self._environment.clock.now() - at).total_seconds()
