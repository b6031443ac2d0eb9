"""Checks of coderd's own metrics as the source of agent reports: reachable, enabled, fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Final

from insights_exporter.agent_stats.coderd_metrics.reader import COLLECT_INTERVAL, WorkspaceIndex
from insights_exporter.agent_stats.coderd_metrics.scrape import AgentScrape, fetch_debug_metrics, parse_scrape
from insights_exporter.check.data import connected_agents
from insights_exporter.check.finding import STATISTICS_SWITCH, Finding, Level, failed_finding
from insights_exporter.clock import Clock
from insights_exporter.coder import models
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.metrics_client import MetricsClient
from insights_exporter.config.settings import Settings
from insights_exporter.errors import AgentStatsError, SecretError, UpstreamError
from insights_exporter.snapshot import TemplateKey
from insights_exporter.telemetry import Telemetry

__all__ = ["CoderdMetricsCheck"]

_SUBJECT: Final = "agent metrics"
_EXPECTED_FAMILIES: Final[Mapping[str, str]] = {
    "connection_median_latency_seconds": "latency",
    "connection_count": "connections",
    "rx_bytes": "bytes received",
    "tx_bytes": "bytes sent",
}


@dataclass(frozen=True, slots=True)
class CoderdMetricsCheck:
    """Checks one scrape of coderd's metrics.

    ``statistics_disabled`` explains a scrape without agents.
    """

    client: CoderClient
    settings: Settings
    clock: Clock
    statistics_disabled: bool = False

    async def run(self) -> AsyncIterator[Finding]:
        """Yield findings; stop after a failed scrape."""
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
        yield Finding(Level.OK, _SUBJECT, f"{endpoint} returns {size}.")
        try:
            scrape = parse_scrape(text)
        except AgentStatsError as error:
            yield _source_error_finding(error)
            return
        yield self._sampling_finding(scrape)
        yield self._families_finding(scrape)
        if scrape.agents:
            async for finding in self._check_agents(scrape):
                yield finding

    async def _fetch_text(self) -> str:
        stats = self.settings.agent_stats
        async with AsyncExitStack() as stack:
            if stats.metrics_url is None:
                return await fetch_debug_metrics(self.client.with_timeout(stats.interval).debug_metrics)
            random, telemetry = Random(), Telemetry()
            metrics_client = MetricsClient(
                self.settings.coder,
                stats.metrics_url,
                clock=self.clock,
                telemetry=telemetry,
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
            "Start coderd with CODER_PROMETHEUS_ENABLE=true and a CODER_PROMETHEUS_ADDRESS that is reachable "
            "from here, such as 0.0.0.0:2112. By default, coderd listens on localhost only.",
        )

    def _sampling_finding(self, scrape: AgentScrape) -> Finding:
        """Compare the interval of coderd's collection with the interval of scrapes."""
        subject, interval = f"{_SUBJECT}: samples", self.settings.agent_stats.interval
        if scrape.collection_count is None:
            text = f"coderd reports no collections; the exporter scrapes every {interval:.0f} s."
            return Finding(Level.OK, subject, text)
        collect_interval = COLLECT_INTERVAL
        age = 0.0 if scrape.start_time is None else self.clock.now().timestamp() - scrape.start_time
        if age > COLLECT_INTERVAL and scrape.collection_count:
            collect_interval = age / scrape.collection_count
        text = (
            f"coderd collects agent reports every {collect_interval:.0f} s; "
            f"the exporter scrapes every {interval:.0f} s."
        )
        if 0.9 * interval > collect_interval:
            advice = f"Set agent_stats.interval to {COLLECT_INTERVAL:.0f} or less: other reports are lost."
            return Finding(Level.WARNING, subject, text, advice)
        return Finding(Level.OK, subject, text)

    def _families_finding(self, scrape: AgentScrape) -> Finding:
        subject = f"{_SUBJECT}: agents"
        if not scrape.agents and self.statistics_disabled:
            text = "coderd reports no agents: Coder's usage statistics are disabled."
            return Finding(Level.WARNING, subject, text, STATISTICS_SWITCH)
        if not scrape.agents:
            text = "Agent statistics are enabled, but coderd reports no agents."
            advice = "Connect to a workspace and check again after two minutes: coderd omits idle agents."
            return Finding(Level.WARNING, subject, text, advice)
        missing = [
            description
            for name, description in _EXPECTED_FAMILIES.items()
            if f"coderd_agentstats_{name}" not in scrape.families
        ]
        sessions = {name for name in scrape.families if name.startswith("coderd_agentstats_session_count")}
        if missing or not sessions or scrape.invalid_values:
            names = ", ".join([*missing, *([] if sessions else ["sessions"])]) or "none"
            text = f"{len(scrape.agents)} agents; missing: {names}; {scrape.invalid_values} invalid values."
            advice = "Check that no proxy removes metric families from the metrics address."
            return Finding(Level.WARNING, subject, text, advice)
        grouping = "by client" if "coderd_agentstats_session_count" in sessions else "by app family"
        text = f"{len(scrape.agents)} agents with latency, connections, bytes and sessions {grouping}."
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
        """Return whether Coder measured no connection in the last 15 minutes."""
        try:
            stats = await self.client.deployment_stats()
        except (UpstreamError, SecretError):
            return False
        return stats.workspaces.p50_seconds is None


def _source_error_finding(error: AgentStatsError) -> Finding:
    """Return the problem of an error, whose last sentence is the advice."""
    text, _, advice = str(error).rpartition(". ")
    return Finding(Level.PROBLEM, _SUBJECT, f"{text}.", advice)


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
    subject, matched = f"{_SUBJECT}: templates", len(scrape.agents) - len(unmatched)
    text = f"{matched} of {len(scrape.agents)} agents belong to a visible workspace."
    if not unmatched:
        return Finding(Level.OK, subject, text)
    advice = (
        "Give the account the role template-admin, which sees workspaces of other users. "
        "Reports of other agents are not counted."
    )
    return Finding(Level.WARNING if matched else Level.PROBLEM, subject, text, advice)


def _freshness_finding(
    scrape: AgentScrape, workspaces: Sequence[models.Workspace], *, stale: bool
) -> Finding:
    """Return whether reported agents are in use; otherwise the scrape holds old values."""
    subject = f"{_SUBJECT}: freshness"
    connected = {
        (workspace.owner_name, workspace.name, agent.name)
        for workspace, agent in connected_agents(workspaces)
    }
    count = sum(agent in connected for agent in scrape.agents)
    text = f"{count} of {len(scrape.agents)} reported agents are connected to Coder."
    if count and not stale:
        return Finding(Level.OK, subject, text)
    return Finding(
        Level.WARNING,
        subject,
        f"{text} None is in use, so coderd repeats the last values.",
        "Connect to a workspace for new values. Repeated values are counted once, and dropped after 150 s.",
    )
