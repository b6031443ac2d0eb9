"""Withhold what describes fewer people than ``privacy.min_group_size`` in the data of a report.

The snapshot goes through the same function as that of the exporter. This module adds the numbers that only a
report has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from insights_exporter.cell_suppression import cells_to_withhold, describes_too_few
from insights_exporter.report.data import CURRENT, PREVIOUS, ReportData, UserChanges
from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import Insights, TemplateUsage

__all__ = ["suppress_report"]


def suppress_report(data: ReportData, min_group_size: int) -> ReportData:
    """Return the data without numbers about too few people; the same data without a minimum."""
    if min_group_size <= 1:
        return data
    visible = replace(data, snapshot=suppress_small_groups(data.snapshot, min_group_size).snapshot)
    insights = visible.insights
    return replace(
        visible,
        previous_days=_visible_counts(data.previous_days, min_group_size),
        organization_users=_visible_organizations(data, insights, min_group_size),
        user_changes=_visible_changes(data.user_changes, insights, min_group_size),
        idle_accounts=None
        if data.idle_accounts is None or describes_too_few(len(data.idle_accounts), min_group_size)
        else data.idle_accounts,
    )


def users_in(usage: TemplateUsage, window: str) -> int | None:
    """Return the published active users of a window; None if it is withheld."""
    return next((one.active_users for one in usage.windows if one.window == window), None)


def _visible_counts(counts: Sequence[int | None], min_group_size: int) -> tuple[int | None, ...]:
    return tuple(
        None if count is not None and describes_too_few(count, min_group_size) else count for count in counts
    )


def _visible_changes(changes: UserChanges, insights: Insights, min_group_size: int) -> UserChanges:
    """Return the numbers of new and lost users, unless they or the remaining users are too few."""

    def visible(count: int | None, window: str) -> int | None:
        users = users_in(insights.deployment, window)
        if count is None or users is None or describes_too_few(count, min_group_size):
            return None
        return None if describes_too_few(users - count, min_group_size) else count

    return UserChanges(
        visible(changes.new, CURRENT),
        visible(changes.previous_new, PREVIOUS),
        visible(changes.lost, PREVIOUS),
    )


def _visible_organizations(
    data: ReportData, insights: Insights, min_group_size: int
) -> Mapping[str, Mapping[str, int]]:
    """Return the users of organizations that have enough, and of whose templates none is withheld."""
    visible: dict[str, dict[str, int]] = {name: {} for name in data.organization_users}
    for window in (CURRENT, PREVIOUS):
        people = {name: users.get(window, 0) for name, users in data.organization_users.items()}
        withheld = {
            usage.key.organization_name
            for usage in insights.templates
            if usage.key is not None and users_in(usage, window) is None
        }
        total = users_in(insights.deployment, window)
        withheld |= cells_to_withhold(people, total, min_group_size)
        for name, users in people.items():
            if name not in withheld:
                visible[name][window] = users
    return visible
