"""The data model: everything that the exporter knows after a poll, independent of HTTP and Prometheus.

Durations are seconds, times are aware datetimes in UTC. All types are immutable. A part that a poll did not
fetch again is the identical object, so that derived values can be cached by identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from insights_exporter.snapshot.insights import (
    AppUsage,
    Insights,
    Latency,
    ParameterUsage,
    TemplateUsage,
    Totals,
    UserLatency,
    WindowUsage,
)
from insights_exporter.snapshot.inventory import (
    Agent,
    App,
    BuildDuration,
    Group,
    Inventory,
    Parameter,
    ParameterOption,
    Template,
    TemplateKey,
    UnitPrice,
    User,
    Workspace,
)

__all__ = [
    "Agent",
    "AgentStats",
    "App",
    "AppUsage",
    "BuildDuration",
    "Deployment",
    "Group",
    "GroupQuota",
    "GroupUsage",
    "GroupWindow",
    "Insights",
    "Inventory",
    "Latency",
    "LatencyHistogram",
    "Onboarding",
    "Parameter",
    "ParameterOption",
    "ParameterUsage",
    "Snapshot",
    "Template",
    "TemplateKey",
    "TemplateUsage",
    "Timestamped",
    "Totals",
    "UnitPrice",
    "User",
    "UserLatency",
    "WindowUsage",
    "Workspace",
]

T = TypeVar("T")


# Groups --------------------------------------------------------------------------------------------------


class GroupWindow(Struct, frozen=True, gc=False):
    """Usage of all templates by the members of a group in one window.

    ``users_by_latency`` holds the active members by latency band: fast, fair, slow and unmeasured.
    """

    window: str
    active_users: int
    seconds: float
    users_by_latency: dict[str, int] = {}


class GroupQuota(Struct, frozen=True, gc=False):
    """Budgets of a group's members: ``allowance`` is the group's part for each member.

    ``budget`` is the sum of the members' budgets; a member's budget is the sum of the allowances of all
    groups of the organization. The workspaces of ``members_at_budget`` cost as much as their budget or more.
    """

    allowance: int
    budget: int
    members_at_budget: int


class GroupUsage(Struct, frozen=True, gc=False):
    """Counts of a group without names; a member of several groups counts in each.

    ``members`` is the number of people behind all other counts. ``daily_cost`` is that of the members'
    workspaces in the organization, for a team in all of them; None if unknown.
    """

    organization_name: str
    name: str
    members: int
    windows: tuple[GroupWindow, ...] = ()
    daily_cost: int | None = None
    quota: GroupQuota | None = None


class Onboarding(Struct, frozen=True, gc=False):
    """Progress of new accounts, and accounts without use.

    ``stages`` holds the number of accounts created in the last 30 days that reached each stage.
    ``inactive`` holds usernames by the reason why they are inactive. What is unknown is missing.
    """

    stages: dict[str, int] = {}
    inactive: dict[str, tuple[str, ...]] = {}


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
    peer_connections: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By connection type instead of app: ``p2p`` is direct, ``derp`` through a relay."""
    user_peer_connections: Mapping[tuple[str, str, str], Mapping[str, float]] = field(default_factory=dict)
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
    groups: Sequence[GroupUsage] = ()
    """Usage by group, counted from the inventory and the insights of this snapshot."""
    onboarding: Onboarding | None = None
    unit_price: UnitPrice | None = None
