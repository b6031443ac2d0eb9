"""Families of groups, new accounts and accounts without use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families import build_families
from insights_exporter.metrics.family import Family
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import (
    GroupQuota,
    GroupUsage,
    GroupWindow,
    Inventory,
    Onboarding,
    Snapshot,
    Timestamped,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
WEB = GroupUsage(
    "acme",
    "Web",
    5,
    windows=(GroupWindow("7d", 3, 120.0, {"fast": 2, "fair": 0, "slow": 1, "unmeasured": 0}),),
    daily_cost=40,
    quota=GroupQuota(allowance=10, budget=60, members_at_budget=1),
)


def values_of(
    family: Family, *usages: GroupUsage, users: UsernameMode = UsernameMode.NAMED
) -> Mapping[tuple[str, ...], float]:
    """Return the values of a family by label values."""
    snapshot = Snapshot(NOW, inventory=Timestamped(Inventory(), NOW), groups=usages)
    families = build_families(snapshot, username_policy=UsernamePolicy(users, b"key"), limits=LimitSettings())
    return dict(next(samples for samples in families.samples if samples.family is family).floats)


@pytest.mark.parametrize("users", UsernameMode)
@pytest.mark.parametrize(
    ("family", "values"),
    [
        (catalogue.GROUP_MEMBERS, {("acme", "Web"): 5}),
        (catalogue.GROUP_ACTIVE_USERS, {("acme", "Web", "7d"): 3}),
        (catalogue.GROUP_USAGE_WINDOW, {("acme", "Web", "7d"): 120}),
        (
            catalogue.GROUP_LATENCY_USERS,
            {
                ("acme", "Web", "7d", "fast"): 2,
                ("acme", "Web", "7d", "fair"): 0,
                ("acme", "Web", "7d", "slow"): 1,
                ("acme", "Web", "7d", "unmeasured"): 0,
            },
        ),
        (catalogue.GROUP_DAILY_COST, {("acme", "Web"): 40}),
        (catalogue.GROUP_QUOTA_ALLOWANCE, {("acme", "Web"): 10}),
        (catalogue.GROUP_QUOTA_BUDGET, {("acme", "Web"): 60}),
        (catalogue.GROUP_MEMBERS_AT_BUDGET, {("acme", "Web"): 1}),
    ],
    ids=lambda value: value.name if isinstance(value, Family) else "",
)
def test_groups_are_served_in_every_username_mode(
    family: Family, values: Mapping[tuple[str, ...], float], users: UsernameMode
) -> None:
    """Their numbers contain no names."""
    assert values_of(family, WEB, users=users) == values


@pytest.mark.parametrize(
    "family",
    [
        catalogue.GROUP_ACTIVE_USERS,
        catalogue.GROUP_LATENCY_USERS,
        catalogue.GROUP_DAILY_COST,
        catalogue.GROUP_QUOTA_BUDGET,
    ],
    ids=lambda family: family.name,
)
def test_unknown_numbers_of_a_group_are_absent(family: Family) -> None:
    assert values_of(family, GroupUsage("acme", "Web", 5)) == {}


def test_a_team_has_no_organization() -> None:
    assert values_of(catalogue.GROUP_MEMBERS, GroupUsage("", "Payments", 2)) == {("", "Payments"): 2}


ONBOARDING = Onboarding({"created": 3, "signed_in": 1}, {"never_signed_in": ("ada", "bo"), "stopped": ()})


def onboarding_families(users: UsernameMode) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """Return the values of the onboarding families by family and label values."""
    snapshot = Snapshot(NOW, inventory=Timestamped(Inventory(), NOW), onboarding=ONBOARDING)
    families = build_families(snapshot, username_policy=UsernamePolicy(users, b"key"), limits=LimitSettings())
    names = {
        family.name
        for family in (catalogue.ONBOARDING_USERS, catalogue.INACTIVE_USERS, catalogue.USER_INACTIVE_INFO)
    }
    return {
        samples.family.name: dict(samples.floats)
        for samples in families.samples
        if samples.family.name in names
    }


@pytest.mark.parametrize("users", UsernameMode)
def test_onboarding_is_counted_in_every_username_mode(users: UsernameMode) -> None:
    families = onboarding_families(users)

    assert families[catalogue.ONBOARDING_USERS.name] == {("created",): 3, ("signed_in",): 1}
    assert families[catalogue.INACTIVE_USERS.name] == {("never_signed_in",): 2, ("stopped",): 0}


def test_names_of_inactive_users_follow_the_username_mode() -> None:
    name = catalogue.USER_INACTIVE_INFO.name
    policy = UsernamePolicy(UsernameMode.HASHED, b"key")

    assert onboarding_families(UsernameMode.NAMED)[name] == {
        ("ada", "never_signed_in"): 1,
        ("bo", "never_signed_in"): 1,
    }
    assert onboarding_families(UsernameMode.HASHED)[name] == {
        (policy.pseudonymize(user), "never_signed_in"): 1 for user in ("ada", "bo")
    }
    assert name not in onboarding_families(UsernameMode.OFF)
