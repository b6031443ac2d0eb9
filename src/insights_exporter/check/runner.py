"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from insights_exporter.check.access import AccessCheck, failed_finding
from insights_exporter.check.agent_database import AgentDatabaseCheck
from insights_exporter.check.coderd_metrics import CoderdMetricsCheck
from insights_exporter.check.data import DataCheck
from insights_exporter.check.finding import Finding, Level
from insights_exporter.check.series import check_series
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import AgentStatsSource, Settings
from insights_exporter.errors import SecretError, UpstreamError
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot

__all__ = ["run_checks"]

_BLOCKING_SUBJECTS = frozenset({"address", "token"})
"""Where these are a problem, every other check would only say the same again."""


async def run_checks(
    client: CoderClient,
    settings: Settings,
    *,
    clock: Clock,
    username_policy: UsernamePolicy,
    poll: Callable[[], Awaitable[Snapshot]] | None = None,
) -> AsyncIterator[Finding]:
    """Yield what is found; ``poll`` makes the snapshot in which series are counted, if they are to be."""
    halted = False
    async for finding in AccessCheck(client, settings, clock).run():
        halted = halted or (finding.level is Level.PROBLEM and finding.subject in _BLOCKING_SUBJECTS)
        yield finding
    if halted:
        return
    async for finding in DataCheck(client, settings, clock).run():
        yield finding
    if settings.agent_stats.source is AgentStatsSource.CODERD_METRICS:
        async for finding in CoderdMetricsCheck(client, settings, clock).run():
            yield finding
    if settings.agent_stats.source is AgentStatsSource.POSTGRES:
        async for finding in AgentDatabaseCheck(settings, clock).run():
            yield finding
    if poll is None:
        return
    try:
        snapshot = await poll()
    except (UpstreamError, SecretError) as error:
        yield failed_finding("series", error)
        return
    for finding in check_series(snapshot, settings, username_policy):
        yield finding
