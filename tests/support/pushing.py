"""A page with a push beside it, as a generation has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.otlp import Own, Push
from insights_exporter.metrics.text import Samples
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, OtlpSettings, UserNames
from insights_exporter.snapshot import Snapshot
from tests.support.clock import FakeClock
from tests.support.told import Told

__all__ = ["BEGAN", "Pushing", "pushing"]

BEGAN = datetime(2026, 1, 14, 9, 0, tzinfo=UTC)
"""When the exporter started."""


@dataclass
class Pushing:
    """The two, and what they told."""

    exposition: Exposition
    push: Push
    clock: FakeClock
    told: Told = field(default_factory=Told)

    async def publish(self, snapshot: Snapshot) -> None:
        """Publish, and wait until what was published is pushed or given up."""
        await self.exposition.publish(snapshot)
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being pushed."""
        if self.push._pushing is not None:
            await asyncio.wait({self.push._pushing})


@asynccontextmanager
async def pushing(
    settings: OtlpSettings,
    *,
    own: Callable[[], Iterable[Samples]] = tuple,
    environ: Mapping[str, str] | None = None,
    limits: LimitSettings = LimitSettings(),  # noqa: B008 - it is frozen.
) -> AsyncIterator[Pushing]:
    """Run a push; what still waits at the end is flushed."""
    clock, told = FakeClock(), Told()
    push = Push(settings, own=Own(own, BEGAN), clock=clock, telemetry=told, environ=environ or {})
    exposition = Exposition(redaction=Redaction(UserNames.NAMED), limits=limits, pass_on=push.publish)
    try:
        yield Pushing(exposition, push, clock, told)
    finally:
        await push.close()
