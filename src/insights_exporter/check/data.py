"""What Coder has to tell: statistics, dates, workspaces, agents, latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from statistics import median

from insights_exporter.check.access import blocked
from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.coder import responses, windows
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.windows import Window
from insights_exporter.errors import InsightsDisabled, NotPermitted, SecretError, UpstreamError
from insights_exporter.settings import Settings

__all__ = ["Data"]

FAR_RELAY = 0.3
"""Seconds from which on a round trip to an agent's own preferred relay is bad for everybody."""

ABSURD = 10.0
"""Seconds that no connection takes that anybody works through."""

_SUSPECT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Data:
    """Looks at what Coder tells."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what is found."""
        yield await self._templates()
        week = windows.last_days(self.clock.now(), 7, self.settings.insights.utc_offset)
        async for finding in self._insights(week):
            yield finding
        async for finding in self._workspaces():
            yield finding
        yield await self._latency(week)

    async def _templates(self) -> Finding:
        try:
            found = await self.client.templates()
        except (UpstreamError, SecretError) as error:
            return blocked("templates", error)
        if not found:
            return Finding(
                Level.PROBLEM,
                "templates",
                "No template is visible.",
                "Give the account the role template-admin, or make a template.",
            )
        deprecated = sum(template.deprecated for template in found)
        return Finding(Level.OK, "templates", f"{len(found)} are visible, {deprecated} of them deprecated.")

    async def _insights(self, week: Window) -> AsyncIterator[Finding]:
        try:
            answer = await self.client.template_insights(week.start, week.end)
        except InsightsDisabled:
            yield Finding(
                Level.PROBLEM,
                "statistics",
                "Coder's collection of usage statistics is switched off.",
                "Start Coder without CODER_STATS_COLLECTION_USAGE_STATS_ENABLE=false.",
            )
            return
        except NotPermitted as error:
            yield Finding(
                Level.PROBLEM,
                "statistics",
                str(error),
                "Give the account view_insights on templates: the role auditor or template-admin.",
            )
            return
        except (UpstreamError, SecretError) as error:
            yield blocked("statistics", error)
            return
        yield Finding(Level.OK, "statistics", "Coder collects usage statistics.")
        yield self._range(week, answer.report)

    def _range(self, week: Window, report: responses.TemplateReport | None) -> Finding:
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

    async def _workspaces(self) -> AsyncIterator[Finding]:
        try:
            found = await self.client.workspaces()
        except (UpstreamError, SecretError) as error:
            yield blocked("workspaces", error)
            return
        running = [one for one in found if one.latest_build.status == "running"]
        text = f"{len(running)} of {len(found)} workspaces run."
        if not found:
            yield Finding(
                Level.WARNING,
                "workspaces",
                "No workspace is visible.",
                "Give the account the role template-admin: Coder shows an auditor no workspaces of others.",
            )
            return
        yield Finding(Level.OK, "workspaces", text)
        agents = [agent for workspace in running for agent in workspace.agents]
        yield _connected(agents)
        yield self._current([agent for agent in agents if agent.status == "connected"])
        yield _apps(agents)
        yield _relays(agents)

    def _current(self, agents: Sequence[responses.Agent]) -> Finding:
        server = self.client.version
        if server is None or not agents:
            return Finding(Level.OK, "agent versions", "There is nothing to compare.")
        old = [
            one for one in agents if one.version and one.version.partition("+")[0] != _release(str(server))
        ]
        if not old:
            return Finding(Level.OK, "agent versions", f"All {len(agents)} agents run the server's version.")
        newest = ", ".join(
            f"{version} ({n})" for version, n in Counter(one.version for one in old).most_common(3)
        )
        return Finding(
            Level.WARNING,
            "agent versions",
            f"{len(old)} of {len(agents)} connected agents run another version than {server}: {newest}.",
            "Restart or update these workspaces; older agents may not report every app.",
        )

    async def _latency(self, week: Window) -> Finding:
        try:
            report = await self.client.user_latency(week.start, week.end)
        except (UpstreamError, SecretError) as error:
            return blocked("latency", error)
        return _sane(report.users)


def _release(version: str) -> str:
    return version.partition("+")[0]


def _connected(agents: Sequence[responses.Agent]) -> Finding:
    lost = [agent for agent in agents if agent.status != "connected"]
    if not agents:
        return Finding(
            Level.WARNING, "agents", "No workspace runs, so no agent reports.", "Start a workspace."
        )
    if not lost:
        return Finding(Level.OK, "agents", f"All {len(agents)} agents of running workspaces are connected.")
    states = ", ".join(f"{n} {state}" for state, n in Counter(one.status for one in lost).most_common())
    return Finding(
        Level.WARNING,
        "agents",
        f"{len(lost)} of {len(agents)} agents of running workspaces are not connected: {states}.",
        "Look whether these workspaces reach Coder's access URL.",
    )


def _apps(agents: Sequence[responses.Agent]) -> Finding:
    ill = Counter(app.slug for agent in agents for app in agent.apps if app.health == "unhealthy")
    if not ill:
        return Finding(Level.OK, "apps", "No app of a running workspace is unhealthy.")
    named = ", ".join(f"{slug} ({n})" for slug, n in ill.most_common(5))
    return Finding(
        Level.WARNING,
        "apps",
        f"Unhealthy apps: {named}.",
        "Look at these apps' settings in the template; their usage is not counted.",
    )


def _relays(agents: Sequence[responses.Agent]) -> Finding:
    preferred = [
        (region, relay.seconds)
        for agent in agents
        for region, relay in agent.latency.items()
        if relay.preferred and relay.seconds is not None
    ]
    if not preferred:
        return Finding(Level.OK, "relays", "No agent tells of a relay.")
    far = Counter(region for region, seconds in preferred if seconds >= FAR_RELAY)
    if not far:
        slowest = max(seconds for _, seconds in preferred)
        return Finding(Level.OK, "relays", f"Agents reach their relays within {slowest * 1000:.0f} ms.")
    regions = ", ".join(sorted(far))
    return Finding(
        Level.WARNING,
        "relays",
        f"{far.total()} agents need {FAR_RELAY * 1000:.0f} ms or more to their relay: {regions}.",
        "Look at the DERP relays, and whether workspaces could reach a nearer one.",
    )


def _sane(users: Sequence[responses.UserLatency]) -> Finding:
    known = [one.p50_seconds for one in users if one.p50_seconds is not None]
    if not users:
        return Finding(Level.OK, "latency", "Nobody connected in the last seven days.")
    if len(known) < _SUSPECT_SHARE * len(users):
        return Finding(
            Level.WARNING,
            "latency",
            f"Only {len(known)} of {len(users)} users have a measured latency.",
            "Look whether agents reach Coder; browsers' apps alone give no latency.",
        )
    middle = median(known)
    if max(known) >= ABSURD:
        return Finding(
            Level.WARNING,
            "latency",
            f"Somebody's median latency is {max(known):.0f} s.",
            "Look at the network between clients and workspaces, and at clocks of agents.",
        )
    if middle >= FAR_RELAY:
        return Finding(
            Level.WARNING,
            "latency",
            f"Half of the users wait {middle * 1000:.0f} ms or more.",
            "Look whether direct connections fail, and whether DERP relays work.",
        )
    return Finding(
        Level.OK, "latency", f"The middle of {len(known)} users' median latencies is {middle * 1000:.0f} ms."
    )
