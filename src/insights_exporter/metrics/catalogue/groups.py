"""Families of people: groups with usage, latency and quota, new accounts, and accounts without use.

A member of several groups counts in each.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from insights_exporter.metrics.family import USER_LABELS, FamilyGroup, MetricType

_group = FamilyGroup("inventory")
_gauge = partial(_group.declare, MetricType.GAUGE)

_GROUP_LABELS: Final = ("organization_name", "group")
"""The identity of a group; a team of the teams file has an empty organization."""

GROUP_MEMBERS = _gauge(
    "group_members", "Members of the group, or users whom a team of the teams file matches.", _GROUP_LABELS
)
GROUP_ACTIVE_USERS = _gauge(
    "group_active_users",
    "Members of the group who used any template in the window.",
    (*_GROUP_LABELS, "window"),
)
GROUP_USAGE_WINDOW = _gauge(
    "group_usage_window_seconds",
    "Seconds members of the group spent in any template in the window; a member's time in several templates"
    " at once counts once.",
    (*_GROUP_LABELS, "window"),
    unit="seconds",
)
GROUP_LATENCY_USERS = _gauge(
    "group_latency_users",
    "Active members of the group in the window by latency band of their p50 in the template that they used"
    " most: fast (below 150 ms), fair (below 300 ms), slow, or unmeasured.",
    (*_GROUP_LABELS, "window", "band"),
    summable=frozenset(("band",)),
)
GROUP_DAILY_COST = _gauge(
    "group_daily_cost",
    "Daily cost of the workspaces that members of the group own in its organization (teams: in all), in"
    " units of Coder's quota; absent without costs.",
    _GROUP_LABELS,
)
GROUP_QUOTA_ALLOWANCE = _gauge(
    "group_quota_allowance",
    "Daily cost that the group allows each of its members, in units of Coder's quota; absent without quotas.",
    _GROUP_LABELS,
)
GROUP_QUOTA_BUDGET = _gauge(
    "group_quota_budget",
    "Sum of the budgets of the group's members; the budget of a member is the sum of the allowances of all"
    " groups of the organization.",
    _GROUP_LABELS,
)
GROUP_MEMBERS_AT_BUDGET = _gauge(
    "group_members_at_budget",
    "Members of the group whose workspaces cost as much as their budget or more; they cannot start further"
    " ones.",
    _GROUP_LABELS,
)
ONBOARDING_USERS = _gauge(
    "onboarding_users",
    "Accounts created in the last 30 days that reached the stage: created, signed_in, created_workspace or"
    " used_workspace; each includes the later ones. Without suspended and service accounts.",
    ("stage",),
)
INACTIVE_USERS = _gauge(
    "inactive_users",
    "Accounts without use by reason: never_signed_in; no_workspace or unused_workspace (new ones that never"
    " used a workspace); stopped (use within 30 days, but none in the last 14).",
    ("reason",),
    summable=frozenset(("reason",)),
)
USER_INACTIVE_INFO = _group.declare(
    MetricType.INFO,
    "user_inactive_info",
    "Reason why an account is inactive, as in coder_insights_inactive_users; always 1.",
    (*USER_LABELS, "reason"),
)

GROUP_FAMILIES: Final = _group.families
