"""What Coder has to tell: statistics, dates, workspaces, agents, latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from statistics import median

from insights_exporter.check.access import failed_finding
from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.coder import models, time_ranges
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.time_ranges import Window
from insights_exporter.config.settings import Settings
from insights_exporter.errors import InsightsDisabled, NotFoundOrForbidden, SecretError, UpstreamError

__all__ = ["DataCheck"]

HIGH_LATENCY = 0.3
"""Seconds from which on a round trip to an agent's own preferred relay is bad for everybody."""

IMPLAUSIBLE_LATENCY = 10.0
"""Seconds that no connection takes that anybody works through."""

_MIN_MEASURED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class DataCheck:
    """Looks at what Coder tells."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what is found."""
        yield await self._check_templates()
        week = time_ranges.last_days(self.clock.now(), 7, self.settings.insights.utc_offset)
        async for finding in self._check_insights(week):
            yield finding
        async for finding in self._check_workspaces():
            yield finding
        yield await self._check_latency(week)

    async def _check_templates(self) -> Finding:
        try:
            templates = await self.client.templates()
        except (UpstreamError, SecretError) as error:
            return failed_finding("templates", error)
        if not templates:
            return Finding(
                Level.PROBLEM,
                "templates",
                "No template is visible.",
                "Give the account the role template-admin, or make a template.",
            )
        deprecated = sum(template.deprecated for template in templates)
        return Finding(
            Level.OK, "templates", f"{len(templates)} are visible, {deprecated} of them deprecated."
        )

    async def _check_insights(self, week: Window) -> AsyncIterator[Finding]:
        try:
            response = await self.client.template_insights(week.start, week.end)
        except InsightsDisabled:
            yield Finding(
                Level.PROBLEM,
                "statistics",
                "Coder's collection of usage statistics is switched off.",
                "Start Coder without CODER_STATS_COLLECTION_USAGE_STATS_ENABLE=false.",
            )
            return
        except NotFoundOrForbidden as error:
            yield Finding(
                Level.PROBLEM,
                "statistics",
                str(error),
                "Give the account view_insights on templates: the role auditor or template-admin.",
            )
            return
        except (UpstreamError, SecretError) as error:
            yield failed_finding("statistics", error)
            return
        yield Finding(Level.OK, "statistics", "Coder collects usage statistics.")
        yield self._date_range_finding(week, response.report)

    def _date_range_finding(self, week: Window, report: models.TemplateReport | None) -> Finding:
        users = None if report is None else report.active_users
        dates = f"from {week.start:%Y-%m-%d} to {week.end:%Y-%m-%d %H:%M}"
        if users:
            return Finding(Level.OK, "date range", f"{users} users were active {dates}.")
        return Finding(
            Level.WARNING,
            "date range",
            f"Nobody was active {dates}.",
            "Connect to a workspace; creating one does not count. Numbers follow after a few minutes.",
        )

    async def _check_workspaces(self) -> AsyncIterator[Finding]:
        try:
            workspaces = await self.client.workspaces()
        except (UpstreamError, SecretError) as error:
            yield failed_finding("workspaces", error)
            return
        running = [item for item in workspaces if item.latest_build.status == "running"]
        text = f"{len(running)} of {len(workspaces)} workspaces run."
        if not workspaces:
            yield Finding(
                Level.WARNING,
                "workspaces",
                "No workspace is visible.",
                "Give the account the role template-admin: Coder shows an auditor no workspaces of others.",
            )
            return
        yield Finding(Level.OK, "workspaces", text)
        agents = [agent for workspace in running for agent in workspace.agents]
        yield _agents_finding(agents)
        yield self._agent_versions_finding([agent for agent in agents if agent.status == "connected"])
        yield _apps_finding(agents)
        yield _relays_finding(agents)

    def _agent_versions_finding(self, agents: Sequence[models.Agent]) -> Finding:
        server = self.client.version
        if server is None or not agents:
            return Finding(Level.OK, "agent versions", "There is nothing to compare.")
        outdated = [
            agent
            for agent in agents
            if agent.version and agent.version.partition("+")[0] != _release_version(str(server))
        ]
        if not outdated:
            return Finding(Level.OK, "agent versions", f"All {len(agents)} agents run the server's version.")
        common_versions = ", ".join(
            f"{version} ({n})" for version, n in Counter(agent.version for agent in outdated).most_common(3)
        )
        return Finding(
            Level.WARNING,
            "agent versions",
            f"{len(outdated)} of {len(agents)} connected agents run another version than {server}: {common_versions}.",
            "Restart or update these workspaces; older agents may not report every app.",
        )

    async def _check_latency(self, week: Window) -> Finding:
        try:
            report = await self.client.user_latency(week.start, week.end)
        except (UpstreamError, SecretError) as error:
            return failed_finding("latency", error)
        return _latency_sanity(report.users)


def _release_version(version: str) -> str:
    return version.partition("+")[0]


def _agents_finding(agents: Sequence[models.Agent]) -> Finding:
    disconnected = [agent for agent in agents if agent.status != "connected"]
    if not agents:
        return Finding(
            Level.WARNING, "agents", "No workspace runs, so no agent reports.", "Start a workspace."
        )
    if not disconnected:
        return Finding(Level.OK, "agents", f"All {len(agents)} agents of running workspaces are connected.")
    states = ", ".join(
        f"{n} {state}" for state, n in Counter(one.status for one in disconnected).most_common()
    )
    return Finding(
        Level.WARNING,
        "agents",
        f"{len(disconnected)} of {len(agents)} agents of running workspaces are not connected: {states}.",
        "Look whether these workspaces reach Coder's access URL.",
    )


def _apps_finding(agents: Sequence[models.Agent]) -> Finding:
    unhealthy = Counter(app.slug for agent in agents for app in agent.apps if app.health == "unhealthy")
    if not unhealthy:
        return Finding(Level.OK, "apps", "No app of a running workspace is unhealthy.")
    slugs = ", ".join(f"{slug} ({n})" for slug, n in unhealthy.most_common(5))
    return Finding(
        Level.WARNING,
        "apps",
        f"Unhealthy apps: {slugs}.",
        "Look at these apps' settings in the template; their usage is not counted.",
    )


def _relays_finding(agents: Sequence[models.Agent]) -> Finding:
    preferred = [
        (region, relay.seconds)
        for agent in agents
        for region, relay in agent.latency.items()
        if relay.preferred and relay.seconds is not None
    ]
    if not preferred:
        return Finding(Level.OK, "relays", "No agent tells of a relay.")
    slow_regions = Counter(region for region, seconds in preferred if seconds >= HIGH_LATENCY)
    if not slow_regions:
        slowest = max(seconds for _, seconds in preferred)
        return Finding(Level.OK, "relays", f"Agents reach their relays within {slowest * 1000:.0f} ms.")
    regions = ", ".join(sorted(slow_regions))
    return Finding(
        Level.WARNING,
        "relays",
        f"{slow_regions.total()} agents need {HIGH_LATENCY * 1000:.0f} ms or more to their relay: {regions}.",
        "Look at the DERP relays, and whether workspaces could reach a nearer one.",
    )


def _latency_sanity(users: Sequence[models.UserLatency]) -> Finding:
    measured = [user.p50_seconds for user in users if user.p50_seconds is not None]
    if not users:
        return Finding(Level.OK, "latency", "Nobody connected in the last seven days.")
    if len(measured) < _MIN_MEASURED_SHARE * len(users):
        return Finding(
            Level.WARNING,
            "latency",
            f"Only {len(measured)} of {len(users)} users have a measured latency.",
            "Look whether agents reach Coder; browsers' apps alone give no latency.",
        )
    median_latency = median(measured)
    if max(measured) >= IMPLAUSIBLE_LATENCY:
        return Finding(
            Level.WARNING,
            "latency",
            f"Somebody's median latency is {max(measured):.0f} s.",
            "Look at the network between clients and workspaces, and at clocks of agents.",
        )
    if median_latency >= HIGH_LATENCY:
        return Finding(
            Level.WARNING,
            "latency",
            f"Half of the users wait {median_latency * 1000:.0f} ms or more.",
            "Look whether direct connections fail, and whether DERP relays work.",
        )
    return Finding(
        Level.OK,
        "latency",
        f"The middle of {len(measured)} users' median latencies is {median_latency * 1000:.0f} ms.",
    )
