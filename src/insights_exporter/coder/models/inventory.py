"""What the deployment holds: templates, their parameters, and workspaces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct, field

from insights_exporter.coder.models.fields import (
    Count,
    Id,
    Milliseconds,
    OptionalCount,
    Text,
    Time,
    none_if_zero_time,
    to_seconds,
)

__all__ = [
    "Agent",
    "AgentHealth",
    "App",
    "Build",
    "BuildTime",
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
    """Milliseconds of the last hundred builds; the wire spells the keys in capitals."""

    p50: Milliseconds | None = field(name="P50", default=None)
    p95: Milliseconds | None = field(name="P95", default=None)

    @property
    def p50_seconds(self) -> float | None:
        """Half of the builds took at most this long; None without builds."""
        return to_seconds(self.p50)

    @property
    def p95_seconds(self) -> float | None:
        """95 % of the builds took at most this long; None without builds."""
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
    active_user_count: OptionalCount = -1
    build_time_stats: dict[str, BuildTime] = {}
    use_classic_parameter_flow: bool = True


class RelayLatency(Struct, frozen=True, gc=False):
    """Round trip between an agent and a relay."""

    preferred: bool = False
    latency_ms: Milliseconds = -1

    @property
    def seconds(self) -> float | None:
        """The round trip; None where it was not measured."""
        return to_seconds(self.latency_ms)


class App(Struct, frozen=True, gc=False):
    """An app of an agent."""

    id: Text = ""
    slug: Text = ""
    display_name: Text = ""
    icon: Text = ""
    health: Text = ""
    external: bool = False
    hidden: bool = False


class AgentHealth(Struct, frozen=True, gc=False):
    """Whether an agent's start and connection are as they should be."""

    healthy: bool = True
    reason: Text = ""


class Agent(Struct, frozen=True, gc=False):
    """An agent of a workspace; ``latency`` is keyed by the relay's name."""

    id: Id
    name: Text = ""
    status: Text = ""
    lifecycle_state: Text = ""
    version: Text = ""
    health: AgentHealth = AgentHealth()
    latency: dict[str, RelayLatency] = {}
    apps: list[App] = []


class Resource(Struct, frozen=True, gc=False):
    """A resource of a build, which agents live in."""

    agents: list[Agent] = []


class Build(Struct, frozen=True, gc=False):
    """A workspace's newest build."""

    status: Text = ""
    transition: Text = ""
    template_version_id: Text = ""
    template_version_name: Text = ""
    created_at: Time | None = None
    resources: list[Resource] = []


class WorkspaceHealth(Struct, frozen=True, gc=False):
    """Whether all agents of a workspace are healthy."""

    healthy: bool = True


class Workspace(Struct, frozen=True, gc=False):
    """A workspace with its newest build."""

    id: Id
    name: Text = ""
    owner_id: Text = ""
    owner_name: Text = ""
    organization_id: Text = ""
    organization_name: Text = ""
    template_id: Text = ""
    template_name: Text = ""
    template_active_version_id: Text = ""
    outdated: bool = False
    is_prebuild: bool = False
    last_used_at: Time | None = None
    dormant_at: Time | None = None
    health: WorkspaceHealth = WorkspaceHealth()
    latest_build: Build = Build()

    @property
    def last_used(self) -> datetime | None:
        """When the workspace was last used; None for never."""
        return none_if_zero_time(self.last_used_at)

    @property
    def agents(self) -> Iterator[Agent]:
        """All agents of the newest build."""
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
    description_plaintext: Text = ""
    icon: Text = ""
    ephemeral: bool = False
    mutable: bool = False
    default_value: Text = ""
    options: list[ParameterOption] = []
