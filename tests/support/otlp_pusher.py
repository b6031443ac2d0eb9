"""An exposition with an OTLP pusher, as in a runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from insights_exporter.config.settings import LimitSettings, OtlpSettings, UsernameMode
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.otlp import OtlpPusher, SelfMetricsSource
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

__all__ = ["START_TIME", "OtlpPusherHarness", "otlp_pusher_harness"]

START_TIME = datetime(2026, 1, 14, 9, 0, tzinfo=UTC)
"""The start time of the exporter."""


@dataclass
class OtlpPusherHarness:
    """Exposition, pusher and recorded telemetry."""

    exposition: Exposition
    pusher: OtlpPusher
    clock: FakeClock
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)

    async def publish(self, snapshot: Snapshot) -> None:
        """Publish a snapshot, and wait until it is pushed or dropped."""
        await self.exposition.publish(snapshot)
        await self.wait_until_pushed()

    async def wait_until_pushed(self) -> None:
        """Wait until no push is in progress."""
        if self.pusher._push_task is not None:
            await asyncio.wait({self.pusher._push_task})


@asynccontextmanager
async def otlp_pusher_harness(
    settings: OtlpSettings,
    *,
    self_metrics: Callable[[], Iterable[FamilySamples]] = tuple,
    environ: Mapping[str, str] | None = None,
    limits: LimitSettings = LimitSettings(),  # noqa: B008 # It is immutable.
) -> AsyncIterator[OtlpPusherHarness]:
    """Run a pusher and flush it at the end."""
    clock, telemetry = FakeClock(), RecordingTelemetry()
    pusher = OtlpPusher(
        settings,
        self_metrics=SelfMetricsSource(self_metrics, START_TIME),
        clock=clock,
        telemetry=telemetry,
        environ=environ or {},
    )
    exposition = Exposition(
        username_policy=UsernamePolicy(UsernameMode.NAMED), limits=limits, on_families=pusher.publish
    )
    try:
        yield OtlpPusherHarness(exposition, pusher, clock, telemetry)
    finally:
        await pusher.close()
