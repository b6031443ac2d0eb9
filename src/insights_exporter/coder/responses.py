"""Coder's answers: only the fields that are used, and blind to all others.

The fields are named as on the wire; what carries another unit or a sentinel there is read through a property
that speaks seconds and None. Bounds in the types refuse negative and absurd numbers while decoding.
Decoded answers hold no cycles, so the garbage collector need not follow them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, field

__all__ = [
    "Agent",
    "App",
    "AppUsage",
    "Build",
    "BuildInfo",
    "BuildTime",
    "DailyUsers",
    "DatabaseHealth",
    "DeploymentStats",
    "Entitlement",
    "Entitlements",
    "Health",
    "IntervalReport",
    "LatencyReport",
    "Organization",
    "ParameterOption",
    "ParameterUsage",
    "ParameterValue",
    "RelayLatency",
    "Resource",
    "RichParameter",
    "Role",
    "SectionHealth",
    "SessionCount",
    "StatusCount",
    "Template",
    "TemplateInsights",
    "TemplateReport",
    "Token",
    "User",
    "UserActivity",
    "UserActivityReport",
    "UserLatency",
    "Workspace",
    "WorkspaceStats",
    "seen",
]

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A number of things; above 2**53 a float could no longer hold it."""

CountOrUnknown: TypeAlias = Annotated[int, Meta(ge=-1, le=1 << 53)]
"""A number of things, or -1 where Coder does not know it."""

Milliseconds: TypeAlias = Annotated[float, Meta(ge=-1, le=1e12)]
"""A time in milliseconds; 0 or less says that nothing was measured."""

Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A moment with its offset; the year 1 stands for "never"."""

Text: TypeAlias = Annotated[str, Meta(max_length=1 << 20)]
"""Text of any sensible length."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
"""The identifier of a thing; without it a row cannot be used."""


def seen(moment: datetime | None) -> datetime | None:
    """Return the moment, or None where Coder's zero time stands for "never"."""
    return None if moment is None or moment.year <= 1 else moment


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None or milliseconds <= 0 else milliseconds / 1000


class BuildInfo(Struct, frozen=True, gc=False):
    """``/buildinfo``."""

    version: Text
    deployment_id: Text = ""
    dashboard_url: Text = ""
    external_url: Text = ""


class Role(Struct, frozen=True, gc=False):
    """A role of a user; without an organization it holds for the whole site."""

    name: Text
    organization_id: Text = ""


class User(Struct, frozen=True, gc=False):
    """A user of the deployment; the e-mail address is left where it is."""

    id: Id
    username: Text
    name: Text = ""
    avatar_url: Text = ""
    status: Text = ""
    login_type: Text = ""
    created_at: Time | None = None
    last_seen_at: Time | None = None
    organization_ids: list[Text] = []
    roles: list[Role] = []
    is_service_account: bool = False

    @property
    def last_seen(self) -> datetime | None:
        """When the user last used Coder; None for never."""
        return seen(self.last_seen_at)


class Token(Struct, frozen=True, gc=False):
    """A session token's record, without the token."""

    id: Id
    expires_at: Time | None = None
    token_name: Text = ""
    scope: Text = ""


class Organization(Struct, frozen=True, gc=False):
    """An organization that the account may read."""

    id: Id
    name: Text
    display_name: Text = ""
    icon: Text = ""
    is_default: bool = False


class BuildTime(Struct, frozen=True, gc=False):
    """Milliseconds of the last hundred builds; the wire spells the keys in capitals."""

    p50: Milliseconds | None = field(name="P50", default=None)
    p95: Milliseconds | None = field(name="P95", default=None)

    @property
    def p50_seconds(self) -> float | None:
        """Half of the builds took at most this long; None without builds."""
        return _seconds(self.p50)

    @property
    def p95_seconds(self) -> float | None:
        """95 % of the builds took at most this long; None without builds."""
        return _seconds(self.p95)


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
    active_user_count: CountOrUnknown = -1
    build_time_stats: dict[str, BuildTime] = {}
    use_classic_parameter_flow: bool = True


class RelayLatency(Struct, frozen=True, gc=False):
    """Round trip between an agent and a relay."""

    preferred: bool = False
    latency_ms: Milliseconds = 0

    @property
    def seconds(self) -> float | None:
        """The round trip; None where it was not measured."""
        return _seconds(self.latency_ms)


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
        return seen(self.last_used_at)

    @property
    def agents(self) -> Iterator[Agent]:
        """All agents of the newest build."""
        for resource in self.latest_build.resources:
            yield from resource.agents


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


class AppUsage(Struct, frozen=True, gc=False):
    """Use of one app; ``times_used`` is None on servers that do not count it."""

    slug: Text
    type: Text = ""
    display_name: Text = ""
    icon: Text = ""
    seconds: Count = 0
    times_used: Count | None = None
    family: Text = ""
    template_ids: list[Text] = []


class ParameterValue(Struct, frozen=True, gc=False):
    """How many workspaces have a value."""

    value: Text
    count: Count


class ParameterUsage(Struct, frozen=True, gc=False):
    """The values of one declaration of a parameter; a name may occur in several declarations."""

    name: Text
    display_name: Text = ""
    type: Text = ""
    description: Text = ""
    template_ids: list[Text] = []
    options: list[ParameterOption] = []
    values: list[ParameterValue] = []


class TemplateReport(Struct, frozen=True, gc=False):
    """The whole range of ``/insights/templates``."""

    start_time: Time | None = None
    end_time: Time | None = None
    active_users: Count = 0
    template_ids: list[Text] = []
    apps_usage: list[AppUsage] = []
    parameters_usage: list[ParameterUsage] = []


class IntervalReport(Struct, frozen=True, gc=False):
    """One day or week of ``/insights/templates``."""

    start_time: Time
    end_time: Time
    active_users: Count
    interval: Text = ""
    template_ids: list[Text] = []


class TemplateInsights(Struct, frozen=True, gc=False):
    """``/insights/templates``; a section that was not asked for is None or empty."""

    report: TemplateReport | None = None
    interval_reports: list[IntervalReport] = []


class UserActivity(Struct, frozen=True, gc=False):
    """A user's time in the selected templates."""

    user_id: Id
    username: Text
    seconds: Count
    avatar_url: Text = ""
    template_ids: list[Text] = []


class UserActivityReport(Struct, frozen=True, gc=False):
    """``/insights/user-activity``."""

    start_time: Time | None = None
    end_time: Time | None = None
    template_ids: list[Text] = []
    users: list[UserActivity] = []


class ConnectionLatency(Struct, frozen=True, gc=False):
    """Milliseconds of a user's connections; the keys are in small letters here."""

    p50: Milliseconds = -1
    p95: Milliseconds = -1


class UserLatency(Struct, frozen=True, gc=False):
    """A user's round trip to the workspaces of the selected templates."""

    user_id: Id
    username: Text
    latency_ms: ConnectionLatency = ConnectionLatency()
    avatar_url: Text = ""

    @property
    def p50_seconds(self) -> float | None:
        """The median; None where nothing was measured."""
        return _seconds(self.latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile; None where nothing was measured."""
        return _seconds(self.latency_ms.p95)


class LatencyReport(Struct, frozen=True, gc=False):
    """``/insights/user-latency``."""

    start_time: Time | None = None
    end_time: Time | None = None
    template_ids: list[Text] = []
    users: list[UserLatency] = []


class StatusCount(Struct, frozen=True, gc=False):
    """How many users had a status at a moment."""

    date: Time
    count: Count


class DailyUsers(Struct, frozen=True, gc=False):
    """How many users were active on a UTC day, written ``YYYY-MM-DD``."""

    date: Text
    amount: Count


class PercentilesMs(Struct, frozen=True, gc=False):
    """Milliseconds under capital keys; -1 without a sample."""

    p50: Milliseconds = field(name="P50", default=-1)
    p95: Milliseconds = field(name="P95", default=-1)


class WorkspaceStats(Struct, frozen=True, gc=False):
    """States and traffic of all workspaces, the traffic over the last quarter of an hour."""

    pending: Count = 0
    building: Count = 0
    running: Count = 0
    failed: Count = 0
    stopped: Count = 0
    rx_bytes: Count = 0
    tx_bytes: Count = 0
    connection_latency_ms: PercentilesMs = PercentilesMs()

    @property
    def p50_seconds(self) -> float | None:
        """The median round trip; None without a sample."""
        return _seconds(self.connection_latency_ms.p50)

    @property
    def p95_seconds(self) -> float | None:
        """The 95th percentile of the round trip; None without a sample."""
        return _seconds(self.connection_latency_ms.p95)


class SessionCount(Struct, frozen=True, gc=False):
    """Sessions open now."""

    vscode: Count = 0
    ssh: Count = 0
    jetbrains: Count = 0
    reconnecting_pty: Count = 0


class DeploymentStats(Struct, frozen=True, gc=False):
    """``/deployment/stats``."""

    workspaces: WorkspaceStats
    session_count: SessionCount
    collected_at: Time | None = None


class SectionHealth(Struct, frozen=True, gc=False):
    """One part of the health report."""

    healthy: bool = False
    severity: Text = ""


class DatabaseHealth(Struct, frozen=True, gc=False):
    """The database's part of the health report."""

    healthy: bool = False
    severity: Text = ""
    reachable: bool = False
    latency_ms: Milliseconds = 0

    @property
    def latency_seconds(self) -> float | None:
        """The database's answering time; None where it was not measured."""
        return _seconds(self.latency_ms)


class Health(Struct, frozen=True, gc=False):
    """``/debug/health``; a part that the server does not report is None."""

    healthy: bool
    severity: Text = ""
    time: Time | None = None
    derp: SectionHealth | None = None
    access_url: SectionHealth | None = None
    websocket: SectionHealth | None = None
    database: DatabaseHealth | None = None
    workspace_proxy: SectionHealth | None = None
    provisioner_daemons: SectionHealth | None = None

    def sections(self) -> dict[str, SectionHealth | DatabaseHealth]:
        """Return the reported parts by name."""
        parts = {
            "derp": self.derp,
            "access_url": self.access_url,
            "websocket": self.websocket,
            "database": self.database,
            "workspace_proxy": self.workspace_proxy,
            "provisioner_daemons": self.provisioner_daemons,
        }
        return {name: part for name, part in parts.items() if part is not None}


class Entitlement(Struct, frozen=True, gc=False):
    """What the licence says on a feature; ``limit`` and ``actual`` are None where unknown."""

    entitlement: Text = "not_entitled"
    enabled: bool = False
    limit: Count | None = None
    actual: Count | None = None


class Entitlements(Struct, frozen=True, gc=False):
    """``/entitlements``."""

    features: dict[str, Entitlement] = {}
    has_license: bool = False
    trial: bool = False

    @property
    def user_limit(self) -> int | None:
        """How many users the licence allows; None where it sets no limit."""
        seats = self.features.get("user_limit")
        return seats.limit if seats is not None and seats.enabled else None
