"""An exporter without its HTTP server, in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from insights_exporter.app.logging_telemetry import LoggingTelemetry
from insights_exporter.app.poller import Poller, PollerState
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import CoderSettings, Settings
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.privacy import load_username_policy
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import FanOutTelemetry, Telemetry
from tests.support.exposition_parsing import parse_series
from tests.support.in_process_session import in_process_session

__all__ = [
    "CODER_SETTINGS",
    "InProcessExporter",
    "SeriesKey",
    "discard_snapshot",
    "in_process_exporter",
    "in_process_poller",
]

CODER_SETTINGS = CoderSettings(
    url="http://coder.example.test", token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0
)

SeriesKey = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class InProcessExporter:
    """Poller, exposition and self metrics."""

    poller: Poller
    exposition: Exposition
    self_metrics: SelfMetrics

    async def poll(self) -> Mapping[SeriesKey, float]:
        """Poll once and return every OpenMetrics sample."""
        await self.poller.poll_once()
        return parse_series(self.exposition_body(Format.OPENMETRICS))

    def exposition_body(self, exposition_format: Format = Format.OPENMETRICS) -> bytes:
        """Return the current response to a scrape."""
        return self.exposition.body(
            exposition_format, gzip=False, self_metrics=self.self_metrics.encode(exposition_format)
        )


async def discard_snapshot(_: Snapshot) -> None:
    """Discard the snapshot."""


@asynccontextmanager
async def in_process_poller(
    deployment: SimulatedDeployment,
    clock: Clock,
    settings: Settings,
    *,
    publish: Callable[[Snapshot], Awaitable[None]],
    telemetry: Telemetry,
    state: PollerState | None = None,
) -> AsyncIterator[Poller]:
    """Yield a poller of the deployment; both use the clock. ``state`` is that of an earlier poller."""
    deployment.now = clock.now
    async with CoderClient(
        settings.coder,
        clock=clock,
        rng=Random(1),
        telemetry=telemetry,
        session=in_process_session(deployment),
    ) as client:
        yield Poller(
            client,
            settings,
            publish=publish,
            clock=clock,
            random=Random(1),
            telemetry=telemetry,
            state=state,
        )


@asynccontextmanager
async def in_process_exporter(
    deployment: SimulatedDeployment,
    clock: Clock,
    settings: Settings | None = None,
    *,
    state: PollerState | None = None,
) -> AsyncIterator[InProcessExporter]:
    """Yield an exporter of the deployment; both use the clock. ``state`` is that of an earlier poller."""
    settings = settings or Settings(coder=CODER_SETTINGS)
    self_metrics = SelfMetrics(poll_interval=settings.poll.interval)
    telemetry = FanOutTelemetry(self_metrics, LoggingTelemetry())
    exposition = Exposition(
        username_policy=load_username_policy(settings.privacy),
        limits=settings.limits,
        free_text=settings.privacy.parameter_free_text,
        telemetry=telemetry,
        after_block=lambda: None,
    )
    async with in_process_poller(
        deployment, clock, settings, publish=exposition.publish, telemetry=telemetry, state=state
    ) as poller:
        yield InProcessExporter(poller, exposition, self_metrics)
    self_metrics.shutdown()
