"""The simulated coderd metrics match recordings of a real coderd, flaws included."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve, serve_metrics
from insights_exporter.simulator.coderd.metric_vectors import DuplicateMetricError
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.model import App, Build, Organization, Parameter
from insights_exporter.simulator.options import ApiOptions, MetricsOptions
from insights_exporter.simulator.usage import UserDay, minute_mask
from tests.support.clock import FakeClock
from tests.support.goldens import golden
from tests.support.scripted_world import ScriptedWorld, scripted_world, template

START = datetime(2026, 1, 14, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Labels = dict[str, str]


def samples(exposition: str) -> list[tuple[str, Labels, float]]:
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    ]


def values_by_labels(exposition: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the values of a family by some of its labels."""
    return {
        tuple(sample_labels[label] for label in labels): value
        for sample_name, sample_labels, value in samples(exposition)
        if sample_name == name
    }


def recorded_insights_world() -> ScriptedWorld:
    """Return the usage of the recorded deployment: one minute in three apps, three in a custom one."""
    recorded_template = replace(
        template(0, "golden-template"),
        apps=(App("golden-slug", "Golden Slug"),),
        parameters=(
            Parameter("first_parameter"),
            Parameter("second_parameter", "bool"),
            Parameter("third_parameter", "number"),
        ),
    )
    world = scripted_world(recorded_template, users=("ada", "grace"))
    workspace = world.add_workspace("dev")
    world.add_report(workspace, START + MINUTE, sessions={"vscode": 1, "jetbrains": 2, "ssh": 1})
    # A user of custom apps alone is not an active user in these metrics.
    world.usage_by_day[START.date()] = [UserDay(0, 1, app_masks={"golden-slug": minute_mask(601, 604)})]
    values = (("Foobar", "true", "789"), ("Baz", "true", "999"))
    for number, parameter_values in enumerate(values):
        values_by_name = dict(
            zip((parameter.name for parameter in recorded_template.parameters), parameter_values, strict=True)
        )
        world.scripted_builds.append(
            Build(recorded_template, f"workspace-{number}", 1, START + MINUTE, values_by_name)
        )
    return world


@pytest.mark.parametrize(
    ("named", "file"), [(False, "insights-metrics.json"), (True, "newer/insights-metrics.json")]
)
def test_insights_metrics_match_the_recording(*, named: bool, file: str) -> None:
    metrics = CoderdMetrics(recorded_insights_world(), START, organization_label=named)

    text = metrics.render(START + 5 * MINUTE)

    values = {
        f"{name}[{','.join(f'{key}={labels[key]}' for key in sorted(labels))}]": int(value)
        for name, labels, value in samples(text)
        if name.startswith("coderd_insights_")
    }
    assert golden(file) == values


def test_insights_metrics_disappear_after_five_idle_minutes() -> None:
    metrics = CoderdMetrics(recorded_insights_world(), START)

    assert "coderd_insights_" not in metrics.render(START + 4 * MINUTE)
    assert "coderd_insights_" in metrics.render(START + 9 * MINUTE)
    assert "coderd_insights_" not in metrics.render(START + 10 * MINUTE)


def test_duplicate_template_names_break_metrics_of_older_releases() -> None:
    second_organization = Organization("22222222-0000-4000-8000-000000000001", "research")
    world = scripted_world(template(0, "go"), template(1, "go", second_organization), users=("ada", "grace"))
    for index in (0, 1):
        world.add_report(world.add_workspace("dev", owner=index, template_index=index), START)
    with pytest.raises(DuplicateMetricError):
        CoderdMetrics(world, START, organization_label=False).render(START + 5 * MINUTE)

    exposition = CoderdMetrics(world, START, organization_label=True).render(START + 5 * MINUTE)

    values = values_by_labels(
        exposition, "coderd_insights_templates_active_users", "organization_name", "template_name"
    )
    assert values == {("coder", "go"): 1, ("research", "go"): 1}


def recorded_agents_world() -> ScriptedWorld:
    """Return the reports of the recorded agents: three each, with increasing values."""
    world = scripted_world(template(0, "one"), users=("testuser",))
    rows = (
        ("workspace-1", 1, 2, (3, 4, 5, 6), 7, 8),
        ("workspace-2", 2, 4, (6, 8, 10, 12), 8, 10),
        ("workspace-3", 3, 6, (12, 14, 16, 18), 9, 12),
    )
    for name, sent, received, sessions, connections, seconds in rows:
        workspace = world.add_workspace(name, agents=("example",))
        for increment in range(3):
            vscode, jetbrains, terminal, ssh = (count + increment for count in sessions)
            world.add_report(
                workspace,
                START + timedelta(seconds=10 * increment),
                latency_ms=seconds * 1000,
                sent=sent + increment,
                received=received + increment,
                connections=connections + increment,
                sessions={"vscode": vscode, "jetbrains": jetbrains, "reconnecting_pty": terminal, "ssh": ssh},
            )
    return world


def test_agent_stats_match_the_recording() -> None:
    exposition = CoderdMetrics(recorded_agents_world(), START).render(START + MINUTE)

    values = {
        f"{labels['username']}:{labels['workspace_name']}:{labels['agent_name']}:{name}": int(value)
        for name, labels, value in samples(exposition)
        if name.startswith("coderd_agentstats_") and "template_name" not in labels
    }
    assert golden("agent-stats.json") == values


def test_byte_gauges_reset_each_minute() -> None:
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 3)
    metrics = CoderdMetrics(world, START)

    bytes_by_minute = [
        values_by_labels(metrics.render(START + minute * MINUTE), "coderd_agentstats_rx_bytes", "agent_name")
        for minute in range(5)
    ]

    # The first tick finds no reports; a later tick without reports keeps the values.
    assert bytes_by_minute == [{}, {("main",): 201}, {("main",): 205}, {("main",): 209}, {("main",): 209}]


def test_unscraped_metrics_keep_last_values() -> None:
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 3)

    exposition = CoderdMetrics(world, START).render(START + timedelta(hours=2))

    assert values_by_labels(exposition, "coderd_agentstats_rx_bytes", "agent_name") == {("main",): 209}
    assert values_by_labels(exposition, "coderd_prometheusmetrics_agentstats_execution_seconds_count") == {
        (): 121
    }


def test_agents_without_latency_are_omitted() -> None:
    world = scripted_world(template(0, "go"), users=("ada", "grace"))
    world.add_report(world.add_workspace("dev"), START)
    world.add_report(world.add_workspace("dev", owner=1), START, latency_ms=-1)

    exposition = CoderdMetrics(world, START).render(START + MINUTE)

    assert values_by_labels(exposition, "coderd_agentstats_session_count_ssh", "username") == {("ada",): 1}


def test_fewer_labels_sum_bytes_and_overwrite_other_gauges() -> None:
    world = scripted_world(template(0, "go"), users=("ada", "grace"))
    world.add_report(world.add_workspace("dev"), START, sessions={"ssh": 3})
    world.add_report(world.add_workspace("dev", owner=1), START, sessions={"ssh": 1})
    options = MetricsOptions(aggregate_agent_stats_by=("template_name",), client_sessions=True)

    exposition = CoderdMetrics(world, START, options).render(START + MINUTE)

    assert values_by_labels(exposition, "coderd_agentstats_rx_bytes") == {(): 200}
    assert values_by_labels(exposition, "coderd_agentstats_session_count_ssh") == {(): 1}
    assert values_by_labels(exposition, "coderd_agentstats_session_count", "app_name", "family") == {
        ("ssh", "ssh"): 4
    }
    assert values_by_labels(exposition, "coderd_agentstats_startup_script_seconds", "template_name") == {
        ("go",): 10
    }


def test_restart_clears_all_metrics() -> None:
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 5)
    metrics = CoderdMetrics(world, START)
    assert "coderd_agentstats_rx_bytes" in metrics.render(START + MINUTE)

    metrics.restart(START + 2 * MINUTE)

    exposition = metrics.render(START + 2 * MINUTE)
    assert "coderd_agentstats_rx_bytes" not in exposition
    assert values_by_labels(exposition, "process_start_time_seconds") == {
        (): (START + 2 * MINUTE).timestamp()
    }
    assert "coderd_agentstats_rx_bytes" in metrics.render(START + 3 * MINUTE)


@pytest.mark.parametrize(
    ("options", "has_insights", "has_agents"),
    [
        (MetricsOptions(), True, True),
        (MetricsOptions(collect_agent_stats=False), True, False),
        (MetricsOptions(enable=False), False, False),
    ],
    ids=["enabled", "without agent statistics", "disabled"],
)
def test_metrics_can_be_disabled(options: MetricsOptions, *, has_insights: bool, has_agents: bool) -> None:
    exposition = CoderdMetrics(recorded_insights_world(), START, options).render(START + 5 * MINUTE)

    assert ("coderd_insights_" in exposition) is has_insights
    assert ("coderd_agentstats_" in exposition) is has_agents
    assert ("coderd_agents_up" in exposition) is has_agents
    assert "coderd_api_requests_processed_total" in exposition


async def http_get(url: str, token: str = "") -> tuple[int, str, str]:
    headers = {"Coder-Session-Token": token} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, response.content_type, await response.text()


async def test_metrics_port_serves_any_path_without_authentication() -> None:
    clock = FakeClock()
    async with serve_metrics(demo_deployment(Size(2, 8), now=clock.now)) as address:
        root_response, metrics_response = await http_get(address), await http_get(f"{address}/metrics")

    assert root_response == metrics_response
    assert root_response[:2] == (200, "text/plain")
    assert "coderd_agents_up{" in root_response[2]


@pytest.mark.parametrize(
    ("version", "token", "status", "expected"),
    [
        ("v2.35.1", OWNER_TOKEN, 200, "coderd_prometheusmetrics_agentstats_execution_seconds_count 61"),
        ("v2.35.1", DEMO_TOKEN, 403, "Forbidden."),
        ("v2.34.0", OWNER_TOKEN, 404, "Route not found."),
    ],
)
async def test_debug_metrics_route_requires_owner(
    version: str, token: str, status: int, expected: str
) -> None:
    clock = FakeClock()
    deployment = demo_deployment(Size(2, 8), now=clock.now, options=ApiOptions(version=version))
    async with serve(deployment) as address:
        response = await http_get(f"{address}/api/v2/debug/metrics", token)

    assert response[0] == status
    assert expected in response[2]


async def test_duplicate_metrics_return_status_500() -> None:
    second_organization = Organization("22222222-0000-4000-8000-000000000001", "research")
    world = scripted_world(template(0, "go"), template(1, "go", second_organization), users=("ada", "grace"))
    for index in (0, 1):
        world.add_report(world.add_workspace("dev", owner=index, template_index=index), START - MINUTE)
    accounts = Accounts([Account(token=DEMO_TOKEN)])
    deployment = SimulatedDeployment(world, accounts, lambda: START, ApiOptions(version="v2.30.0"))
    async with serve_metrics(deployment) as address:
        status, _, text = await http_get(address)

    assert status == 500
    assert "collected before" in text


def build(number: int, *, seconds: float = 40.0, is_failed: bool = False) -> Build:
    go = template(0, "go")
    return Build(go, "workspace-1", number, START + number * MINUTE, {}, is_failed=is_failed, seconds=seconds)


def test_builds_are_counted_since_the_start_by_result() -> None:
    world = scripted_world(template(0, "go"), users=("ada",))
    world.scripted_builds = [build(-1), build(1, is_failed=True), build(2), build(3), build(9)]
    metrics = CoderdMetrics(world, START)
    totals = [
        values_by_labels(
            metrics.render(START + minute * MINUTE),
            "coderd_workspace_builds_total",
            "template_name",
            "status",
        )
        for minute in (0, 2, 5)
    ]

    assert totals == [
        {},
        {("go", "failed"): 1},
        {("go", "failed"): 1, ("go", "success"): 2},
    ]


def test_durations_of_builds_are_cumulative_histograms() -> None:
    world = scripted_world(template(0, "go"), users=("ada",))
    world.scripted_builds = [build(1, seconds=25.0), build(2, seconds=50.0), build(3, is_failed=True)]
    exposition = CoderdMetrics(world, START).render(START + 5 * MINUTE)
    name = "coderd_template_workspace_build_duration_seconds"

    assert values_by_labels(exposition, f"{name}_bucket", "le") == {
        ("1",): 0,
        ("10",): 0,
        ("30",): 0,
        ("60",): 1,
        ("300",): 2,
        ("600",): 2,
        ("1800",): 2,
        ("3600",): 2,
        ("+Inf",): 2,
    }
    # An agent is ready 20 seconds after its build.
    assert values_by_labels(exposition, f"{name}_sum") == {(): 25 + 50 + 2 * 20}
    assert values_by_labels(exposition, "coderd_provisionerd_job_timings_seconds_count", "status") == {
        ("failed",): 1,
        ("success",): 2,
    }


def test_a_restart_resets_builds() -> None:
    world = scripted_world(template(0, "go"), users=("ada",))
    world.scripted_builds = [build(1)]
    metrics = CoderdMetrics(world, START)
    metrics.render(START + 5 * MINUTE)
    metrics.restart(START + 6 * MINUTE)

    assert "coderd_workspace_builds_total" not in metrics.render(START + 7 * MINUTE)


def test_older_releases_have_no_durations_by_template() -> None:
    world = scripted_world(template(0, "go"), users=("ada",))
    world.scripted_builds = [build(1)]
    exposition = CoderdMetrics(world, START, build_durations=False).render(START + 5 * MINUTE)

    assert "coderd_template_workspace_build_duration_seconds" not in exposition
    assert "coderd_provisionerd_job_timings_seconds" in exposition
