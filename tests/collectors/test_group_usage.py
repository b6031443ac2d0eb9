"""Usage by group: people, time, latency, cost and budgets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.collectors.group_usage import count_group_usage
from insights_exporter.snapshot import (
    Group,
    GroupQuota,
    GroupUsage,
    Insights,
    Inventory,
    Latency,
    TemplateKey,
    TemplateUsage,
    User,
    WindowUsage,
    Workspace,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
GO, RUST = TemplateKey("acme", "go"), TemplateKey("labs", "rust")
WEB = Group("acme", "Web", {"1": "ada", "2": "bo", "3": "cleo"})


def usage(
    key: TemplateKey | None, activity: dict[str, float], p50: dict[str, float] | None = None
) -> TemplateUsage:
    latency = Latency(tuple(activity), p50 or {}, p50 or {})
    return TemplateUsage(key, [WindowUsage("7d", NOW, NOW, activity=activity, latency=latency)])


def workspace(owner: str, cost: int, key: TemplateKey = GO, *, is_prebuild: bool = False) -> Workspace:
    return Workspace("w", "dev", owner, key, "stopped", daily_cost=cost, is_prebuild=is_prebuild)


def count(
    *groups: Group, workspaces: tuple[Workspace, ...] = (), insights: Insights | None = None
) -> list[GroupUsage]:
    return list(count_group_usage(Inventory(workspaces=workspaces, groups=groups), insights))


def test_active_members_and_their_seconds_are_counted_by_window() -> None:
    deployment = usage(None, {"ada": 60.0, "bo": 0.0, "dan": 90.0})
    (found,) = count(WEB, insights=Insights(deployment))

    assert found.members == 3
    assert [(window.window, window.active_users, window.seconds) for window in found.windows] == [
        ("7d", 1, 60.0)
    ]


def test_a_member_of_several_groups_counts_in_each() -> None:
    insights = Insights(usage(None, {"ada": 60.0}))
    found = count(WEB, Group("", "Ops", {"1": "ada"}), insights=insights)

    assert [one.windows[0].seconds for one in found] == [60.0, 60.0]


def test_latency_is_that_of_the_template_with_most_of_the_time() -> None:
    insights = Insights(
        usage(None, {"ada": 70.0, "bo": 60.0, "cleo": 60.0}),
        [
            usage(GO, {"ada": 60.0, "bo": 60.0, "cleo": 60.0}, {"ada": 0.02, "bo": 0.15}),
            usage(RUST, {"ada": 10.0, "dan": 60.0}, {"ada": 0.9, "dan": 0.9}),
        ],
    )
    (found,) = count(WEB, insights=insights)

    assert found.windows[0].users_by_latency == {"fast": 1, "fair": 1, "slow": 0, "unmeasured": 1}


def test_without_usage_of_the_deployment_windows_are_unknown() -> None:
    assert [one.windows for one in count(WEB)] == [()]


def test_renamed_members_count_under_their_newest_name() -> None:
    inventory = Inventory(users=[User("1", "ada-l")], groups=[WEB])
    (found,) = count_group_usage(inventory, Insights(usage(None, {"ada-l": 60.0})))

    assert found.windows[0].active_users == 1


def test_a_group_with_unreadable_members_has_only_their_number() -> None:
    group = Group("acme", "Web", {"1": "ada"}, hidden_members=2, quota_allowance=5)
    workspaces, insights = (workspace("ada", 3),), Insights(usage(None, {"ada": 60.0}))

    assert count(group, workspaces=workspaces, insights=insights) == [GroupUsage("acme", "Web", 3)]


def test_cost_is_that_of_the_organization_and_for_teams_of_all() -> None:
    workspaces = (
        workspace("ada", 10),
        workspace("ada", 5, RUST),
        workspace("dan", 7),
        workspace("bo", 3, is_prebuild=True),
    )
    found = count(WEB, Group("", "Team", {"1": "ada"}), workspaces=workspaces)

    assert [one.daily_cost for one in found] == [10, 15]


def test_cost_is_unknown_while_no_workspace_has_any() -> None:
    assert [one.daily_cost for one in count(WEB, workspaces=(workspace("ada", 0),))] == [None]


def test_a_members_budget_is_the_sum_of_the_allowances_of_the_organization() -> None:
    """Ada is in both groups, so her budget is 15; Bo's is 10."""
    groups = (
        Group("acme", "Everyone", {"1": "ada", "2": "bo"}, quota_allowance=10),
        Group("acme", "Web", {"1": "ada"}, quota_allowance=5),
        Group("labs", "Everyone", {"1": "ada"}, quota_allowance=100),
    )
    found = count(*groups, workspaces=(workspace("ada", 14), workspace("bo", 10)))

    assert [one.quota for one in found] == [
        GroupQuota(10, 25, 1),
        GroupQuota(5, 15, 0),
        GroupQuota(100, 100, 0),
    ]


@pytest.mark.parametrize("allowance", [None, 0], ids=["team", "no quotas"])
def test_without_allowances_there_are_no_budgets(allowance: int | None) -> None:
    group = Group("acme", "Web", {"1": "ada"}, quota_allowance=allowance)

    assert [one.quota for one in count(group, workspaces=(workspace("ada", 9),))] == [None]


@given(
    seconds=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=6),
    p50=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([0.01, 0.15, 0.3, 2.0])),
    members=st.sets(st.sampled_from("abcdefgh")),
)
def test_bands_add_up_to_the_active_members(
    seconds: dict[str, int], p50: dict[str, float], members: set[str]
) -> None:
    activity = {name: float(value) for name, value in seconds.items()}
    insights = Insights(usage(None, activity), [usage(GO, activity, p50)])
    (found,) = count(Group("acme", "Web", {name: name for name in members}), insights=insights)
    (window,) = found.windows

    assert sum(window.users_by_latency.values()) == window.active_users
    assert window.active_users <= found.members
    assert window.seconds == sum(value for name, value in seconds.items() if name in members)
