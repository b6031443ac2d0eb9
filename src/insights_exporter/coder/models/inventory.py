"""Responses of the inventory endpoints: templates, parameters, workspaces and their agents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct, field

from insights_exporter.coder.models.fields import (
    Count,
    Id,
    Milliseconds,
    Text,
    Time,
    check_times,
    none_if_zero_time,
    to_seconds,
)

__all__ = [
    "Agent",
    "AgentHealth",
    "App",
    "Build",
    "BuildTime",
    "Group",
    "GroupMember",
    "Job",
    "ParameterOption",
    "RelayLatency",
    "Resource",
    "RichParameter",
    "Template",
    "Workspace",
    "WorkspaceHealth",
    "WorkspacesPage",
]


class BuildTime(Struct, frozen=True, gc=False):
    """Durations of the last hundred builds in milliseconds; the keys are upper case here."""

    p50: Milliseconds | None = field(name="P50", default=None)
    p95: Milliseconds | None = field(name="P95", default=None)

    @property
    def p50_seconds(self) -> float | None:
        """The median in seconds; None without builds."""
        return to_seconds(self.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile in seconds; None without builds."""
        return to_seconds(self.p95)


class Template(Struct, frozen=True, gc=False):
    """A template; ``build_time_stats`` is keyed by transition: start, stop, delete."""

    id: Id
    name: Text
    organization_id: Text = ""
    organization_name: Text = ""
    organization_display_name: Text = ""
    display_name: Text = ""
    icon: Text = ""
    active_version_id: Text = ""
    created_at: Time | None = None
    deprecated: bool = False
    deleted: bool = False
    build_time_stats: dict[str, BuildTime] = {}

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.created_at)


class RelayLatency(Struct, frozen=True, gc=False):
    """Round-trip time between an agent and a DERP relay."""

    preferred: bool = False
    latency_ms: Milliseconds = -1

    @property
    def seconds(self) -> float | None:
        """The round-trip time; None without a measurement."""
        return to_seconds(self.latency_ms)


class App(Struct, frozen=True, gc=False):
    """An app of an agent."""

    id: Text = ""
    slug: Text = ""
    display_name: Text = ""
    icon: Text = ""
    health: Text = ""
    external: bool = False


class AgentHealth(Struct, frozen=True, gc=False):
    """Health of an agent's startup and connection."""

    healthy: bool = True
    reason: Text = ""


class Agent(Struct, frozen=True, gc=False):
    """An agent of a workspace; ``latency`` is keyed by relay name."""

    id: Id
    name: Text = ""
    status: Text = ""
    version: Text = ""
    health: AgentHealth = AgentHealth()
    latency: dict[str, RelayLatency] = {}
    apps: list[App] = []


class Resource(Struct, frozen=True, gc=False):
    """A resource of a build, with its agents."""

    agents: list[Agent] = []


class Job(Struct, frozen=True, gc=False):
    """The provisioner job of a build."""

    status: Text = ""


class Build(Struct, frozen=True, gc=False):
    """The latest build of a workspace; ``status`` combines transition and status of the job."""

    status: Text = ""
    transition: Text = ""
    created_at: Time | None = None
    deadline: Time | None = None
    daily_cost: Count = 0
    job: Job = Job()
    resources: list[Resource] = []

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.created_at, self.deadline)


class WorkspaceHealth(Struct, frozen=True, gc=False):
    """Health of all agents of a workspace."""

    healthy: bool = True


class Workspace(Struct, frozen=True, gc=False):
    """A workspace with its latest build."""

    id: Id
    name: Text = ""
    owner_name: Text = ""
    organization_id: Text = ""
    organization_name: Text = ""
    template_id: Text = ""
    template_name: Text = ""
    outdated: bool = False
    is_prebuild: bool = False
    last_used_at: Time | None = None
    dormant_at: Time | None = None
    deleting_at: Time | None = None
    health: WorkspaceHealth = WorkspaceHealth()
    latest_build: Build = Build()

    def __post_init__(self) -> None:
        """Reject implausible dates."""
        check_times(self.last_used_at, self.dormant_at, self.deleting_at)

    @property
    def last_used(self) -> datetime | None:
        """When the workspace was last used; None for never."""
        return none_if_zero_time(self.last_used_at)

    @property
    def agents(self) -> Iterator[Agent]:
        """All agents of the latest build."""
        for resource in self.latest_build.resources:
            yield from resource.agents


class WorkspacesPage(Struct, frozen=True, gc=False):
    """``/workspaces``; ``count`` is the number of all workspaces."""

    workspaces: list[Workspace]
    count: Count | None = None


class ParameterOption(Struct, frozen=True, gc=False):
    """A value that a template offers for a parameter."""

    name: Text = ""
    value: Text = ""
    description: Text = ""
    icon: Text = ""


class RichParameter(Struct, frozen=True, gc=False):
    """A parameter as a template version declares it."""

    name: Text
    display_name: Text = ""
    type: Text = ""
    icon: Text = ""
    default_value: Text = ""
    options: list[ParameterOption] = []


class GroupMember(Struct, frozen=True, gc=False):
    """A member of a group."""

    id: Id
    username: Text = ""


class Group(Struct, frozen=True, gc=False):
    """A group of an organization; the group of all its members has the organization's id.

    ``total_member_count`` includes members that the account may not read.
    """

    id: Id
    name: Text = ""
    display_name: Text = ""
    organization_id: Text = ""
    organization_name: Text = ""
    members: list[GroupMember] = []
    total_member_count: Count = 0
    quota_allowance: Count = 0
