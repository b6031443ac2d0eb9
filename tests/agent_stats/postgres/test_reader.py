"""The reader of Coder's database: what is counted, and for which labels."""

# ruff: noqa: S608  # The SQL consists of constants of the tests.

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.config.settings import FilterSettings, NameFilter, UsernameMode
from insights_exporter.privacy import UsernamePolicy
from tests.agent_stats.agent_stats_harness import CollectorFactory, assert_stats_match, latest_stats
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.histograms import bucket_counts
from tests.support.postgres import Postgres
from tests.support.recording_telemetry import RecordingTelemetry


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def json_session_counts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ago(seconds: float) -> datetime:
    """Return a time of the database's clock, which is the local one."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def test_stats_match_table(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    collector = make_collector(table)
    assert await collector.read_once()
    since = latest_stats(collector).since
    reports = [
        AgentStatsRow(since + timedelta(seconds=number), user, template, latency, sessions, agent=number)
        for number, (user, template, latency, sessions) in enumerate(
            [
                ("ada", "python", 42.0, {"vscode": 1}),
                ("ada", "python", 5.0, {"vscode": 2, "ssh": 1}),
                ("ada", "java", 5.0001, {"jetbrains": 1}),
                ("grace", "java", 5000.0, {"reconnecting_pty": 1}),
                ("grace", "java", 5000.1, {"reconnecting_pty": 1}),
                ("grace", "python", 150.0, {"ssh": 3}),
                ("alan", "python", 300.0, {}),
                ("alan", "python", 1e-9, {"vscode": 1}),
            ]
        )
    ]
    table.add(*reports)

    await collector.read_once()
    await collector.read_once()

    assert_stats_match(table.expected_stats(since), latest_stats(collector))


@pytest.mark.parametrize("latency", [-1.0, -0.001, 0.0, None, math.nan, math.inf])
async def test_unmeasured_latency_is_not_observed(
    table: AgentStatsTable, latency: float | None, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table)
    await collector.read_once()
    table.add(AgentStatsRow(latest_stats(collector).since, latency_ms=latency))

    await collector.read_once()
    await collector.read_once()

    stats = latest_stats(collector)
    assert not user_latency(stats)
    assert user_seconds(stats) == {("acme", "python", "ada", "vscode"): 60.0}


async def test_client_rows_add_session_time_but_no_observation(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(
        AgentStatsRow(since, latency_ms=9.0, usage=True, connections=1),
        AgentStatsRow(since, latency_ms=9.0, usage=True, connections=1),
        AgentStatsRow(since, latency_ms=9.0, sessions={}, connections=2),
    )

    await collector.read_once()
    await collector.read_once()

    stats = latest_stats(collector)
    assert not user_latency(stats)
    assert user_seconds(stats) == {("acme", "python", "ada", "vscode"): 60.0}


async def test_session_minutes_are_deduplicated(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(*(AgentStatsRow(since + timedelta(seconds=k), agent=k % 2) for k in range(0, 60, 10)))
    table.add(AgentStatsRow(since + timedelta(hours=2)))

    await collector.read_once()
    await collector.read_once()

    assert user_seconds(latest_stats(collector)) == {("acme", "python", "ada", "vscode"): 120.0}


async def test_current_sessions_use_newest_report_of_each_agent(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    table.add(
        AgentStatsRow(ago(200), agent=1, sessions={"ssh": 7}, connections=7),
        AgentStatsRow(ago(40), agent=2, sessions={"vscode": 5}, connections=5),
        AgentStatsRow(ago(10), agent=2, sessions={"vscode": 2, "ssh": 1}, connections=3),
        AgentStatsRow(ago(12), agent=3, sessions={"vscode": 1}, connections=1, user="grace"),
        AgentStatsRow(ago(11), agent=4, sessions={}, connections=4, template="java"),
        AgentStatsRow(ago(12), agent=4, sessions={"ssh": 1}, connections=1, template="java", usage=True),
        AgentStatsRow(ago(50), agent=4, sessions={"ssh": 1}, connections=1, template="java", usage=True),
    )
    collector = make_collector(table)

    await collector.read_once()

    stats = latest_stats(collector)
    assert {key: count for key, count in stats.sessions.items() if count} == {
        ("acme", "python", "vscode"): 3,
        ("acme", "python", "ssh"): 1,
        ("acme", "java", "ssh"): 1,
    }
    assert stats.connections == {("acme", "python"): 4, ("acme", "java"): 4}


async def test_idle_templates_are_zero(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    collector = make_collector(table)

    await collector.read_once()

    stats = latest_stats(collector)
    apps = ("vscode", "jetbrains", "reconnecting-pty", "ssh")
    assert {("acme", name, app) for name in ("python", "java") for app in apps} == set(stats.app_latency)
    assert stats.received_bytes == {("acme", "python"): 0.0, ("acme", "java"): 0.0}
    assert not user_latency(stats)


async def test_new_user_starts_at_zero(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    collector = make_collector(table)
    await collector.read_once()
    table.add(AgentStatsRow(latest_stats(collector).since))

    await collector.read_once()
    first = user_latency(latest_stats(collector))["acme", "python", "ada"]
    await collector.read_once()

    assert sum(bucket_counts(first)) == 0
    assert sum(bucket_counts(user_latency(latest_stats(collector))["acme", "python", "ada"])) == 1


async def test_new_username_is_loaded(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    collector = make_collector(table)
    await collector.read_once()
    table.add_user("barbara")
    table.add(AgentStatsRow(latest_stats(collector).since, user="barbara"))

    await collector.read_once()

    assert set(user_latency(latest_stats(collector))) == {("acme", "python", "barbara")}


async def test_newer_clients_map_to_app_families(
    postgres: Postgres, make_collector: CollectorFactory
) -> None:
    table = AgentStatsTable.create(postgres, json_session_counts=True)
    collector = make_collector(table)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(
        AgentStatsRow(since, sessions={"cursor": 1, "vscode": 1, "zed": 1, 'new\\"thing': 2, "idle": 0})
    )

    await collector.read_once()
    await collector.read_once()

    assert_stats_match(table.expected_stats(since), latest_stats(collector))
    assert {
        key[2]
        for key, distribution in latest_stats(collector).app_latency.items()
        if any(bucket_counts(distribution))
    } == {*("vscode", "ssh", "unknown")}


async def test_filtered_templates_and_users_are_not_counted(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    filters = FilterSettings(templates=NameFilter(deny=("java",)), users=NameFilter(deny=("grace",)))
    collector = make_collector(table, filters=filters)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(
        AgentStatsRow(since),
        AgentStatsRow(since, user="grace"),
        AgentStatsRow(since, template="java"),
        AgentStatsRow(since, agent=2),
    )

    await collector.read_once()
    await collector.read_once()

    stats = latest_stats(collector)
    assert set(user_latency(stats)) == {("acme", "python", "ada")}
    assert sum(bucket_counts(stats.app_latency["acme", "python", "vscode"])) == 3
    assert set(stats.connections) == {("acme", "python")}


async def test_users_table_is_not_read_when_users_are_off(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    table.grant(f"nameless_{table.database}", "pw")
    table.sql(f"REVOKE SELECT (id, username) ON users FROM nameless_{table.database}")
    dsn = table.server.dsn(table.database, user=f"nameless_{table.database}", password="pw")
    collector = make_collector(table, username_policy=UsernamePolicy(UsernameMode.OFF), dsn=dsn)
    await collector.read_once()
    table.add(AgentStatsRow(latest_stats(collector).since))

    await collector.read_once()
    await collector.read_once()

    stats = latest_stats(collector)
    assert not user_latency(stats)
    assert not user_seconds(stats)
    assert sum(bucket_counts(stats.app_latency["acme", "python", "vscode"])) == 1


async def test_documented_grants_suffice(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    role = f"reader_{table.database}"
    table.grant(role, "pw")
    telemetry = RecordingTelemetry()
    collector = make_collector(
        table, telemetry=telemetry, dsn=table.server.dsn(table.database, user=role, password="pw")
    )

    assert await collector.read_once()
    assert telemetry.errors == []
