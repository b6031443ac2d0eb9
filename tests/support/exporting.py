"""An exporter without its server: polls a simulated deployment and keeps the page that a scrape would get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.generation import redaction_of
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.text import Format
from insights_exporter.poller import Poller
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.stage import DEMO_TOKEN
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry
from insights_exporter.telling import TellingMetrics
from tests.support.direct import direct_session
from tests.support.expositions import series

__all__ = ["CODER", "Exporter", "Series", "exporting", "polling"]

CODER = CoderSettings(url="http://coder.example.test", token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0)

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Exporter:
    """Polls, renders, and tells of itself."""

    poller: Poller
    exposition: Exposition
    telemetry: TellingMetrics

    async def poll(self) -> Mapping[Series, float]:
        """Poll once and return every sample of the page in OpenMetrics."""
        await self.poller.poll_once()
        return series(self.page(Format.OPENMETRICS))

    def page(self, form: Format = Format.OPENMETRICS) -> bytes:
        """Return what a scrape gets now."""
        return self.exposition.page(form, gzip=False, tail=self.telemetry.text(form))


@asynccontextmanager
async def polling(
    deployment: SimulatedDeployment,
    clock: Clock,
    settings: Settings,
    *,
    publish: Callable[[Snapshot], Awaitable[None]],
    telemetry: Telemetry,
) -> AsyncIterator[Poller]:
    """Yield a poller of the deployment; both live at the clock's time."""
    deployment.now = clock.now
    async with CoderClient(
        settings.coder, clock=clock, rng=Random(1), observer=telemetry, session=direct_session(deployment)
    ) as client:
        yield Poller(client, settings, publish=publish, clock=clock, random=Random(1), telemetry=telemetry)


@asynccontextmanager
async def exporting(
    deployment: SimulatedDeployment, clock: Clock, settings: Settings | None = None
) -> AsyncIterator[Exporter]:
    """Yield an exporter of the deployment; both live at the clock's time."""
    settings = settings or Settings(coder=CODER)
    telemetry = TellingMetrics(poll_interval=settings.poll.interval)
    exposition = Exposition(
        redaction=redaction_of(settings.privacy),
        limits=settings.limits,
        free_text=settings.privacy.parameter_free_text,
        telemetry=telemetry,
        pause=lambda: None,
    )
    async with polling(
        deployment, clock, settings, publish=exposition.publish, telemetry=telemetry
    ) as poller:
        yield Exporter(poller, exposition, telemetry)
    telemetry.shutdown()
