"""Agent statistics from coderd's own metrics: reachable, switched on, fresh, and joined to templates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from insights_exporter.agent_stats import (
    COLLECT_INTERVAL,
    AgentScrape,
    AgentStatsError,
    WorkspaceIndex,
    fetch_debug_metrics,
    parse_scrape,
)
from insights_exporter.check.access import failed_finding
from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.coder import models
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.metrics_client import MetricsClient
from insights_exporter.coder.observer import NullObserver
from insights_exporter.config.settings import Settings
from insights_exporter.errors import SecretError, UpstreamError
from insights_exporter.snapshot import TemplateKey

__all__ = ["CoderdMetricsCheck"]

_SUBJECT = "agent metrics"
_EXPECTED_FAMILIES = {
    "connection_median_latency_seconds": "latency",
    "connection_count": "connections",
    "rx_bytes": "bytes received",
    "tx_bytes": "bytes sent",
}


@dataclass(frozen=True, slots=True)
class CoderdMetricsCheck:
    """Looks at one page as the exporter would."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what is found."""
        started = self.clock.monotonic()
        try:
            text = await self._fetch_text()
        except AgentStatsError as error:
            yield _source_error_finding(error)
            return
        except (UpstreamError, SecretError) as error:
            yield self._unreachable_finding(error)
            return
        elapsed = self.clock.monotonic() - started
        endpoint = self.settings.agent_stats.metrics_url or "the API's debug route"
        size = f"{len(text) / 1024:.0f} KiB in {elapsed * 1000:.0f} ms"
        yield Finding(Level.OK, _SUBJECT, f"{endpoint} answers with {size}.")
        try:
            scrape = parse_scrape(text)
        except AgentStatsError as error:
            yield _source_error_finding(error)
            return
        yield self._sampling_finding(scrape)
        yield _families_finding(scrape)
        if scrape.agents:
            async for finding in self._check_agents(scrape):
                yield finding

    async def _fetch_text(self) -> str:
        stats = self.settings.agent_stats
        async with AsyncExitStack() as stack:
            if stats.metrics_url is None:
                return await fetch_debug_metrics(self.client.with_timeout(stats.interval))
            random, null_observer = Random(), NullObserver()
            metrics_client = MetricsClient(
                self.settings.coder,
                stats.metrics_url,
                clock=self.clock,
                observer=null_observer,
                random=random,
            )
            metrics = await stack.enter_async_context(metrics_client)
            return await metrics.fetch(timeout=stats.interval)

    def _unreachable_finding(self, error: UpstreamError | SecretError) -> Finding:
        if self.settings.agent_stats.metrics_url is None:
            return failed_finding(_SUBJECT, error)
        return Finding(
            Level.PROBLEM,
            _SUBJECT,
            str(error),
            "Start coderd with CODER_PROMETHEUS_ENABLE=true and a CODER_PROMETHEUS_ADDRESS that can be "
            "reached from here, such as 0.0.0.0:2112; by default it listens to its own machine alone.",
        )

    def _sampling_finding(self, scrape: AgentScrape) -> Finding:
        """Compare how often coderd looks at its reports with how often it is asked."""
        subject, interval = f"{_SUBJECT}: samples", self.settings.agent_stats.interval
        samples_per_minute = 60 / interval
        if scrape.collection_count is None:
            text = f"The page does not tell how often coderd looks at agents; {samples_per_minute:.3g} samples a minute."
            return Finding(Level.OK, subject, text)
        updates_per_minute = 60 / COLLECT_INTERVAL
        if (
            scrape.start_time is not None
            and (age := self.clock.now().timestamp() - scrape.start_time) > COLLECT_INTERVAL
        ):
            updates_per_minute = scrape.collection_count / age * 60
        text = f"coderd looks at agents {updates_per_minute:.2g} times a minute and is sampled {samples_per_minute:.3g} times."
        if samples_per_minute < 0.9 * updates_per_minute:
            advice = f"Set agent_stats.interval to {COLLECT_INTERVAL:.0f} or less; what is not sampled is not counted."
            return Finding(Level.WARNING, subject, text, advice)
        return Finding(Level.OK, subject, text)

    async def _check_agents(self, scrape: AgentScrape) -> AsyncIterator[Finding]:
        try:
            workspaces = await self.client.workspaces()
        except (UpstreamError, SecretError) as error:
            yield failed_finding(f"{_SUBJECT}: templates", error)
            return
        yield _template_join_finding(scrape, workspaces)
        yield _freshness_finding(scrape, workspaces, stale=await self._has_no_latency())

    async def _has_no_latency(self) -> bool:
        """Say whether Coder knows of no measured connection in the last quarter of an hour."""
        try:
            stats = await self.client.deployment_stats()
        except (UpstreamError, SecretError):
            return False
        return stats.workspaces.p50_seconds is None


def _source_error_finding(error: AgentStatsError) -> Finding:
    """Return the finding of an error, whose last sentence says what to do."""
    text, _, advice = str(error).rpartition(". ")
    return Finding(Level.PROBLEM, _SUBJECT, f"{text}.", advice)


def _families_finding(scrape: AgentScrape) -> Finding:
    subject = f"{_SUBJECT}: agents"
    if not scrape.agents:
        return Finding(
            Level.WARNING,
            subject,
            "Statistics are switched on, and no agent is on the page.",
            "Connect to a workspace and look again after two minutes; idle agents are not on it.",
        )
    missing = [
        description
        for name, description in _EXPECTED_FAMILIES.items()
        if f"coderd_agentstats_{name}" not in scrape.families
    ]
    sessions = sorted(
        family for family in scrape.families if family.startswith("coderd_agentstats_session_count")
    )
    if missing or not sessions or scrape.invalid_values:
        missing_names = ", ".join([*missing, *([] if sessions else ["sessions"])]) or "nothing"
        return Finding(
            Level.WARNING,
            subject,
            f"{len(scrape.agents)} agents are told of; {missing_names} is missing and {scrape.invalid_values} values are none.",
            "Look whether a proxy before the metrics address leaves families out.",
        )
    grouping = "by client" if "coderd_agentstats_session_count" in sessions else "by family of apps"
    return Finding(
        Level.OK,
        subject,
        f"{len(scrape.agents)} agents are told of with latency, connections, bytes and sessions {grouping}.",
    )


def _template_join_finding(scrape: AgentScrape, workspaces: Sequence[models.Workspace]) -> Finding:
    workspace_index = WorkspaceIndex.from_workspaces(
        (
            workspace.owner_name,
            workspace.name,
            TemplateKey(workspace.organization_name, workspace.template_name),
        )
        for workspace in workspaces
    )
    unmatched = [agent for agent in scrape.agents if workspace_index.template(agent[0], agent[1]) is None]
    text = f"{len(scrape.agents) - len(unmatched)} of {len(scrape.agents)} agents belong to a workspace that is visible."
    if not unmatched:
        return Finding(Level.OK, f"{_SUBJECT}: templates", text)
    return Finding(
        Level.PROBLEM if len(unmatched) == len(scrape.agents) else Level.WARNING,
        f"{_SUBJECT}: templates",
        text,
        "Give the account the role template-admin, so that it sees the workspaces of others; "
        "the rest is not counted.",
    )


def _freshness_finding(
    scrape: AgentScrape, workspaces: Sequence[models.Workspace], *, stale: bool
) -> Finding:
    """Say whether agents on the page still speak; where none does, the page shows what was."""
    subject = f"{_SUBJECT}: freshness"
    connected_agents = set(_connected_agents(workspaces))
    connected = [agent for agent in scrape.agents if agent in connected_agents]
    text = f"{len(connected)} of {len(scrape.agents)} agents on the page are connected to Coder now."
    if connected and not stale:
        return Finding(Level.OK, subject, text)
    return Finding(
        Level.WARNING,
        subject,
        f"{text} Nobody uses one, so the values stand still since somebody last did.",
        "Connect to a workspace to see them move. Until then they are not counted again, and are taken for "
        "nobody after 150 seconds.",
    )


def _connected_agents(workspaces: Sequence[models.Workspace]) -> Iterator[tuple[str, str, str]]:
    for workspace in workspaces:
        for agent in workspace.agents:
            if workspace.latest_build.status == "running" and agent.status == "connected":
                yield workspace.owner_name, workspace.name, agent.name
