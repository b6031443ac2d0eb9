"""Families of workspaces, agents, apps and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Histogram
from insights_exporter.metrics.families import build_families
from insights_exporter.metrics.family import Family
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import (
    Agent,
    App,
    AppUsage,
    Insights,
    Inventory,
    Parameter,
    ParameterOption,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    UnitPrice,
    User,
    WindowUsage,
    Workspace,
)

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
KEY = TemplateKey("acme", "go")
EMPTY_KEY = TemplateKey("acme", "unused")
AGENT = Agent("a", "main", "connected", apps=(App("code", health="healthy"),))


def workspace(**fields: Any) -> Workspace:
    defaults: dict[str, Any] = {"status": "running", "last_used": NOW}
    return Workspace("w", "dev", fields.pop("owner", "ada"), KEY, **(defaults | fields))


def values_of(
    family: Family, *workspaces: Workspace, parameters: tuple[Parameter, ...] = (), **parts: Any
) -> Mapping[tuple[str, ...], Any]:
    """Return the values of a family by label values."""
    inventory = Inventory([Template("1", KEY, parameters=parameters), Template("2", EMPTY_KEY)], workspaces)
    snapshot = Snapshot(NOW, inventory=Timestamped(inventory, NOW), **parts)
    families = build_families(
        snapshot, username_policy=UsernamePolicy(UsernameMode.NAMED), limits=LimitSettings()
    )
    return dict(next(samples for samples in families.samples if samples.family is family))


def test_workspaces_are_counted_by_status_of_the_latest_build() -> None:
    """Dormancy is a family of its own."""
    rows = (workspace(), workspace(is_dormant=True), workspace(status="stopped", is_dormant=True))

    assert values_of(catalogue.WORKSPACES, *rows) == {
        (*KEY, "running"): 2,
        (*KEY, "stopped"): 1,
        (*KEY, "failed"): 0,
        (*EMPTY_KEY, "running"): 0,
        (*EMPTY_KEY, "stopped"): 0,
        (*EMPTY_KEY, "failed"): 0,
    }
    assert values_of(catalogue.WORKSPACES_DORMANT, *rows) == {KEY: 2, EMPTY_KEY: 0}


def test_latest_builds_are_counted_by_transition_and_job_status() -> None:
    """Templates without workspaces have zeros, so that a first failure is an increase."""
    rows = (
        workspace(transition="start", job_status="succeeded"),
        workspace(transition="start", job_status="failed"),
        workspace(transition="stop", job_status="failed"),
        workspace(transition="start", job_status="failed", is_prebuild=True),
        workspace(transition="start"),
    )

    assert values_of(catalogue.LATEST_BUILDS, *rows) == {
        (*KEY, "start", "succeeded"): 1,
        (*KEY, "start", "failed"): 1,
        (*KEY, "stop", "failed"): 1,
        (*EMPTY_KEY, "start", "succeeded"): 0,
        (*EMPTY_KEY, "start", "failed"): 0,
    }


def test_agents_and_apps_of_dormant_workspaces_count_while_these_run() -> None:
    rows = (workspace(agents=(AGENT,)), workspace(agents=(AGENT,), is_dormant=True))

    assert values_of(catalogue.AGENTS, *rows)[*KEY, "connected"] == 2
    assert values_of(catalogue.APP_HEALTH, *rows) == {(*KEY, "code", "healthy"): 2}


def test_external_apps_have_no_health() -> None:
    link = App("wiki", health="healthy", external=True)

    assert (
        values_of(catalogue.APP_HEALTH, workspace(agents=(Agent("a", "main", "connected", apps=(link,)),)))
        == {}
    )


@pytest.mark.parametrize(
    "family",
    [
        catalogue.WORKSPACES,
        catalogue.LATEST_BUILDS,
        catalogue.WORKSPACES_DORMANT,
        catalogue.WORKSPACES_PENDING_DELETION,
        catalogue.WORKSPACES_OUTDATED,
        catalogue.WORKSPACES_WITHOUT_AUTOSTOP,
        catalogue.WORKSPACE_IDLE,
        catalogue.WORKSPACE_DAILY_COST,
        catalogue.WORKSPACE_IDLE_DAILY_COST,
        catalogue.AGENTS,
        catalogue.AGENTS_OUTDATED,
        catalogue.APP_HEALTH,
        catalogue.AGENT_RELAY_LATENCY,
    ],
    ids=lambda family: family.name,
)
def test_prebuilt_workspaces_are_in_no_other_family(family: Family) -> None:
    agent = Agent("a", "main", "connected", outdated=True, relay="Sydney", relay_latency=0.1, apps=AGENT.apps)
    prebuilt = workspace(
        agents=(agent,), is_prebuild=True, outdated=True, is_dormant=True, deleting_at=NOW, daily_cost=5
    )

    assert values_of(family, prebuilt) == values_of(family)
    assert values_of(family, prebuilt, workspace(agents=(agent,), outdated=True, daily_cost=5)) == values_of(
        family, workspace(agents=(agent,), outdated=True, daily_cost=5)
    )
    assert values_of(catalogue.PREBUILT_WORKSPACES, prebuilt) == {
        (*KEY, "running"): 1,
        (*EMPTY_KEY, "running"): 0,
    }


def test_workspaces_without_autostop_are_running_ones_without_a_deadline() -> None:
    rows = (workspace(), workspace(has_autostop=True), workspace(status="stopped"))

    assert values_of(catalogue.WORKSPACES_WITHOUT_AUTOSTOP, *rows) == {KEY: 1, EMPTY_KEY: 0}


def test_outdated_workspaces_count_in_every_status() -> None:
    rows = (workspace(outdated=True), workspace(outdated=True, status="stopped"), workspace())

    assert values_of(catalogue.WORKSPACES_OUTDATED, *rows) == {KEY: 2, EMPTY_KEY: 0}


def test_pending_deletion_is_within_seven_days() -> None:
    rows = tuple(workspace(deleting_at=NOW + timedelta(days=days)) for days in (-1, 6, 8))

    assert values_of(catalogue.WORKSPACES_PENDING_DELETION, *rows) == {KEY: 2, EMPTY_KEY: 0}


def test_idle_time_is_counted_for_running_workspaces() -> None:
    hours = (0.5, 2, 9, 30, 100, 200, 800)
    rows = [workspace(last_used=NOW - timedelta(hours=number)) for number in hours]
    # The server's clock is ahead.
    rows.append(workspace(last_used=NOW + timedelta(seconds=5)))
    rows.append(workspace(last_used=None))
    rows.append(workspace(status="stopped", last_used=NOW - timedelta(days=100)))
    histograms: dict[tuple[str, ...], Histogram] = dict(values_of(catalogue.WORKSPACE_IDLE, *rows))

    assert histograms[KEY].counts == (2, 1, 1, 1, 1, 1, 1)
    assert histograms[KEY].sum == sum(hours) * 3600
    assert histograms[EMPTY_KEY].counts == (0,) * 7


def test_daily_cost_is_summed_by_status() -> None:
    rows = (
        workspace(daily_cost=10),
        workspace(daily_cost=5),
        workspace(daily_cost=2, status="stopped", is_dormant=True),
    )
    costs = values_of(catalogue.WORKSPACE_DAILY_COST, *rows)

    assert costs[*KEY, "running"] == 15
    assert costs[*KEY, "stopped"] == 2
    assert costs[*EMPTY_KEY, "running"] == 0


def test_daily_cost_is_absent_without_costs() -> None:
    assert values_of(catalogue.WORKSPACE_DAILY_COST, workspace()) == {}


def test_cost_of_idle_workspaces_is_cumulative_by_idle_time() -> None:
    rows = (
        workspace(daily_cost=10, last_used=NOW - timedelta(hours=23)),
        workspace(daily_cost=5, last_used=NOW - timedelta(days=7)),
        workspace(daily_cost=3, last_used=NOW - timedelta(days=31)),
        workspace(daily_cost=2, last_used=None),
        workspace(daily_cost=1, last_used=NOW - timedelta(days=31), status="stopped"),
    )

    assert values_of(catalogue.WORKSPACE_IDLE_DAILY_COST, *rows) == {
        (*KEY, "1d"): 8,
        (*KEY, "7d"): 8,
        (*KEY, "30d"): 3,
        (*EMPTY_KEY, "1d"): 0,
        (*EMPTY_KEY, "7d"): 0,
        (*EMPTY_KEY, "30d"): 0,
    }


def test_cost_of_idle_workspaces_is_absent_without_costs() -> None:
    rows = workspace(last_used=NOW - timedelta(days=31))

    assert values_of(catalogue.WORKSPACE_IDLE_DAILY_COST, rows) == {}


@pytest.mark.parametrize(
    ("unit_price", "prices"), [(UnitPrice(0.25, "EUR"), {("EUR",): 0.25}), (None, {})], ids=str
)
def test_the_configured_price_of_a_unit_is_served(
    unit_price: UnitPrice | None, prices: Mapping[tuple[str, ...], float]
) -> None:
    assert values_of(catalogue.COST_UNIT_PRICE, unit_price=unit_price) == prices


def test_opens_of_builtin_apps_are_absent() -> None:
    """Coder counts no opens of builtin apps and sends 0."""
    apps = (AppUsage("vscode", "builtin", 60.0, 0), AppUsage("code", "app", 60.0, 0))
    usage = TemplateUsage(KEY, windows=[WindowUsage("7d", NOW - timedelta(days=7), NOW, apps=apps)])
    insights = Timestamped(Insights(TemplateUsage(None), [usage]), NOW)

    assert values_of(catalogue.TEMPLATE_APP_OPENS, insights=insights) == {(*KEY, "code", "app", "7d"): 0}


@pytest.mark.parametrize(
    ("default", "defaults"),
    [('["docker","kubectl"]', {"docker", "kubectl"}), ("docker", {"docker"}), ("", set()), ("[1]", set())],
)
def test_items_of_a_default_list_are_defaults(default: str, defaults: set[str]) -> None:
    """The default of a multi-select is a JSON list of its options."""
    options = tuple(ParameterOption(value) for value in ("docker", "kubectl", "terraform"))
    parameter = Parameter("tools", "list(string)", default=default, options=options)
    names = catalogue.PARAMETER_INFO.labels
    infos = [
        dict(zip(names, row, strict=True))
        for row in values_of(catalogue.PARAMETER_INFO, parameters=(parameter,))
    ]

    assert len(infos) == 3
    assert {info["parameter_value"] for info in infos if info["is_default"] == "true"} == defaults


def user_families_of(*workspaces: Workspace, users: UsernameMode = UsernameMode.NAMED) -> dict[str, Any]:
    """Return the values of the families about agents of users, by family and label values."""
    inventory = Inventory(workspaces=workspaces, users=[User("1", "ada"), User("2", "bo")])
    families = build_families(
        Snapshot(NOW, inventory=Timestamped(inventory, NOW)),
        username_policy=UsernamePolicy(users, b"key"),
        limits=LimitSettings(),
    )
    selected = {catalogue.USER_AGENTS, catalogue.USER_AGENT_RELAY_LATENCY}
    return {samples.family.name: dict(samples) for samples in families.samples if samples.family in selected}


def relayed_agent(
    relay: str, seconds: float | None, *, status: str = "connected", outdated: bool = False
) -> Agent:
    return Agent("a", "main", status, "v2.1", outdated, relay, seconds)


def test_connected_agents_of_a_user_are_counted_by_relay_and_version() -> None:
    rows = (
        workspace(agents=(relayed_agent("Oslo", 0.02), relayed_agent("Oslo", 0.08))),
        workspace(
            agents=(relayed_agent("Rio", 0.2, outdated=True), relayed_agent("Rio", 9, status="timeout"))
        ),
        workspace(owner="bo", agents=(relayed_agent("", None),)),
        workspace(status="stopped", agents=(relayed_agent("Rio", 7),)),
        workspace(is_prebuild=True, agents=(relayed_agent("Rio", 8),)),
    )

    assert user_families_of(*rows) == {
        catalogue.USER_AGENTS.name: {
            ("ada", "Oslo", "v2.1", "false"): 2,
            ("ada", "Rio", "v2.1", "true"): 1,
            ("bo", "", "v2.1", "false"): 1,
        },
        catalogue.USER_AGENT_RELAY_LATENCY.name: {("ada", "Oslo"): 0.08, ("ada", "Rio"): 0.2},
    }


def test_agents_of_filtered_users_have_no_series() -> None:
    """The list of users is filtered, the list of workspaces is not."""
    families = user_families_of(workspace(owner="eve", agents=(relayed_agent("Oslo", 0.02),)))

    assert families == {catalogue.USER_AGENTS.name: {}, catalogue.USER_AGENT_RELAY_LATENCY.name: {}}


def test_agents_of_users_are_hashed_or_absent() -> None:
    row = workspace(agents=(relayed_agent("Oslo", 0.02),))
    hashed = user_families_of(row, users=UsernameMode.HASHED)

    assert {labels[0][:5] for values in hashed.values() for labels in values} == {"user-"}
    assert user_families_of(row, users=UsernameMode.OFF) == {}
