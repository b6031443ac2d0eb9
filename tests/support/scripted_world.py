"""A world with agent reports that a test defines."""

# ruff: noqa: ARG002 # The data of the test does not depend on the time.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from insights_exporter.simulator.model import (
    Agent,
    AgentReport,
    Build,
    Organization,
    Template,
    User,
    Workspace,
)
from insights_exporter.simulator.usage import UserDay
from insights_exporter.simulator.world import World

__all__ = ["ORGANIZATION", "ScriptedWorld", "scripted_world", "template"]

ORGANIZATION = Organization("22222222-0000-4000-8000-000000000000", "coder", "Coder", is_default=True)


def template(number: int, name: str, organization: Organization = ORGANIZATION) -> Template:
    """Return a template without apps and parameters."""
    return Template(
        f"11111111-0000-4000-8000-{number:012x}",
        organization,
        name,
        f"33333333-0000-4000-8000-{number:012x}",
    )


@dataclass(slots=True)
class ScriptedWorld(World):
    """A world of given reports, workspaces, days and builds."""

    reports: list[AgentReport] = field(default_factory=list)
    scripted_workspaces: list[Workspace] = field(default_factory=list)
    usage_by_day: dict[date, list[UserDay]] = field(default_factory=dict)
    scripted_builds: list[Build] = field(default_factory=list)

    def usage_on(self, day: date) -> Iterable[UserDay]:
        """Return the usage of the day."""
        return self.usage_by_day.get(day, ())

    def workspaces(self, now: datetime) -> Sequence[Workspace]:
        """Return the workspaces."""
        return self.scripted_workspaces

    def builds(
        self, start: datetime, end: datetime, templates: frozenset[int] | None = None
    ) -> Iterable[Build]:
        """Return the builds of the range."""
        return [
            build
            for build in self.scripted_builds
            if start <= build.created_at < end
            and (templates is None or self.templates.index(build.template) in templates)
        ]

    def last_seen(self, user: int, now: datetime) -> datetime | None:
        """Return None."""
        return None

    def agent_reports(self, start: datetime, end: datetime) -> Iterator[AgentReport]:
        """Yield the reports of the range."""
        yield from (report for report in self.reports if start <= report.created_at < end)

    def add_workspace(
        self, name: str, *, owner: int = 0, template_index: int = 0, agents: tuple[str, ...] = ("main",)
    ) -> Workspace:
        """Add a running workspace with connected agents."""
        index = len(self.scripted_workspaces)
        workspace = Workspace(
            f"55555555-0000-4000-8000-{index:012x}",
            name,
            self.users[owner],
            self.templates[template_index],
            "running",
            "start",
            datetime(2026, 1, 1, tzinfo=UTC),
            agents=tuple(
                Agent(f"88888888-{number:04x}-4000-8000-{index:012x}", agent, "connected", "v2.35.1+5e7d2c4")
                for number, agent in enumerate(agents)
            ),
        )
        self.scripted_workspaces.append(workspace)
        return workspace

    def add_report(
        self,
        workspace: Workspace,
        created_at: datetime,
        *,
        latency_ms: float = 20.0,
        received: int = 100,
        sent: int = 50,
        connections: int = 1,
        agent: int = 0,
        sessions: dict[str, int] | None = None,
    ) -> None:
        """Add a report of an agent; the default is one SSH session."""
        self.reports.append(
            AgentReport(
                f"99999999-0000-4000-8000-{len(self.reports):012x}",
                created_at,
                workspace.owner.id,
                workspace.agents[agent].id,
                workspace.id,
                workspace.template.id,
                connections,
                latency_ms,
                received,
                sent,
                {"ssh": 1} if sessions is None else sessions,
            )
        )

    def add_report_every_half_minute(self, workspace: Workspace, start: datetime, minutes: int) -> None:
        """Add reports of an agent every 30 seconds with increasing bytes."""
        for index in range(2 * minutes):
            self.add_report(workspace, start + timedelta(seconds=30 * index), received=100 + index)


def scripted_world(*templates: Template, users: tuple[str, ...] = ("ada",)) -> ScriptedWorld:
    """Return a world without usage."""
    return ScriptedWorld(
        tuple({template.organization.id: template.organization for template in templates}.values()),
        templates,
        tuple(
            User(f"44444444-0000-4000-8000-{index:012x}", name, (ORGANIZATION.id,))
            for index, name in enumerate(users)
        ),
    )
