"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from insights_exporter.check.access import Access, blocked
from insights_exporter.check.agent_database import AgentDatabase
from insights_exporter.check.coderd_metrics import CoderdMetrics
from insights_exporter.check.data import Data
from insights_exporter.check.finding import Finding, Level
from insights_exporter.check.series import estimate
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.errors import SecretError, UpstreamError
from insights_exporter.redaction import Redaction
from insights_exporter.settings import AgentStatsSource, Settings
from insights_exporter.snapshot import Snapshot

__all__ = ["findings"]

_DECISIVE = frozenset({"address", "token"})
"""Where these are a problem, every other check would only say the same again."""


async def findings(
    client: CoderClient,
    settings: Settings,
    *,
    clock: Clock,
    redaction: Redaction,
    poll: Callable[[], Awaitable[Snapshot]] | None = None,
) -> AsyncIterator[Finding]:
    """Yield what is found; ``poll`` makes the snapshot in which series are counted, if they are to be."""
    stopped = False
    async for finding in Access(client, settings, clock).findings():
        stopped = stopped or (finding.level is Level.PROBLEM and finding.subject in _DECISIVE)
        yield finding
    if stopped:
        return
    async for finding in Data(client, settings, clock).findings():
        yield finding
    if settings.agent_stats.source is AgentStatsSource.CODERD_METRICS:
        async for finding in CoderdMetrics(client, settings, clock).findings():
            yield finding
    if settings.agent_stats.source is AgentStatsSource.POSTGRES:
        async for finding in AgentDatabase(settings, clock).findings():
            yield finding
    if poll is None:
        return
    try:
        snapshot = await poll()
    except (UpstreamError, SecretError) as error:
        yield blocked("series", error)
        return
    for finding in estimate(snapshot, settings, redaction):
        yield finding
