"""The simulator's own metrics of coderd are those that a real one was recorded with, flaws included."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.application import serve, serve_metrics
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.coderd.options import MetricsOptions
from insights_exporter.simulator.coderd.vector import DuplicateError
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.model import App, Build, Organization, Parameter
from insights_exporter.simulator.stage import DEMO_TOKEN, OWNER_TOKEN, stage
from insights_exporter.simulator.usage import UserDay, minutes
from tests.support.clock import FakeClock
from tests.support.told_world import ToldWorld, template, told_world

GOLDENS = Path(__file__).parents[1] / "goldens"
START = datetime(2026, 1, 14, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Labels = dict[str, str]


def golden(name: str) -> Any:
    return msgspec.json.decode((GOLDENS / name).read_bytes())


def samples(page: str) -> list[tuple[str, Labels, float]]:
    return [
        (one.name, one.labels, one.value)
        for family in text_string_to_metric_families(page)
        for one in family.samples
    ]


def of(page: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return a family's values by some of its labels."""
    return {tuple(told[one] for one in labels): value for seen, told, value in samples(page) if seen == name}


def recorded_minutes() -> ToldWorld:
    """Return what the recorded deployment did: one minute in three apps, three in a custom one."""
    made = replace(
        template(0, "golden-template"),
        apps=(App("golden-slug", "Golden Slug"),),
        parameters=(
            Parameter("first_parameter"),
            Parameter("second_parameter", "bool"),
            Parameter("third_parameter", "number"),
        ),
    )
    world = told_world(made, users=("ada", "grace"))
    workspace = world.workspace("dev")
    world.say(workspace, START + MINUTE, sessions={"vscode": 1, "jetbrains": 2, "ssh": 1})
    # Who only uses a custom app is no active user here.
    world.days[START.date()] = [UserDay(0, 1, apps={"golden-slug": minutes(601, 604)})]
    values = (("Foobar", "true", "789"), ("Baz", "true", "999"))
    for number, chosen in enumerate(values):
        named = dict(zip((one.name for one in made.parameters), chosen, strict=True))
        world.told_builds.append(Build(made, f"workspace-{number}", 1, START + MINUTE, named))
    return world


@pytest.mark.parametrize(
    ("named", "file"), [(False, "insights-metrics.json"), (True, "newer/insights-metrics.json")]
)
def test_insights_of_five_minutes_equal_the_recorded_ones(*, named: bool, file: str) -> None:
    metrics = CoderdMetrics(recorded_minutes(), START, organizations=named)

    page = metrics.page(START + 5 * MINUTE)

    found = {
        f"{name}[{','.join(f'{key}={labels[key]}' for key in sorted(labels))}]": int(value)
        for name, labels, value in samples(page)
        if name.startswith("coderd_insights_")
    }
    assert golden(file) == found


def test_insights_vanish_when_nobody_did_anything_for_five_minutes() -> None:
    metrics = CoderdMetrics(recorded_minutes(), START)

    assert "coderd_insights_" not in metrics.page(START + 4 * MINUTE)
    assert "coderd_insights_" in metrics.page(START + 9 * MINUTE)
    assert "coderd_insights_" not in metrics.page(START + 10 * MINUTE)


def test_templates_of_one_name_break_the_page_of_older_releases() -> None:
    other = Organization("22222222-0000-4000-8000-000000000001", "research")
    world = told_world(template(0, "go"), template(1, "go", other), users=("ada", "grace"))
    for place in (0, 1):
        world.say(world.workspace("dev", owner=place, of=place), START)
    with pytest.raises(DuplicateError):
        CoderdMetrics(world, START, organizations=False).page(START + 5 * MINUTE)

    page = CoderdMetrics(world, START, organizations=True).page(START + 5 * MINUTE)

    found = of(page, "coderd_insights_templates_active_users", "organization_name", "template_name")
    assert found == {("coder", "go"): 1, ("research", "go"): 1}


def recorded_agents() -> ToldWorld:
    """Return what the recorded agents said: each three times, one more each time."""
    world = told_world(template(0, "one"), users=("testuser",))
    rows = (
        ("workspace-1", 1, 2, (3, 4, 5, 6), 7, 8),
        ("workspace-2", 2, 4, (6, 8, 10, 12), 8, 10),
        ("workspace-3", 3, 6, (12, 14, 16, 18), 9, 12),
    )
    for name, sent, received, sessions, connections, seconds in rows:
        workspace = world.workspace(name, agents=("example",))
        for more in range(3):
            vscode, jetbrains, terminal, ssh = (one + more for one in sessions)
            world.say(
                workspace,
                START + timedelta(seconds=10 * more),
                latency_ms=seconds * 1000,
                sent=sent + more,
                received=received + more,
                connections=connections + more,
                sessions={"vscode": vscode, "jetbrains": jetbrains, "reconnecting_pty": terminal, "ssh": ssh},
            )
    return world


def test_agent_statistics_equal_the_recorded_ones() -> None:
    page = CoderdMetrics(recorded_agents(), START).page(START + MINUTE)

    found = {
        f"{labels['username']}:{labels['workspace_name']}:{labels['agent_name']}:{name}": int(value)
        for name, labels, value in samples(page)
        if name.startswith("coderd_agentstats_") and "template_name" not in labels
    }
    assert golden("agent-stats.json") == found


def test_bytes_are_those_of_the_last_minute() -> None:
    world = told_world(template(0, "go"))
    world.chatter(world.workspace("dev"), START, 3)
    metrics = CoderdMetrics(world, START)

    found = [
        of(metrics.page(START + minute * MINUTE), "coderd_agentstats_rx_bytes", "agent_name")
        for minute in range(5)
    ]

    # Nothing at the start; a tick without reports leaves the last one.
    assert found == [{}, {("main",): 201}, {("main",): 205}, {("main",): 209}, {("main",): 209}]


def test_a_page_that_nobody_asked_for_shows_what_froze() -> None:
    world = told_world(template(0, "go"))
    world.chatter(world.workspace("dev"), START, 3)

    page = CoderdMetrics(world, START).page(START + timedelta(hours=2))

    assert of(page, "coderd_agentstats_rx_bytes", "agent_name") == {("main",): 209}
    assert of(page, "coderd_prometheusmetrics_agentstats_execution_seconds_count") == {(): 121}


def test_agents_without_latency_are_missing() -> None:
    world = told_world(template(0, "go"), users=("ada", "grace"))
    world.say(world.workspace("dev"), START)
    world.say(world.workspace("dev", owner=1), START, latency_ms=-1)

    page = CoderdMetrics(world, START).page(START + MINUTE)

    assert of(page, "coderd_agentstats_session_count_ssh", "username") == {("ada",): 1}


def test_under_fewer_labels_bytes_add_up_and_all_else_is_overwritten() -> None:
    world = told_world(template(0, "go"), users=("ada", "grace"))
    world.say(world.workspace("dev"), START, sessions={"ssh": 3})
    world.say(world.workspace("dev", owner=1), START, sessions={"ssh": 1})
    options = MetricsOptions(aggregate_agent_stats_by=("template_name",), client_sessions=True)

    page = CoderdMetrics(world, START, options).page(START + MINUTE)

    assert of(page, "coderd_agentstats_rx_bytes") == {(): 200}
    assert of(page, "coderd_agentstats_session_count_ssh") == {(): 1}
    assert of(page, "coderd_agentstats_session_count", "app_name", "family") == {("ssh", "ssh"): 4}
    assert of(page, "coderd_agentstats_startup_script_seconds", "template_name") == {("go",): 10}


def test_a_restart_begins_at_nothing() -> None:
    world = told_world(template(0, "go"))
    world.chatter(world.workspace("dev"), START, 5)
    metrics = CoderdMetrics(world, START)
    assert "coderd_agentstats_rx_bytes" in metrics.page(START + MINUTE)

    metrics.restart(START + 2 * MINUTE)

    page = metrics.page(START + 2 * MINUTE)
    assert "coderd_agentstats_rx_bytes" not in page
    assert of(page, "process_start_time_seconds") == {(): (START + 2 * MINUTE).timestamp()}
    assert "coderd_agentstats_rx_bytes" in metrics.page(START + 3 * MINUTE)


@pytest.mark.parametrize("options", [MetricsOptions(enable=False), MetricsOptions(collect_agent_stats=False)])
def test_statistics_may_be_switched_off(options: MetricsOptions) -> None:
    world = told_world(template(0, "go"))
    world.chatter(world.workspace("dev"), START, 2)

    page = CoderdMetrics(world, START, options).page(START + MINUTE)

    assert "agentstats" not in page
    assert "coderd_agents_" not in page
    assert "coderd_api_requests_processed_total" in page


async def ask(url: str, token: str = "") -> tuple[int, str, str]:
    headers = {"Coder-Session-Token": token} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_any_path_of_the_port_answers_without_a_login() -> None:
    clock = FakeClock()
    async with serve_metrics(stage(Size(2, 8), now=clock.now)) as address:
        root, metrics = await ask(address), await ask(f"{address}/metrics")

    assert root == metrics
    assert root[:2] == (200, "text/plain")
    assert "coderd_agents_up{" in root[2]


@pytest.mark.parametrize(
    ("version", "token", "status", "told"),
    [
        ("v2.35.1", OWNER_TOKEN, 200, "coderd_prometheusmetrics_agentstats_execution_seconds_count 61"),
        ("v2.35.1", DEMO_TOKEN, 403, "Forbidden."),
        ("v2.34.0", OWNER_TOKEN, 404, "Route not found."),
    ],
)
async def test_the_api_serves_the_same_page_to_owners(
    version: str, token: str, status: int, told: str
) -> None:
    clock = FakeClock()
    deployment = stage(Size(2, 8), now=clock.now, options=ApiOptions(version=version))
    async with serve(deployment) as address:
        found = await ask(f"{address}/api/v2/debug/metrics", token)

    assert found[0] == status
    assert told in found[2]


async def test_a_page_that_cannot_be_gathered_is_an_error() -> None:
    other = Organization("22222222-0000-4000-8000-000000000001", "research")
    world = told_world(template(0, "go"), template(1, "go", other), users=("ada", "grace"))
    for place in (0, 1):
        world.say(world.workspace("dev", owner=place, of=place), START - MINUTE)
    accounts = Accounts([Account(token=DEMO_TOKEN)])
    deployment = SimulatedDeployment(world, accounts, lambda: START, ApiOptions(version="v2.30.0"))
    async with serve_metrics(deployment) as address:
        status, _, text = await ask(address)

    assert status == 500
    assert "collected before" in text
