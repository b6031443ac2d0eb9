"""The data model: everything that the exporter knows after a poll, independent of HTTP and Prometheus.

Durations are seconds, times are aware datetimes in UTC. All types are immutable. A part that a poll did not
fetch again is the identical object, so that derived values can be cached by identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

__all__ = [
    "Agent",
    "AgentStats",
    "App",
    "AppUsage",
    "BuildDuration",
    "Deployment",
    "Insights",
    "Inventory",
    "Latency",
    "LatencyHistogram",
    "Parameter",
    "ParameterOption",
    "ParameterUsage",
    "Snapshot",
    "Template",
    "TemplateKey",
    "TemplateUsage",
    "Timestamped",
    "Totals",
    "User",
    "UserLatency",
    "WindowUsage",
    "Workspace",
]

T = TypeVar("T")


class TemplateKey(NamedTuple):
    """Organization and name of a template; template names repeat across organizations."""

    organization_name: str
    template_name: str


# Inventory -----------------------------------------------------------------------------------------------


class ParameterOption(Struct, frozen=True, gc=False):
    """An option of a parameter with its display name."""

    value: str
    name: str = ""
    icon: str = ""


class Parameter(Struct, frozen=True, gc=False):
    """A parameter of the template's active version."""

    name: str
    type: str = ""
    display_name: str = ""
    default: str = ""
    options: tuple[ParameterOption, ...] = ()


class BuildDuration(Struct, frozen=True, gc=False):
    """Percentiles of a template's last builds in seconds; None without builds."""

    p50: float | None = None
    p95: float | None = None


class Template(Struct, frozen=True, gc=False):
    """A template; ``build_durations`` is keyed by transition."""

    id: str
    key: TemplateKey
    display_name: str = ""
    icon: str = ""
    created_at: datetime | None = None
    deprecated: bool = False
    build_durations: dict[str, BuildDuration] = {}
    parameters: tuple[Parameter, ...] = ()


class App(Struct, frozen=True, gc=False):
    """An app of an agent; an external app is a link without usage data."""

    slug: str
    display_name: str = ""
    icon: str = ""
    health: str = ""
    external: bool = False


class Agent(Struct, frozen=True, gc=False):
    """An agent of a workspace; ``relay`` is its preferred DERP relay, with the round-trip time in seconds."""

    id: str
    name: str
    status: str
    version: str = ""
    outdated: bool = False
    relay: str = ""
    relay_latency: float | None = None
    apps: tuple[App, ...] = ()


class Workspace(Struct, frozen=True, gc=False):
    """A workspace; ``status`` is that of its latest build, also while the workspace is dormant.

    ``has_autostop`` is whether the latest build has a deadline; ``daily_cost`` is in units of Coder's quota.
    """

    id: str
    name: str
    owner: str
    key: TemplateKey
    status: str
    outdated: bool = False
    last_used: datetime | None = None
    agents: tuple[Agent, ...] = ()
    is_prebuild: bool = False
    is_dormant: bool = False
    deleting_at: datetime | None = None
    has_autostop: bool = False
    daily_cost: int = 0


class User(Struct, frozen=True, gc=False):
    """A user account."""

    id: str
    username: str
    display_name: str = ""
    avatar_url: str = ""
    status: str = ""
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Templates, workspaces and users; a list that the token may not read is empty."""

    templates: Sequence[Template] = ()
    workspaces: Sequence[Workspace] = ()
    users: Sequence[User] = ()
    templates_complete: bool = True
    """Whether the template list had no invalid rows; only then is a missing template deleted."""


# Insights ------------------------------------------------------------------------------------------------


class AppUsage(Struct, frozen=True, gc=False):
    """Usage of one app in a window; ``opens`` is None on servers that do not count opens."""

    slug: str
    type: str
    seconds: float
    opens: int | None = None
    display_name: str = ""
    icon: str = ""


class ParameterUsage(Struct, frozen=True, gc=False):
    """Workspaces by value of a parameter; declared options without workspaces are 0."""

    name: str
    type: str
    display_name: str
    values: dict[str, int]
    options: tuple[ParameterOption, ...] = ()


class UserLatency(Struct, frozen=True, gc=False):
    """A user's round-trip time in seconds; None without a measurement."""

    username: str
    p50: float | None
    p95: float | None


class Latency(Struct, frozen=True, gc=False):
    """Round-trip times in seconds by username; ``users`` includes users without a measurement.

    Stored as columns, because each family reads one percentile of thousands of users.
    """

    users: tuple[str, ...] = ()
    p50: dict[str, float] = {}
    p95: dict[str, float] = {}

    @classmethod
    def from_rows(cls, rows: Iterable[UserLatency]) -> Latency:
        """Return the columns of rows with distinct usernames."""
        rows = tuple(rows)
        return cls(
            tuple(row.username for row in rows),
            {row.username: row.p50 for row in rows if row.p50 is not None},
            {row.username: row.p95 for row in rows if row.p95 is not None},
        )

    def rows(self) -> Iterator[UserLatency]:
        """Yield one row per user."""
        for user in self.users:
            yield UserLatency(user, self.p50.get(user), self.p95.get(user))


@dataclass(frozen=True, slots=True, eq=False)
class WindowUsage:
    """Usage of one template, or of all, in one window.

    ``apps`` holds each (slug, type) once; known apps without usage have 0 seconds. ``activity`` is seconds by
    username, or by id if the server sent no name. ``active_users`` is None if unknown. ``seconds`` is the sum
    over all users.
    """

    window: str
    start: datetime
    end: datetime
    active_users: int | None = None
    seconds: float = 0.0
    apps: Sequence[AppUsage] = ()
    parameters: Sequence[ParameterUsage] = ()
    activity: Mapping[str, float] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Totals in seconds since the anchor ``since``; they decrease only when the anchor moves.

    ``apps`` is keyed by (slug, type), ``users`` by username.
    """

    since: datetime
    seconds: float = 0.0
    apps: Mapping[tuple[str, str], float] = field(default_factory=dict)
    users: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateUsage:
    """Usage of one template, or of all templates if ``key`` is None.

    ``days[n]`` and ``weeks[n]`` are the active users ``n`` days or weeks ago; None is unknown.
    """

    key: TemplateKey | None
    windows: Sequence[WindowUsage] = ()
    days: Sequence[int | None] = ()
    weeks: Sequence[int | None] = ()
    totals: Totals | None = None


@dataclass(frozen=True, slots=True)
class Insights:
    """Usage of all templates; ``collection_enabled`` is None on servers that do not report it."""

    deployment: TemplateUsage
    templates: Sequence[TemplateUsage] = ()
    collection_enabled: bool | None = None
    pending_totals: Mapping[TemplateKey | None, str] = field(default_factory=dict)
    """Why totals wait for a response, by template; the deployment's key is None."""
    warm_up_ratio: float = 1.0
    """Share of the needed responses that were fetched since the start; 1 after the first complete poll."""


# Deployment ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deployment:
    """Version, users by status, and the licence's limits and use by feature; without a limit if unlimited."""

    version: str
    dashboard_url: str = ""
    deployment_id: str = ""
    users: Mapping[str, int] = field(default_factory=dict)
    license_limits: Mapping[str, float] = field(default_factory=dict)
    license_used: Mapping[str, float] = field(default_factory=dict)


# Agent reports -------------------------------------------------------------------------------------------


class LatencyHistogram(Struct, frozen=True, gc=False, eq=False):
    """Observations by bucket: ``packed_counts`` holds one count per bound and one for ``+Inf``.

    ``metrics.packed_counts`` packs and unpacks them. ``exponential_buckets`` holds the same observations by
    exponential bucket, if these are counted.
    """

    packed_counts: int
    bucket_count: int
    sum: float
    created: datetime
    exponential_buckets: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True)
class AgentStats:
    """Statistics of agent reports.

    Keys are the label values of the families in their order: organization, template, and for sessions the
    app. Values by user are nested mappings with the served usernames: pseudonymized when they are counted.
    ``exponential`` says whether histograms have exponential buckets.
    """

    since: datetime
    latency: Mapping[tuple[str, str], Mapping[str, LatencyHistogram]] = field(default_factory=dict)
    app_latency: Mapping[tuple[str, str, str], LatencyHistogram] = field(default_factory=dict)
    session_seconds: Mapping[tuple[str, str, str], Mapping[str, float]] = field(default_factory=dict)
    sessions: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    connections: Mapping[tuple[str, str], int] = field(default_factory=dict)
    received_bytes: Mapping[tuple[str, str], float] = field(default_factory=dict)
    transmitted_bytes: Mapping[tuple[str, str], float] = field(default_factory=dict)
    exponential: bool = False


# Together ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timestamped(Generic[T]):
    """The last data of a collector, and when it was collected."""

    value: T
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All data; a part that was never collected, or is older than ``max_staleness``, is None."""

    collected_at: datetime
    inventory: Timestamped[Inventory] | None = None
    insights: Timestamped[Insights] | None = None
    deployment: Timestamped[Deployment] | None = None
    agent_stats: Timestamped[AgentStats] | None = None
