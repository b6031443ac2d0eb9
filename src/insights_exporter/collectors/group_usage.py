"""Usage by group, counted from the usage of the whole deployment and from the workspaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from insights_exporter.metrics.catalogue import LATENCY_FAIR, LATENCY_SLOW
from insights_exporter.snapshot import (
    Group,
    GroupQuota,
    GroupUsage,
    GroupWindow,
    Insights,
    Inventory,
    TemplateUsage,
    Workspace,
)

__all__ = ["LATENCY_BANDS", "count_group_usage"]

LATENCY_BANDS: Final = ("fast", "fair", "slow", "unmeasured")
"""Bands of a user's p50, in the colours of Coder's page."""


def count_group_usage(inventory: Inventory, insights: Insights | None) -> tuple[GroupUsage, ...]:
    """Return the usage of each group and team of the inventory.

    A member of several groups counts in each of them. Windows are missing without the usage of the whole
    deployment, and everything but the number of members if the token may not read all members.
    """
    if not inventory.groups:
        return ()
    usernames = {user.id: user.username for user in inventory.users}
    windows = () if insights is None else tuple(_windows(insights))
    costs = _Costs.of(inventory.workspaces)
    budgets = _budgets(inventory.groups)
    usages = []
    for group in inventory.groups:
        if group.hidden_members:
            members = len(group.members) + group.hidden_members
            usages.append(GroupUsage(group.organization_name, group.name, members))
            continue
        # The list of users has the newest names; without access to it, the group's names remain.
        names = {user_id: usernames.get(user_id, name) for user_id, name in group.members.items()}
        member_costs = costs.by_user(group.organization_name, names)
        usages.append(
            GroupUsage(
                group.organization_name,
                group.name,
                len(names),
                windows=tuple(window.count(names.values()) for window in windows),
                daily_cost=sum(member_costs.values()) if costs.are_known else None,
                quota=_quota(group, member_costs, budgets.get(group.organization_name, {})),
            )
        )
    return tuple(usages)


@dataclass(frozen=True, slots=True)
class _Window:
    """Seconds and latency band of each user in a window."""

    name: str
    seconds: Mapping[str, float]
    bands: Mapping[str, str]

    def count(self, usernames: Iterable[str]) -> GroupWindow:
        """Return the usage by some users."""
        active = [name for name in usernames if self.seconds.get(name, 0.0) > 0]
        bands = Counter(dict.fromkeys(LATENCY_BANDS, 0))
        bands.update(self.bands.get(name, "unmeasured") for name in active)
        return GroupWindow(self.name, len(active), sum(self.seconds[name] for name in active), dict(bands))


def _windows(insights: Insights) -> Iterable[_Window]:
    for window in insights.deployment.windows:
        yield _Window(window.window, window.activity, _latency_bands(window.window, insights.templates))


def _latency_bands(window_name: str, usages: Iterable[TemplateUsage]) -> dict[str, str]:
    """Return the latency band of each user.

    Coder has no latency of a user over all templates in the data at hand; that of the template with most of
    the user's time stands for it.
    """
    most_seconds: dict[str, float] = {}
    bands: dict[str, str] = {}
    for usage in usages:
        for window in usage.windows:
            if window.window != window_name:
                continue
            for username, p50 in window.latency.p50.items():
                seconds = window.activity.get(username, 0.0)
                if seconds > most_seconds.get(username, -1.0):
                    most_seconds[username] = seconds
                    bands[username] = _band(p50)
    return bands


def _band(p50: float) -> str:
    if p50 < LATENCY_FAIR:
        return "fast"
    return "fair" if p50 < LATENCY_SLOW else "slow"


@dataclass(frozen=True, slots=True)
class _Costs:
    """Daily cost of workspaces of any status by owner, in total and by organization."""

    by_owner: Mapping[str, Mapping[str, int]]
    """By organization; the empty name is the sum of all."""
    are_known: bool

    @classmethod
    def of(cls, workspaces: Iterable[Workspace]) -> _Costs:
        """Return the costs; they are unknown if no workspace has any."""
        costs: dict[str, Counter[str]] = {"": Counter()}
        for workspace in workspaces:
            if not workspace.is_prebuild and workspace.daily_cost:
                for organization in ("", workspace.key.organization_name):
                    costs.setdefault(organization, Counter())[workspace.owner] += workspace.daily_cost
        return cls(costs, bool(costs[""]))

    def by_user(self, organization: str, names: Mapping[str, str]) -> dict[str, int]:
        """Return the cost of some users by id."""
        costs = self.by_owner.get(organization, {})
        return {user_id: costs.get(name, 0) for user_id, name in names.items()}


def _budgets(groups: Sequence[Group]) -> dict[str, Counter[str]]:
    """Return the budget of each user by organization: the sum of the allowances of all groups.

    Organizations whose groups allow nothing are left out: they do not use quotas.
    """
    budgets: dict[str, Counter[str]] = {}
    for group in groups:
        if group.quota_allowance:
            budget = budgets.setdefault(group.organization_name, Counter())
            for user_id in group.members:
                budget[user_id] += group.quota_allowance
    return budgets


def _quota(group: Group, member_costs: Mapping[str, int], budgets: Mapping[str, int]) -> GroupQuota | None:
    if group.quota_allowance is None or not budgets:
        return None
    return GroupQuota(
        group.quota_allowance,
        budget=sum(budgets.get(user_id, 0) for user_id in member_costs),
        members_at_budget=sum(0 < cost >= budgets.get(user_id, 0) for user_id, cost in member_costs.items()),
    )
