"""The reader of coderd's metrics: what is counted, and which errors are reported."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights_exporter import interpreter_tuning
from insights_exporter.agent_stats.aggregate import APP_FAMILIES
from insights_exporter.agent_stats.coderd_metrics.reader import WorkspaceIndex
from insights_exporter.config.settings import UsernameMode
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.simulator.model import Organization
from insights_exporter.simulator.options import MetricsOptions
from insights_exporter.snapshot import Inventory, TemplateKey
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.coderd_metrics_harness import CoderdMetricsHarness, inventory_of, observation_count
from tests.support.histograms import bucket_counts
from tests.support.scripted_world import ScriptedWorld, scripted_world, template

START = datetime(2026, 1, 14, 10, tzinfo=UTC)
GO = ("coder", "go")
ADA = (*GO, "ada")


def busy_world(minutes: int = 20) -> ScriptedWorld:
    """Return a world with one agent that reports for some minutes."""
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, minutes)
    return world


async def test_each_collection_is_one_observation() -> None:
    world = busy_world()
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()

    stats = await sampled.samples(6)

    assert observation_count(user_latency(stats)[ADA]) == 6
    assert user_latency(stats)[ADA].sum == pytest.approx(6 * 0.02)
    assert observation_count(stats.app_latency[*GO, "ssh"]) == 6
    assert stats.sessions[*GO, "ssh"] == 1
    assert stats.connections[GO] == 1


async def test_latency_bound_is_inclusive() -> None:
    world = scripted_world(template(0, "go"))
    for number in range(20):
        world.add_report(
            world.scripted_workspaces[0] if world.scripted_workspaces else world.add_workspace("dev"),
            START + timedelta(seconds=30 * number),
            latency_ms=150,
            received=number,
        )
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()

    stats = await sampled.samples(3)

    assert bucket_counts(user_latency(stats)[ADA])[LATENCY_BUCKETS.index(0.15)] == 3


async def test_first_scrape_is_not_counted() -> None:
    """The age of its values is unknown."""
    sampled = CoderdMetricsHarness(busy_world(minutes=2))
    sampled.clock.advance(3600)
    await sampled.sample()

    stats = await sampled.samples(5)

    assert user_latency(stats) == {}
    assert stats.received_bytes == {GO: 0}


async def test_bytes_sum_all_collections() -> None:
    world = busy_world()
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()
    # Resets of the gauges are known only after the first decrease.
    await sampled.samples(1)
    world.add_workspace("other")
    world.add_report(world.scripted_workspaces[1], START + timedelta(seconds=61), received=5, sent=5)
    await sampled.samples(3)
    baseline = sampled.current_stats().received_bytes[GO]

    stats = await sampled.samples(4)

    reported_bytes = [
        report.rx_bytes for report in world.reports if 4 <= (report.created_at - START).seconds // 60 < 8
    ]
    assert stats.received_bytes[GO] - baseline == sum(reported_bytes)


@pytest.mark.parametrize("interval", [20.0, 30.0])
async def test_oversampling_counts_each_collection_once(interval: float) -> None:
    sampled = CoderdMetricsHarness(busy_world(), interval=interval)
    await sampled.sample()

    stats = await sampled.samples(int(300 / interval))

    assert observation_count(user_latency(stats)[ADA]) == 5
    assert user_seconds(stats)[(*ADA, "ssh")] <= 300
    assert user_seconds(stats)[(*ADA, "ssh")] >= 240


async def test_session_time_excludes_scrape_gaps() -> None:
    sampled = CoderdMetricsHarness(busy_world(minutes=60))
    await sampled.sample()
    await sampled.samples(2)
    before = user_seconds(sampled.current_stats())[(*ADA, "ssh")]

    await sampled.sample(after=1200)
    await sampled.sample()

    assert user_seconds(sampled.current_stats())[(*ADA, "ssh")] - before == 60


async def test_session_time_is_capped_by_elapsed_time() -> None:
    sampled = CoderdMetricsHarness(busy_world())
    await sampled.sample()
    await sampled.sample(after=31)
    await sampled.sample()

    assert user_seconds(sampled.current_stats())[(*ADA, "ssh")] == 31


async def test_session_time_is_counted_once_per_template() -> None:
    world = busy_world()
    world.add_report_every_half_minute(world.add_workspace("second"), START, 20)
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()

    stats = await sampled.samples(5)

    assert user_seconds(stats)[(*ADA, "ssh")] == 300
    assert stats.sessions[*GO, "ssh"] == 2
    assert observation_count(user_latency(stats)[ADA]) == 10


async def test_stale_values_are_not_counted_and_expire() -> None:
    sampled = CoderdMetricsHarness(busy_world(minutes=5))
    await sampled.sample()
    count_before = observation_count(user_latency(await sampled.samples(6))[ADA])
    assert sampled.current_stats().sessions[*GO, "ssh"] == 1

    stats = await sampled.samples(4)

    assert observation_count(user_latency(stats)[ADA]) == count_before == 5
    assert stats.sessions[*GO, "ssh"] == 0
    assert stats.connections[GO] == 0


async def test_counting_continues_after_coderd_restart() -> None:
    world = busy_world(minutes=30)
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()
    before = await sampled.samples(4)
    sampled.coderd.restart(sampled.clock.now() + timedelta(seconds=10))

    stats = await sampled.samples(5)

    assert observation_count(user_latency(stats)[ADA]) - observation_count(user_latency(before)[ADA]) == 4
    reported_bytes = sum(report.rx_bytes for report in world.reports)
    assert before.received_bytes[GO] < stats.received_bytes[GO] <= reported_bytes


async def test_cumulative_byte_gauges_are_supported() -> None:
    world = busy_world()
    sampled = CoderdMetricsHarness(world, options=MetricsOptions(cumulative_bytes=True))
    await sampled.sample()

    stats = await sampled.samples(6)

    reported_bytes = [
        report.rx_bytes for report in world.reports if (report.created_at - START).seconds // 60 < 6
    ]
    assert stats.received_bytes[GO] == sum(reported_bytes)


async def test_session_count_by_client_gives_the_same_result() -> None:
    world = scripted_world(template(0, "go"))
    for number in range(20):
        workspace = world.scripted_workspaces[0] if world.scripted_workspaces else world.add_workspace("dev")
        at = START + timedelta(seconds=30 * number)
        world.add_report(workspace, at, received=number, sessions={"vscode": 1, "reconnecting_pty": 1})
    sampled = CoderdMetricsHarness(world, options=MetricsOptions(client_sessions=True))
    await sampled.sample()

    stats = await sampled.samples(3)

    assert observation_count(stats.app_latency[*GO, "vscode"]) == 3
    assert observation_count(stats.app_latency[*GO, "reconnecting-pty"]) == 3
    assert stats.sessions[*GO, "vscode"] == 1


async def test_templates_of_the_same_name_are_separate() -> None:
    research = Organization("22222222-0000-4000-8000-000000000001", "research")
    world = scripted_world(template(0, "go"), template(1, "go", research), users=("ada", "grace"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 10)
    world.add_report_every_half_minute(world.add_workspace("dev", owner=1, template_index=1), START, 10)
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()

    stats = await sampled.samples(4)

    assert set(user_latency(stats)) == {("coder", "go", "ada"), ("research", "go", "grace")}
    assert all(observation_count(distribution) == 4 for distribution in user_latency(stats).values())


async def test_ambiguous_workspace_names_are_unmatched() -> None:
    world = scripted_world(template(0, "go"), template(1, "java"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 10)
    world.add_workspace("dev", template_index=1)
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()

    stats = await sampled.samples(4)

    assert user_latency(stats) == {}


async def test_idle_templates_are_zero() -> None:
    sampled = CoderdMetricsHarness(scripted_world(template(0, "go"), template(1, "java")))

    await sampled.sample()

    stats = sampled.current_stats()
    for name in ("go", "java"):
        assert stats.received_bytes["coder", name] == 0
        assert {
            app: observation_count(stats.app_latency["coder", name, app]) for app in APP_FAMILIES
        } == dict.fromkeys(APP_FAMILIES, 0)
        assert stats.connections["coder", name] == 0
        assert stats.sessions["coder", name, "ssh"] == 0


async def test_users_off_keeps_other_families() -> None:
    sampled = CoderdMetricsHarness(busy_world(), users=UsernameMode.OFF)
    await sampled.sample()

    stats = await sampled.samples(3)

    assert (user_latency(stats), user_seconds(stats)) == ({}, {})
    assert observation_count(stats.app_latency[*GO, "ssh"]) == 3


async def test_two_replicas_are_reported_and_one_is_counted() -> None:
    sampled = CoderdMetricsHarness(busy_world())
    other = CoderdMetricsHarness(busy_world())
    other.coderd.restart(START - timedelta(hours=5, seconds=20))
    await sampled.sample()
    await sampled.samples(2)

    async def other_scrape() -> str:
        return other.coderd.render(sampled.clock.now())

    before = observation_count(user_latency(sampled.current_stats())[ADA])
    for _ in range(3):
        sampled.fetch = other_scrape
        await sampled.sample(after=30)
        sampled.fetch = None
        await sampled.sample(after=30)
    await sampled.sample()

    assert observation_count(user_latency(sampled.current_stats())[ADA]) - before == 3
    assert set(sampled.telemetry.errors) == {("agent_stats", "several_replicas")}


async def test_only_remaining_replica_is_followed() -> None:
    sampled = CoderdMetricsHarness(busy_world(minutes=60))
    await sampled.sample()
    before = observation_count(user_latency(await sampled.samples(2))[ADA])
    # The start time is earlier: the clock of its host is behind.
    sampled.coderd.restart(START - timedelta(hours=5, seconds=20))

    stats = await sampled.samples(8)

    assert observation_count(user_latency(stats)[ADA]) > before


@pytest.mark.parametrize("has_state_file", [True, False])
async def test_restart_counts_exactly_once_with_state_file(tmp_path: Path, *, has_state_file: bool) -> None:
    sampled = CoderdMetricsHarness(busy_world(), state=tmp_path / "state" if has_state_file else None)
    await sampled.sample()
    before = observation_count(user_latency(await sampled.samples(4))[ADA])

    sampled.restart()
    await sampled.sample()
    after_restart = sampled.current_stats()
    await sampled.sample(after=60)
    await sampled.sample()
    stats = sampled.current_stats()

    assert observation_count(user_latency(stats)[ADA]) == (before + 1 if has_state_file else 0 + 1)
    assert (ADA in user_latency(after_restart)) is has_state_file


async def test_state_of_another_deployment_is_quarantined(tmp_path: Path) -> None:
    sampled = CoderdMetricsHarness(busy_world(), state=tmp_path / "state")
    await sampled.sample()
    await sampled.samples(3)

    other_deployment = replace(sampled, url="https://other.example.test")
    await other_deployment.sample()

    assert user_latency(other_deployment.current_stats()) == {}
    assert (tmp_path / "state.rejected").exists()
    assert ("agent_stats", "state_foreign") in other_deployment.telemetry.errors


async def test_no_visible_workspace_is_an_error() -> None:
    world = busy_world()
    sampled = CoderdMetricsHarness(world)
    await sampled.sample()
    await sampled.samples(1)
    templates = inventory_of(world, START).templates
    sampled.inventory = Inventory(templates=templates)

    assert not await sampled.sample(after=60)
    assert sampled.telemetry.errors == [("agent_stats", "workspaces_unknown")]


async def test_missing_labels_are_an_error_and_last_stats_are_served() -> None:
    sampled = CoderdMetricsHarness(busy_world())
    await sampled.sample()
    await sampled.samples(2)
    options = MetricsOptions(aggregate_agent_stats_by=("username",))
    aggregated = CoderdMetricsHarness(busy_world(), options=options)

    async def aggregated_scrape() -> str:
        return aggregated.coderd.render(sampled.clock.now())

    sampled.fetch = aggregated_scrape

    assert not await sampled.sample(after=60)
    assert sampled.telemetry.errors == [("agent_stats", "labels_missing")]
    assert observation_count(user_latency(sampled.current_stats())[ADA]) == 2


async def test_row_results_are_counted() -> None:
    world = busy_world()
    world.add_report_every_half_minute(world.add_workspace("second"), START, 20)
    sampled = CoderdMetricsHarness(world, interval=30)
    inventory = inventory_of(world, START)
    sampled.inventory = Inventory(inventory.templates, inventory.workspaces[:1])
    for minute in range(20):
        world.add_report(
            world.scripted_workspaces[0], START + timedelta(seconds=60 * minute + 45), sessions={}
        )

    for _ in range(5):
        await sampled.sample(after=30)

    # Two scrapes have new values, two repeat them, and the first is the baseline.
    assert sampled.telemetry.agent_row_counts == {
        "observed": 0,
        "unobserved": 2,
        "unmatched": 2,
        "repeated": 4,
    }


async def test_lag_grows_only_when_coderd_stops_collecting() -> None:
    sampled = CoderdMetricsHarness(busy_world(minutes=3))
    await sampled.sample()
    await sampled.samples(10)
    idle_lag = sampled.telemetry.agent_lag_seconds
    text = sampled.coderd.render(sampled.clock.now())

    async def frozen_scrape() -> str:
        return text

    sampled.fetch = frozen_scrape
    await sampled.samples(3)

    assert idle_lag == 0
    assert sampled.telemetry.agent_lag_seconds == 180


async def test_merging_never_sleeps_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """``release_gil`` sleeps, so it must run in worker threads only."""
    sleeping_threads: set[int] = set()
    monkeypatch.setattr(interpreter_tuning, "_YIELD_EVERY", 1)
    monkeypatch.setattr(
        interpreter_tuning, "release_gil", lambda: sleeping_threads.add(threading.get_ident())
    )
    sampled = CoderdMetricsHarness(busy_world())
    await sampled.sample()
    await sampled.samples(3)

    assert sleeping_threads
    assert threading.get_ident() not in sleeping_threads


def test_workspace_lookup_ignores_case_and_rejects_duplicates() -> None:
    go, java = TemplateKey("acme", "go"), TemplateKey("acme", "java")

    workspace_index = WorkspaceIndex.from_workspaces(
        [("Ada", "Dev", go), ("ada", "x", go), ("ada", "X", java), ("eve", "dev", java)]
    )

    assert workspace_index.template("ada", "dev") == go
    assert workspace_index.template("EVE", "DEV") == java
    assert workspace_index.template("ada", "x") is None
    assert workspace_index.template("ada", "other") is None


def relayed_world() -> ScriptedWorld:
    """Return a world in which ada connects directly, and bo is slow and connects through a relay."""
    world = scripted_world(template(0, "go"), users=("ada", "bo"))
    for owner, latency_ms in enumerate((20.0, 400.0)):
        workspace = world.add_workspace(f"dev-{owner}", owner=owner)
        for index in range(40):
            world.add_report(
                workspace,
                START + timedelta(seconds=30 * index),
                latency_ms=latency_ms,
                connections=2,
                received=index,
            )
    return world


async def test_connections_are_counted_by_type_and_user() -> None:
    sampled = CoderdMetricsHarness(relayed_world())
    await sampled.sample()

    stats = await sampled.samples(3)

    assert stats.peer_connections == {(*GO, "p2p"): 2, (*GO, "derp"): 2}
    assert stats.user_peer_connections == {
        (*GO, "p2p"): {"ada": 2, "bo": 0},
        (*GO, "derp"): {"ada": 0, "bo": 2},
    }


async def test_connections_are_zero_after_all_clients_left() -> None:
    sampled = CoderdMetricsHarness(relayed_world())
    await sampled.sample()
    await sampled.samples(2)

    sampled.clock.advance(3600)
    stats = await sampled.samples(2)

    assert stats.peer_connections == {(*GO, "p2p"): 0, (*GO, "derp"): 0}
    assert stats.user_peer_connections == {}


async def test_users_of_connections_are_hidden_with_users_off() -> None:
    sampled = CoderdMetricsHarness(relayed_world(), users=UsernameMode.OFF)
    await sampled.sample()

    stats = await sampled.samples(2)

    assert stats.peer_connections == {(*GO, "p2p"): 2, (*GO, "derp"): 2}
    assert stats.user_peer_connections == {}


async def test_without_the_family_of_peers_no_connections_are_reported() -> None:
    sampled = CoderdMetricsHarness(relayed_world())

    async def page_without_peers() -> str:
        page = sampled.coderd.render(sampled.clock.now())
        return "".join(line for line in page.splitlines(keepends=True) if "reachable_peers" not in line)

    sampled.fetch = page_without_peers
    await sampled.sample()

    assert (await sampled.samples(2)).peer_connections == {}


@pytest.mark.parametrize(
    ("by_client", "apps"),
    [(False, {"vscode": 1, "unknown": 5}), (True, {"cursor": 1, "unknown": 2, "overflow": 3})],
)
async def test_sessions_are_counted_by_family_or_client(*, by_client: bool, apps: dict[str, int]) -> None:
    """The user of this simulated workspace opens VS Code sessions with Cursor."""
    world = scripted_world(template(0, "go"))
    workspace = world.add_workspace("dev")
    for index in range(40):
        world.add_report(
            workspace,
            START + timedelta(seconds=30 * index),
            received=index,
            sessions={"vscode": 1, "unknown": 2, "overflow": 3},
        )
    sampled = CoderdMetricsHarness(world, options=MetricsOptions(client_sessions=True), by_client=by_client)
    await sampled.sample()

    stats = await sampled.samples(3)

    assert {app: count for (_, _, app), count in stats.sessions.items() if count} == apps
    assert {app for _, _, app in stats.session_seconds} == apps.keys()
