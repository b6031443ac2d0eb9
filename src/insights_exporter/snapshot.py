"""What the exporter knows after a poll; nothing here knows of HTTP or of Prometheus.

Numbers are seconds, moments are aware datetimes in UTC. Everything is frozen. A part that a poll did not
fetch anew is the same object as before, so whoever derives something from it may keep that by identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from insights_exporter.metrics.packed_counts import unpack_counts

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
    """A template's identity for people: names repeat across organizations."""

    organization_name: str
    template_name: str


# Inventory -----------------------------------------------------------------------------------------------


class ParameterOption(Struct, frozen=True, gc=False):
    """A value that a template offers, and the name to show for it."""

    value: str
    name: str = ""
    icon: str = ""


class Parameter(Struct, frozen=True, gc=False):
    """A parameter as the template's active version declares it."""

    name: str
    type: str = ""
    display_name: str = ""
    default: str = ""
    options: tuple[ParameterOption, ...] = ()


class BuildDuration(Struct, frozen=True, gc=False):
    """Seconds of a template's latest builds; None without builds."""

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
    """An app that an agent offers; an external one is a link, whose use nobody measures."""

    slug: str
    display_name: str = ""
    icon: str = ""
    health: str = ""
    external: bool = False


class Agent(Struct, frozen=True, gc=False):
    """An agent of a workspace; the relay is the preferred one, its round trip in seconds."""

    id: str
    name: str
    status: str
    version: str = ""
    outdated: bool = False
    relay: str = ""
    relay_latency: float | None = None
    apps: tuple[App, ...] = ()


class Workspace(Struct, frozen=True, gc=False):
    """A workspace; ``status`` is that of its newest build, or ``dormant``."""

    id: str
    name: str
    owner: str
    key: TemplateKey
    status: str
    outdated: bool = False
    last_used: datetime | None = None
    agents: tuple[Agent, ...] = ()


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
    """What exists. A part that the token may not see is empty."""

    templates: Sequence[Template] = ()
    workspaces: Sequence[Workspace] = ()
    users: Sequence[User] = ()


# Insights ------------------------------------------------------------------------------------------------


class AppUsage(Struct, frozen=True, gc=False):
    """Use of one app in a window; ``opens`` is None on servers that do not count it."""

    slug: str
    type: str
    seconds: float
    opens: int | None = None
    display_name: str = ""
    icon: str = ""


class ParameterUsage(Struct, frozen=True, gc=False):
    """How many workspaces have each value of a parameter; declared options that nobody chose are 0."""

    name: str
    type: str
    display_name: str
    values: dict[str, int]
    options: tuple[ParameterOption, ...] = ()


class UserLatency(Struct, frozen=True, gc=False):
    """A user's round trip in seconds; None where nothing was measured."""

    username: str
    p50: float | None
    p95: float | None


class Latency(Struct, frozen=True, gc=False):
    """Round trips in seconds by username, of those who have one; ``users`` are all whom Coder names.

    Columns, as families read one of the two for thousands of users at a time.
    """

    users: tuple[str, ...] = ()
    p50: dict[str, float] = {}
    p95: dict[str, float] = {}

    @classmethod
    def from_rows(cls, rows: Iterable[UserLatency]) -> Latency:
        """Return the round trips of users, each of whom comes once."""
        rows = tuple(rows)
        return cls(
            tuple(row.username for row in rows),
            {row.username: row.p50 for row in rows if row.p50 is not None},
            {row.username: row.p95 for row in rows if row.p95 is not None},
        )

    def rows(self) -> Iterator[UserLatency]:
        """Yield user after user."""
        for user in self.users:
            yield UserLatency(user, self.p50.get(user), self.p95.get(user))


@dataclass(frozen=True, slots=True, eq=False)
class WindowUsage:
    """The use of one template, or of all, in one window.

    ``apps`` holds each (slug, type) once, the known and unused ones with 0. ``activity`` is seconds by
    username; a user without a name goes by id. ``active_users`` is None where the server does not tell.
    ``seconds`` is the time of all users together.
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
    """Anchored totals in seconds since ``since``; they fall only when the anchor moves.

    ``apps`` is keyed by (slug, type), ``users`` by username.
    """

    since: datetime
    seconds: float = 0.0
    apps: Mapping[tuple[str, str], float] = field(default_factory=dict)
    users: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateUsage:
    """All that is known of the use of one template; of all together where ``key`` is None.

    ``days[n]`` and ``weeks[n]`` are the distinct users ``n`` days or weeks ago; None is unknown.
    """

    key: TemplateKey | None
    windows: Sequence[WindowUsage] = ()
    days: Sequence[int | None] = ()
    weeks: Sequence[int | None] = ()
    totals: Totals | None = None


@dataclass(frozen=True, slots=True)
class Insights:
    """How templates are used; ``collection_enabled`` is None on servers that do not tell."""

    deployment: TemplateUsage
    templates: Sequence[TemplateUsage] = ()
    collection_enabled: bool | None = None


# Deployment ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment as a whole; None is unknown. ``users`` is keyed by status."""

    version: str
    dashboard_url: str = ""
    deployment_id: str = ""
    users: Mapping[str, int] = field(default_factory=dict)
    license_user_limit: int | None = None


# Agent reports -------------------------------------------------------------------------------------------


class LatencyHistogram(Struct, frozen=True, gc=False, eq=False):
    """Observations by bucket, side by side in ``lanes``: one place per bound and one above all.

    ``fine`` has them by exponential bucket, where these are counted.
    """

    packed_counts: int
    bucket_count: int
    sum: float
    created: datetime
    exponential_buckets: Mapping[int, int] = {}

    @property
    def bucket_counts(self) -> tuple[int, ...]:
        """The observations of each bucket, none cumulative."""
        return unpack_counts(self.packed_counts, self.bucket_count)


@dataclass(frozen=True, slots=True)
class AgentStats:
    """What agents reported.

    Numbers that differ by user are kept by user within a place, which is an organization and a template, and
    for sessions an app; other keys are the label values of the families, in their order. ``exponential``
    says that distributions have exponential buckets as well.
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
    """What one collector last found, and when."""

    value: T
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known; a part that was never read, or is too old to be believed, is None."""

    collected_at: datetime
    inventory: Timestamped[Inventory] | None = None
    insights: Timestamped[Insights] | None = None
    deployment: Timestamped[Deployment] | None = None
    agent_stats: Timestamped[AgentStats] | None = None
