"""Run of all checks, and check of series and limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from insights_exporter.check.access import AccessCheck, check_secret_files
from insights_exporter.check.agent_database import AgentDatabaseCheck
from insights_exporter.check.coderd_metrics import CoderdMetricsCheck
from insights_exporter.check.data import DataCheck
from insights_exporter.check.finding import STATISTICS_SWITCH, Finding, Level, failed_finding
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import AgentStatsSource, Settings
from insights_exporter.errors import SecretError, UpstreamError
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot

__all__ = ["run_checks"]

_BLOCKING_SUBJECTS: Final = frozenset({"address", "token"})
"""Subjects whose problems would repeat in every further check."""

_NEAR_LIMIT_RATIO: Final = 0.8
_LARGEST_FAMILIES: Final = 3


async def run_checks(
    client: CoderClient,
    settings: Settings,
    *,
    clock: Clock,
    username_policy: UsernamePolicy,
    poll: Callable[[], Awaitable[Snapshot]] | None = None,
) -> AsyncIterator[Finding]:
    """Yield the findings of all checks; ``poll`` returns the snapshot whose series are counted."""
    for finding in check_secret_files(settings):
        yield finding
    blocked = False
    async for finding in AccessCheck(client, settings, clock).run():
        blocked = blocked or (finding.level is Level.PROBLEM and finding.subject in _BLOCKING_SUBJECTS)
        yield finding
    if blocked:
        return
    statistics_disabled = False
    async for finding in DataCheck(client, settings, clock).run():
        statistics_disabled |= finding.subject == "statistics" and finding.advice == STATISTICS_SWITCH
        yield finding
    if settings.agent_stats.source is AgentStatsSource.CODERD_METRICS:
        check = CoderdMetricsCheck(client, settings, clock, statistics_disabled=statistics_disabled)
        async for finding in check.run():
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
    for finding in _check_series(snapshot, settings, username_policy):
        yield finding


def _check_series(
    snapshot: Snapshot, settings: Settings, username_policy: UsernamePolicy
) -> Iterator[Finding]:
    """Yield the number of series of a scrape, and each family near or above its limit."""
    limits = settings.limits
    rendered = build_families(
        snapshot,
        username_policy=username_policy,
        limits=limits,
        free_text=settings.privacy.parameter_free_text,
    )
    total = sum(rendered.series.values())
    largest = sorted(rendered.series.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST_FAMILIES]
    names = ", ".join(f"{name} ({count:,})" for name, count in largest if count)
    text = f"A scrape returns {total:,} series. The largest families: {names or 'none'}."
    yield Finding(Level.OK, "series", text)
    for name, count in sorted(rendered.series.items()):
        limit, folded = limits.families.get(name, limits.series_per_family), rendered.folded.get(name, 0)
        advice = f"Raise limits.families.{name}, narrow the filters, or set privacy.users to off."
        if limit and folded:
            text = f"{count:,} series are exported and {folded:,} are folded: the limit is {limit:,}."
            yield Finding(Level.WARNING, f"series of {name}", text, advice)
        elif limit and count >= _NEAR_LIMIT_RATIO * limit:
            text = f"{count:,} of at most {limit:,} series are exported."
            yield Finding(Level.WARNING, f"series of {name}", text, advice)
