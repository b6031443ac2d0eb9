"""Checks of Coder's data: templates, statistics, workspaces, agents, apps, relays, groups and latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from insights_exporter.check.api_time import ApiTimeCheck
from insights_exporter.check.finding import STATISTICS_SWITCH, Finding, Level, failed_finding
from insights_exporter.clock import Clock
from insights_exporter.coder import models, time_ranges
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.time_ranges import Window
from insights_exporter.config.settings import Settings
from insights_exporter.config.teams import load_teams
from insights_exporter.errors import (
    Forbidden,
    InsightsDisabled,
    NotFoundOrForbidden,
    SecretError,
    UnsupportedEndpoint,
    UpstreamError,
)
from insights_exporter.metrics.catalogue import LATENCY_SLOW

__all__ = [
    "DataCheck",
    "agents_finding",
    "apps_finding",
    "connected_agents",
    "latency_finding",
    "relays_finding",
]

IMPLAUSIBLE_LATENCY: Final = 10.0
"""Round trip in seconds that only a measurement error explains."""

MAX_TEMPLATE_QUERIES: Final = 20
"""Requests for single templates if the account cannot read insights of the whole deployment."""

_MIN_MEASURED_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Scope:
    """The templates whose insights the account can read; no ids mean the whole deployment."""

    template_ids: tuple[str, ...] = ()
    report: models.TemplateReport | None = None


@dataclass(frozen=True, slots=True)
class DataCheck:
    """Checks the data that the exporter would read."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield a finding for each kind of data."""
        templates, finding = await self._check_templates()
        yield finding
        week = time_ranges.last_days(self.clock.now(), 7, self.settings.insights.utc_offset)
        scope: _Scope | None = None
        try:
            scope = await self._insights_scope(week, templates)
        except (InsightsDisabled, NotFoundOrForbidden, UpstreamError, SecretError) as error:
            yield _statistics_problem(error)
        if scope is not None:
            for finding in _statistics_findings(scope, templates, week):
                yield finding
        started_at = self.clock.monotonic()
        async for finding in self._check_workspaces():
            yield finding
        if scope is not None and not scope.template_ids:
            check = ApiTimeCheck(self.client, self.settings, self.clock)
            yield await check.run(workspaces_seconds=self.clock.monotonic() - started_at)
        yield await self._check_groups()
        if scope is not None:
            yield await self._check_latency(week, scope.template_ids)

    async def _check_templates(self) -> tuple[list[models.Template], Finding]:
        try:
            templates = await self.client.templates()
        except (UpstreamError, SecretError) as error:
            return [], failed_finding("templates", error)
        if not templates:
            advice = "Give the account the role auditor or template-admin, or create a template."
            return [], Finding(Level.PROBLEM, "templates", "No template is visible.", advice)
        deprecated = sum(template.deprecated for template in templates)
        text = f"Visible templates: {len(templates)}, deprecated: {deprecated}."
        return templates, Finding(Level.OK, "templates", text)

    async def _insights_scope(self, week: Window, templates: Sequence[models.Template]) -> _Scope:
        """Return the templates with readable insights: roles in an organization permit only those.

        Raise the error of the deployment's request if no template is readable either.
        """
        try:
            response = await self.client.template_insights(week.start, week.end)
        except NotFoundOrForbidden:
            readable = await self._readable_template_ids(week, templates)
            if not readable:
                raise
            response = await self.client.template_insights(week.start, week.end, template_ids=readable)
            return _Scope(readable, response.report)
        return _Scope((), response.report)

    async def _readable_template_ids(
        self, week: Window, templates: Sequence[models.Template]
    ) -> tuple[str, ...]:
        """Ask for each organization's templates at once, and for single ones if that is refused."""
        by_organization: dict[str, list[str]] = {}
        for template in templates:
            by_organization.setdefault(template.organization_id, []).append(template.id)
        readable: list[str] = []
        refused: list[str] = []
        for ids in by_organization.values():
            (readable if await self._is_readable(week, ids) else refused).extend(ids)
        single = refused[:MAX_TEMPLATE_QUERIES]
        return (*readable, *[item for item in single if await self._is_readable(week, [item])])

    async def _is_readable(self, week: Window, template_ids: Sequence[str]) -> bool:
        try:
            await self.client.template_insights(week.start, week.end, template_ids=template_ids)
        except NotFoundOrForbidden:
            return False
        return True

    async def _check_workspaces(self) -> AsyncIterator[Finding]:
        try:
            workspaces = await self.client.workspaces()
        except (UpstreamError, SecretError) as error:
            yield failed_finding("workspaces", error)
            return
        if not workspaces:
            advice = "Give the account the role template-admin: an auditor sees no workspaces of other users."
            yield Finding(Level.WARNING, "workspaces", "No workspace is visible.", advice)
            return
        running = [item for item in workspaces if item.latest_build.status == "running"]
        yield Finding(Level.OK, "workspaces", f"{len(running)} of {len(workspaces)} workspaces are running.")
        agents = [agent for workspace in running for agent in workspace.agents]
        yield agents_finding(agents)
        yield self._agent_versions_finding([agent for agent in agents if agent.status == "connected"])
        yield apps_finding(agents)
        yield relays_finding(agents)

    async def _check_groups(self) -> Finding:
        file = self.settings.teams.file
        teams = f" {file} has {len(load_teams(file))} teams." if file is not None else ""
        try:
            groups = await self.client.groups()
        except (Forbidden, NotFoundOrForbidden, UnsupportedEndpoint):
            # Most deployments have no licence, so this needs no action.
            text = "Coder has no groups for this account: they need a Premium licence."
            return Finding(Level.OK, "groups", text + (teams or " teams.file can map users to teams."))
        except (UpstreamError, SecretError) as error:
            return failed_finding("groups", error)
        hidden = [group for group in groups if group.total_member_count > len(group.members)]
        if hidden:
            text = f"The members of {len(hidden)} of {len(groups)} groups are not readable.{teams}"
            advice = "Give the account the role auditor or template-admin."
            return Finding(Level.WARNING, "groups", text, advice)
        return Finding(Level.OK, "groups", f"Visible groups: {len(groups)}.{teams}")

    def _agent_versions_finding(self, agents: Sequence[models.Agent]) -> Finding:
        subject, server = "agent versions", self.client.version
        if server is None or not agents:
            return Finding(Level.OK, subject, "No agent is connected.")
        outdated = Counter(
            agent.version
            for agent in agents
            if agent.version and _release_version(agent.version) != _release_version(str(server))
        )
        if not outdated:
            return Finding(Level.OK, subject, f"All {len(agents)} agents have the server's version.")
        versions = ", ".join(f"{version} ({count})" for version, count in outdated.most_common(3))
        return Finding(
            Level.WARNING,
            subject,
            f"{outdated.total()} of {len(agents)} connected agents have another version than {server}: "
            f"{versions}.",
            "Restart or update these workspaces. Older agents can lack app usage.",
        )

    async def _check_latency(self, week: Window, template_ids: Sequence[str]) -> Finding:
        try:
            report = await self.client.user_latency(week.start, week.end, template_ids=template_ids)
        except (UpstreamError, SecretError) as error:
            return failed_finding("latency", error)
        return latency_finding(report.users)


def connected_agents(
    workspaces: Sequence[models.Workspace],
) -> Iterator[tuple[models.Workspace, models.Agent]]:
    """Yield the connected agents of running workspaces."""
    for workspace in workspaces:
        if workspace.latest_build.status == "running":
            yield from ((workspace, agent) for agent in workspace.agents if agent.status == "connected")


def _statistics_problem(error: UpstreamError | SecretError) -> Finding:
    if isinstance(error, InsightsDisabled):
        text = "Coder's collection of usage statistics is disabled. Insights and agent reports are missing."
        return Finding(Level.PROBLEM, "statistics", text, STATISTICS_SWITCH)
    if isinstance(error, NotFoundOrForbidden):
        advice = (
            "Give the account view_insights on templates: the role auditor (read-only) or template-admin."
        )
        return Finding(Level.PROBLEM, "statistics", str(error), advice)
    return failed_finding("statistics", error)


def _statistics_findings(
    scope: _Scope, templates: Sequence[models.Template], week: Window
) -> Iterator[Finding]:
    if scope.template_ids:
        names = {template.id: template.organization_name for template in templates}
        organizations = sorted({names[template_id] for template_id in scope.template_ids})
        yield Finding(
            Level.WARNING,
            "statistics",
            f"Insights of {len(scope.template_ids)} of {len(templates)} templates are readable, "
            f"in {', '.join(organizations)}; those of the whole deployment are not.",
            "Give the account the site-wide role auditor or template-admin, or accept that series of other "
            "templates and of the whole deployment are missing.",
        )
    else:
        yield Finding(Level.OK, "statistics", "Coder collects usage statistics.")
    users = None if scope.report is None else scope.report.active_users
    dates = f"from {week.start:%Y-%m-%d} to {week.end:%Y-%m-%d %H:%M}"
    if users:
        yield Finding(Level.OK, "date range", f"{users} active users {dates}.")
        return
    advice = (
        "Connect to a workspace; its creation does not count as activity. Data follows after some minutes."
    )
    yield Finding(Level.WARNING, "date range", f"No active users {dates}.", advice)


def _release_version(version: str) -> str:
    return version.partition("+")[0]


def agents_finding(agents: Sequence[models.Agent]) -> Finding:
    """Return how many agents of running workspaces are connected."""
    states = Counter(agent.status for agent in agents)
    connected = states.pop("connected", 0)
    if not agents:
        return Finding(Level.WARNING, "agents", "No running workspace has an agent.", "Start a workspace.")
    if connected == len(agents):
        return Finding(Level.OK, "agents", f"All {len(agents)} agents of running workspaces are connected.")
    return Finding(
        Level.WARNING,
        "agents",
        f"{states.total()} of {len(agents)} agents of running workspaces are not connected: "
        f"{_counts(states)}.",
        "Check that these workspaces reach Coder's access URL.",
    )


def _counts(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(counter).most_common())


def apps_finding(agents: Sequence[models.Agent]) -> Finding:
    """Return the unhealthy apps of running workspaces."""
    unhealthy = Counter(app.slug for agent in agents for app in agent.apps if app.health == "unhealthy")
    if not unhealthy:
        return Finding(Level.OK, "apps", "No app of a running workspace is unhealthy.")
    slugs = ", ".join(f"{slug} ({count})" for slug, count in unhealthy.most_common(5))
    advice = "Check the health checks of these apps in the template. Usage of unhealthy apps is not counted."
    return Finding(Level.WARNING, "apps", f"Unhealthy apps: {slugs}.", advice)


def relays_finding(agents: Sequence[models.Agent]) -> Finding:
    """Return the latency of agents to their preferred DERP relays."""
    preferred = [
        (region, relay.seconds)
        for agent in agents
        for region, relay in agent.latency.items()
        if relay.preferred and relay.seconds is not None
    ]
    if not preferred:
        return Finding(Level.OK, "relays", "No agent reports the latency to a DERP relay.")
    slow_regions = Counter(region for region, seconds in preferred if seconds >= LATENCY_SLOW)
    if not slow_regions:
        slowest = max(seconds for _, seconds in preferred)
        text = f"The latency of agents to their DERP relays is at most {slowest * 1000:.0f} ms."
        return Finding(Level.OK, "relays", text)
    limit, regions = f"{LATENCY_SLOW * 1000:.0f} ms", ", ".join(sorted(slow_regions))
    text = f"{slow_regions.total()} agents have a latency of {limit} or more to their DERP relay: {regions}."
    return Finding(Level.WARNING, "relays", text, "Add a DERP relay closer to these workspaces.")


def latency_finding(users: Sequence[models.UserLatency]) -> Finding:
    """Return whether users have a measured, plausible and low latency."""
    measured = [user.p50_seconds for user in users if user.p50_seconds is not None]
    if not users:
        return Finding(Level.OK, "latency", "No user connected in the last seven days.")
    if len(measured) < _MIN_MEASURED_SHARE * len(users):
        text = f"{len(measured)} of {len(users)} users have a measured latency."
        advice = "Check that agents reach Coder. Web apps alone give no latency."
        return Finding(Level.WARNING, "latency", text, advice)
    median_latency = median(measured)
    if max(measured) >= IMPLAUSIBLE_LATENCY:
        text = f"The highest median latency of a user is {max(measured):.0f} s."
        advice = "Check the network between clients and workspaces, and the clocks of agents."
        return Finding(Level.WARNING, "latency", text, advice)
    text = f"The median of {len(measured)} users' median latencies is {median_latency * 1000:.0f} ms."
    if median_latency >= LATENCY_SLOW:
        advice = "Check direct connections and DERP relays."
        return Finding(Level.WARNING, "latency", text, advice)
    return Finding(Level.OK, "latency", text)
