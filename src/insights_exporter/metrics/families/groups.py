"""Samples of the families of people: groups, new accounts and accounts without use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.families.rows import OptionalFloatSample, float_series, info_series
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import GroupQuota, GroupUsage, GroupWindow, Onboarding

__all__ = ["group_families", "onboarding_families"]

_LabelledUsages = Sequence[tuple[tuple[str, str], GroupUsage]]


def group_families(usages: Sequence[GroupUsage], values: LabelValues) -> Iterator[FamilySamples]:
    """Yield the group families in the order of the catalogue."""
    groups = [
        ((values["organization_name"][usage.organization_name], values["group"][usage.name]), usage)
        for usage in usages
    ]
    yield float_series(catalogue.GROUP_MEMBERS, ((labels, usage.members) for labels, usage in groups))
    yield float_series(
        catalogue.GROUP_ACTIVE_USERS, _window_values(groups, values, lambda window: window.active_users)
    )
    yield float_series(
        catalogue.GROUP_USAGE_WINDOW, _window_values(groups, values, lambda window: window.seconds)
    )
    yield float_series(catalogue.GROUP_LATENCY_USERS, _users_by_latency(groups, values))
    yield float_series(catalogue.GROUP_DAILY_COST, ((labels, usage.daily_cost) for labels, usage in groups))
    yield float_series(catalogue.GROUP_QUOTA_ALLOWANCE, _quotas(groups, lambda quota: quota.allowance))
    yield float_series(catalogue.GROUP_QUOTA_BUDGET, _quotas(groups, lambda quota: quota.budget))
    yield float_series(
        catalogue.GROUP_MEMBERS_AT_BUDGET, _quotas(groups, lambda quota: quota.members_at_budget)
    )


def onboarding_families(data: Onboarding | None, values: LabelValues) -> Iterator[FamilySamples]:
    """Yield the onboarding families in the order of the catalogue; names are absent if users are hidden."""
    stages, inactive = ({}, {}) if data is None else (data.stages, data.inactive)
    yield float_series(catalogue.ONBOARDING_USERS, (((stage,), count) for stage, count in stages.items()))
    yield float_series(
        catalogue.INACTIVE_USERS, (((reason,), len(names)) for reason, names in inactive.items())
    )
    if not values.username_policy.hides_users:
        rows = (
            (label, reason)
            for reason, names in inactive.items()
            for name in names
            if (label := values.username_labels[name]) is not None
        )
        yield info_series(catalogue.USER_INACTIVE_INFO, rows)


def _window_values(
    groups: _LabelledUsages, values: LabelValues, get_value: Callable[[GroupWindow], float]
) -> Iterator[OptionalFloatSample]:
    for labels, usage in groups:
        for window in usage.windows:
            yield (*labels, values["window"][window.window]), get_value(window)


def _users_by_latency(groups: _LabelledUsages, values: LabelValues) -> Iterator[OptionalFloatSample]:
    for labels, usage in groups:
        for window in usage.windows:
            for band, users in window.users_by_latency.items():
                yield (*labels, values["window"][window.window], band), users


def _quotas(
    groups: _LabelledUsages, get_value: Callable[[GroupQuota], float]
) -> Iterator[OptionalFloatSample]:
    for labels, usage in groups:
        if usage.quota is not None:
            yield labels, get_value(usage.quota)
