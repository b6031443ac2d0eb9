"""What each part of a snapshot shows with a minimum group size of five."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import (
    Agent,
    AgentStats,
    BuildDuration,
    Deployment,
    GroupQuota,
    GroupUsage,
    GroupWindow,
    Insights,
    Inventory,
    Latency,
    ParameterOption,
    ParameterUsage,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    Totals,
    UserLatency,
    WindowUsage,
    Workspace,
)
from tests.small_groups.adversary import NOW

MINIMUM = 5
GO, JAVA = TemplateKey("acme", "go"), TemplateKey("acme", "java")


def window(users: int, *, days: int = 7, latency: Latency | None = None, seconds: float = 600) -> WindowUsage:
    """Return the usage of a window by some users."""
    activity = {f"u{number}": seconds for number in range(users)}
    return WindowUsage(
        f"{days}d",
        NOW - timedelta(days=days),
        NOW,
        active_users=users,
        seconds=sum(activity.values()),
        activity=activity,
        latency=latency or Latency(),
    )


def insights_of(usage: TemplateUsage, deployment: TemplateUsage | None = None) -> Snapshot:
    """Return a snapshot with the usage of one template."""
    return Snapshot(NOW, insights=Timestamped(Insights(deployment or TemplateUsage(None), [usage]), NOW))


def shown_usage(usage: TemplateUsage, deployment: TemplateUsage | None = None) -> TemplateUsage:
    """Return what is shown of a template's usage."""
    insights = suppress_small_groups(insights_of(usage, deployment), MINIMUM).snapshot.insights
    assert insights is not None
    return insights.value.templates[0]


# Usage


def test_usage_by_user_is_never_shown() -> None:
    totals = Totals(NOW - timedelta(days=20), 6000.0, users={f"u{number}": 600.0 for number in range(10)})
    shown = shown_usage(TemplateUsage(GO, [window(10)], totals=totals))

    assert shown.windows[0].active_users == 10
    assert shown.windows[0].activity == {}
    assert shown.totals is not None
    assert (shown.totals.seconds, shown.totals.users) == (6000.0, {})


def test_window_with_few_users_is_absent_and_window_without_users_is_zero() -> None:
    shown = shown_usage(TemplateUsage(GO, [window(4, days=7), window(0, days=1), window(9, days=30)]))

    assert [(one.window, one.active_users) for one in shown.windows] == [("1d", 0), ("30d", 9)]


def test_shorter_window_is_withheld_if_few_users_were_active_only_in_the_longer_one() -> None:
    longer, shorter = window(8, days=30), window(8, days=7)
    activity = {**longer.activity, "u0": 900.0, "u1": 900.0}
    longer = replace(longer, activity=activity, seconds=sum(activity.values()))

    shown = shown_usage(TemplateUsage(GO, [shorter, longer]))

    assert [one.window for one in shown.windows] == ["30d"]


def test_active_users_of_days_are_unknown_where_they_or_the_rest_are_few() -> None:
    deployment = TemplateUsage(None, days=[20, 20, 20, 4])
    shown = shown_usage(TemplateUsage(GO, days=[20, 18, 4, 4]), deployment)

    # On the second day, only two people used other templates.
    assert shown.days == (20, None, None, None)


# Latency


def latency(*milliseconds: float, unmeasured: int = 0) -> Latency:
    """Return the latency of users with the same median and 95th percentile."""
    rows = [UserLatency(f"u{n}", value / 1000, value / 1000) for n, value in enumerate(milliseconds)]
    missing = [UserLatency(f"u{len(rows) + n}", None, None) for n in range(unmeasured)]
    return Latency.from_rows((*rows, *missing))


def shown_latency(users: int, measured: Latency) -> Latency:
    """Return what is shown of the latency of a window."""
    return shown_usage(TemplateUsage(GO, [window(users, latency=measured)])).windows[0].latency


def users_by_band(shown: Latency) -> list[int]:
    """Return the users of each band up to 0.15, 0.3 seconds and above."""
    values = shown.p50.values()
    return [
        sum(value <= LATENCY_BUCKETS[6] for value in values),
        sum(LATENCY_BUCKETS[6] < value <= LATENCY_BUCKETS[8] for value in values),
        sum(value > LATENCY_BUCKETS[8] for value in values),
    ]


def test_few_slow_users_count_in_the_next_faster_band_with_enough_users() -> None:
    assert users_by_band(shown_latency(12, latency(*[20] * 10, 400, 900))) == [12, 0, 0]
    assert users_by_band(shown_latency(12, latency(*[20] * 7, *[400] * 5))) == [7, 0, 5]


def test_users_without_latency_are_shown_if_they_are_many() -> None:
    many = shown_latency(12, latency(*[20] * 6, unmeasured=6))
    few = shown_latency(12, latency(*[20] * 10, unmeasured=2))

    assert (len(many.users), len(many.p50)) == (12, 6)
    # Otherwise users minus measured users would be the number of the few.
    assert (len(few.users), len(few.p50)) == (12, 12)


def test_latency_is_withheld_if_few_users_have_one_or_few_are_filtered() -> None:
    assert shown_latency(12, latency(*[20] * 3, unmeasured=9)).withheld
    filtered = window(12, latency=latency(*[20] * 10))
    filtered = replace(filtered, activity=dict(list(filtered.activity.items())[:10]))
    assert shown_usage(TemplateUsage(GO, [filtered])).windows[0].latency.withheld


def test_deployment_counts_each_user_once_with_the_highest_latency() -> None:
    usages = [
        TemplateUsage(key, [window(8, latency=latency(*[milliseconds] * 8))])
        for key, milliseconds in ((GO, 20), (JAVA, 400))
    ]
    insights = Insights(TemplateUsage(None, [window(8)]), usages)
    shown = suppress_small_groups(Snapshot(NOW, insights=Timestamped(insights, NOW)), MINIMUM).snapshot

    assert shown.insights is not None
    assert users_by_band(shown.insights.value.deployment.windows[0].latency) == [0, 0, 8]


# Parameters


def shown_values(values: dict[str, int], owners: Sequence[int] = ()) -> dict[str, int] | None:
    """Return what is shown of a parameter; ``owners`` has the workspaces of each owner."""
    options = tuple(ParameterOption(value) for value in values)
    parameter = ParameterUsage("region", "string", "Region", values, options)
    usage = TemplateUsage(GO, [replace(window(20), parameters=[parameter])])
    workspaces = [
        Workspace(f"{owner}-{n}", "dev", f"u{owner}", GO, "running")
        for owner, count in enumerate(owners)
        for n in range(count)
    ]
    snapshot = replace(insights_of(usage), inventory=Timestamped(Inventory(workspaces=workspaces), NOW))
    insights = suppress_small_groups(snapshot, MINIMUM).snapshot.insights
    assert insights is not None
    parameters = insights.value.templates[0].windows[0].parameters
    assert all(option.value in one.values for one in parameters for option in one.options)
    return dict(parameters[0].values) if parameters else None


def test_values_of_few_workspaces_are_added_up() -> None:
    assert shown_values({"eu": 20, "us": 3, "asia": 4, "moon": 0}) == {"eu": 20, "moon": 0, "_other": 7}


def test_smallest_other_value_is_added_to_a_single_rare_value() -> None:
    assert shown_values({"eu": 20, "us": 9, "asia": 2}) == {"eu": 20, "_other": 11}


def test_parameter_whose_values_are_all_rare_is_left_out() -> None:
    assert shown_values({"eu": 2, "us": 2}) is None


def test_workspaces_of_one_owner_do_not_make_a_value_common() -> None:
    # The four owners with most workspaces have 12 together: up to 12 workspaces may be theirs.
    assert shown_values({"eu": 13, "us": 12}, owners=[9, *[1] * 16]) == {"_other": 25}
    assert shown_values({"eu": 13, "us": 12}, owners=[1] * 25) == {"eu": 13, "us": 12}
    assert shown_values({"eu": 13}, owners=[7, 6]) is None


# Inventory


def workspace(owner: int, key: TemplateKey = GO, *, idle_days: float = 0.0, relay: str = "") -> Workspace:
    """Return a running workspace."""
    agents = (Agent("a", "main", "connected", relay=relay, relay_latency=0.01),)
    last_used = NOW - timedelta(days=idle_days)
    return Workspace(f"w{owner}", "dev", f"u{owner}", key, "running", last_used=last_used, agents=agents)


def shown_inventory(workspaces: Sequence[Workspace]) -> Inventory:
    """Return what is shown of workspaces of two templates."""
    builds = {"start": BuildDuration(30.0, 60.0)}
    templates = [Template(key.template_name, key, build_durations=builds) for key in (GO, JAVA)]
    snapshot = Snapshot(NOW, inventory=Timestamped(Inventory(templates, workspaces), NOW))
    inventory = suppress_small_groups(snapshot, MINIMUM).snapshot.inventory
    assert inventory is not None
    return inventory.value


def test_workspaces_of_a_template_with_few_owners_are_withheld() -> None:
    shown = shown_inventory([*map(workspace, range(6)), workspace(7, JAVA), workspace(8, JAVA)])

    assert {one.key for one in shown.workspaces} == {GO}
    assert shown.withheld_templates == {JAVA}
    assert [bool(template.build_durations) for template in shown.templates] == [True, False]


def test_few_long_idle_workspaces_count_in_a_shorter_band() -> None:
    days = [0.01, 0.01, 0.01, 0.01, 0.01, 2.0, 20.0]
    shown = shown_inventory([workspace(n, idle_days=idle) for n, idle in enumerate(days)])

    assert {one.last_used > NOW - timedelta(hours=1) for one in shown.workspaces if one.last_used} == {True}


def test_relay_of_few_owners_is_not_shown() -> None:
    shown = shown_inventory(
        [*(workspace(n, relay="Oslo") for n in range(5)), *(workspace(n, relay="Rio") for n in range(5, 7))]
    )

    assert {agent.relay for one in shown.workspaces for agent in one.agents} == {"Oslo", ""}


# Deployment, agent statistics and groups


def test_few_accounts_of_a_status_hide_the_next_smallest_number() -> None:
    users = {"active": 90, "dormant": 12, "suspended": 1}
    deployment = Deployment("v2", users=users, license_used={"user_limit": 90, "agents": 1})
    result = suppress_small_groups(Snapshot(NOW, deployment=Timestamped(deployment, NOW)), MINIMUM)

    assert result.snapshot.deployment is not None
    assert result.snapshot.deployment.value.users == {"active": 90}
    assert result.snapshot.deployment.value.license_used == {"user_limit": 90, "agents": 1}
    assert result.withheld["accounts"] == 2


def test_agent_statistics_are_shown_if_insights_prove_enough_people() -> None:
    stats = AgentStats(
        NOW - timedelta(days=8),
        sessions={(*GO, "ssh"): 1},
        connections={GO: 1},
        received_bytes={GO: 10.0, JAVA: 20.0},
    )
    snapshot = insights_of(TemplateUsage(GO, [window(9)]))
    snapshot = replace(snapshot, agent_stats=Timestamped(stats, NOW))
    recent = replace(snapshot, agent_stats=Timestamped(replace(stats, since=NOW), NOW))

    shown, unproven = (suppress_small_groups(one, MINIMUM).snapshot.agent_stats for one in (snapshot, recent))

    assert shown is not None
    assert unproven is not None
    assert (shown.value.sessions, shown.value.connections) == ({}, {})
    assert shown.value.received_bytes == {GO: 10.0}
    assert unproven.value.received_bytes == {}


def group(name: str, members: int, active: int, bands: dict[str, int] | None = None) -> GroupUsage:
    """Return a group of an organization, with one member at the budget."""
    windows = (GroupWindow("7d", active, active * 60.0, bands or {}),)
    return GroupUsage("acme", name, members, windows, quota=GroupQuota(5, 5 * members, 1))


def shown_groups(*groups: GroupUsage) -> dict[str, GroupUsage]:
    """Return what is shown of groups."""
    shown = suppress_small_groups(Snapshot(NOW, groups=groups), MINIMUM).snapshot.groups
    return {one.name: one for one in shown}


def test_small_group_is_withheld_with_the_next_smallest_if_a_group_has_everybody() -> None:
    shown = shown_groups(group("Everyone", 30, 0), group("a", 16, 0), group("b", 11, 0), group("c", 3, 0))

    assert shown.keys() == {"Everyone", "a"}


def test_few_active_members_and_few_members_at_their_budget_are_withheld() -> None:
    shown = shown_groups(group("a", 16, 3), group("b", 11, 11))

    assert shown["a"].windows == ()
    assert shown["a"].quota is None
    assert shown["b"].windows[0].active_users == 11


def test_few_slow_members_count_in_the_next_faster_band() -> None:
    bands = {"fast": 9, "fair": 1, "slow": 3, "unmeasured": 1}

    assert shown_groups(group("a", 16, 14, bands))["a"].windows[0].users_by_latency == {
        "fast": 14,
        "fair": 0,
        "slow": 0,
        "unmeasured": 0,
    }
