"""The agent statistics collector: schedule, restart and privacy for both sources."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from insights_exporter.agent_stats.postgres.row_aggregation import USERNAME_REFRESH_INTERVAL
from insights_exporter.config.settings import FilterSettings, NameFilter, UsernameMode
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import AgentStats, Inventory, User
from tests.agent_stats.agent_stats_harness import CollectorFactory, latest_stats
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.clock import FakeClock
from tests.support.coderd_metrics_harness import CoderdMetricsHarness, inventory_of, observation_count
from tests.support.log_events import log_events
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_world import scripted_world, template

START = datetime(2026, 1, 14, 10, tzinfo=UTC)
KEY = b"0123456789abcdef"


async def test_scrape_interval_does_not_drift() -> None:
    """With a drift, the exporter would miss collections, whose values coderd serves for one minute."""
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 60)
    sampled, stop = CoderdMetricsHarness(world), asyncio.Event()
    start_times: list[float] = []

    async def slow_scrape() -> str:
        start_times.append(sampled.clock.monotonic())
        sampled.clock.advance(7.25)
        if len(start_times) == 20:
            stop.set()
        return sampled.coderd.render(sampled.clock.now())

    sampled.fetch = slow_scrape
    await sampled.collector.run(stop)

    intervals = [after - before for before, after in pairwise(start_times[1:])]
    assert intervals == pytest.approx([60.0] * 18)


# Restart -------------------------------------------------------------------------------------------------

USER_MODES = [UsernameMode.NAMED, UsernameMode.HASHED, UsernameMode.OFF]


def user_counts(stats: AgentStats) -> dict[tuple[str, ...], float]:
    """Return the observations and the session seconds of each user."""
    counts: dict[tuple[str, ...], float] = dict(user_seconds(stats).items())
    return counts | {key: observation_count(item) for key, item in user_latency(stats).items()}


@pytest.mark.parametrize("users", USER_MODES)
async def test_postgres_serves_stored_counters_after_restart(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path, users: UsernameMode
) -> None:
    policy, state = UsernamePolicy(users, KEY), tmp_path / "state"
    table.freeze_clock(START)
    first = make_collector(table, state=state, username_policy=policy)
    await first.read_once()
    table.add(AgentStatsRow(START), AgentStatsRow(START, user="grace"))
    table.freeze_clock(START + timedelta(minutes=30))
    table.add(AgentStatsRow(START + timedelta(minutes=30)))
    for _ in range(2):
        await first.read_once()
    before = user_counts(latest_stats(first))
    # Coder deletes old users; their counters must survive without the name.
    table.sql("DELETE FROM users WHERE username = 'grace'")

    second = make_collector(table, state=state, username_policy=policy)
    await second.restore()
    await second.read_once()

    assert bool(before) is (users is not UsernameMode.OFF)
    assert user_counts(latest_stats(second)) == before


@pytest.mark.parametrize("users", USER_MODES)
async def test_coderd_metrics_serve_stored_counters_after_restart(
    tmp_path: Path, users: UsernameMode
) -> None:
    """A user who is not connected after the restart has the series of before, without a reset to 0."""
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 5)
    sampled = CoderdMetricsHarness(world, state=tmp_path / "state", users=users)
    await sampled.sample()
    before = user_counts(await sampled.samples(8))

    sampled.restart()
    await sampled.sample(after=60)
    after_restart = user_counts(sampled.current_stats())
    world.add_report(world.scripted_workspaces[0], sampled.clock.now(), latency_ms=30.0, received=7)
    after_return = user_counts(await sampled.samples(2))

    assert bool(before) is (users is not UsernameMode.OFF)
    assert after_restart == before
    assert after_return.keys() == before.keys()
    assert all(after_return[key] > value for key, value in before.items())


@pytest.mark.parametrize(
    ("stored", "configured"),
    [
        (UsernameMode.NAMED, UsernameMode.NAMED),
        (UsernameMode.NAMED, UsernameMode.HASHED),
        (UsernameMode.HASHED, UsernameMode.HASHED),
    ],
)
async def test_restart_drops_users_that_are_denied_since(  # noqa: PLR0917  # Fixtures and parameters.
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    stored: UsernameMode,
    configured: UsernameMode,
) -> None:
    """A hash does not show whether the filter matches, so all hashed users are dropped."""
    state = tmp_path / "state"
    table.freeze_clock(START)
    first = make_collector(table, state=state, username_policy=UsernamePolicy(stored, KEY))
    await first.read_once()
    table.add(AgentStatsRow(START), AgentStatsRow(START, user="grace"))
    table.add(AgentStatsRow(START + timedelta(minutes=30)))
    table.freeze_clock(START + timedelta(minutes=30))
    await first.read_once()
    # The filter must not depend on the user list.
    table.sql("DELETE FROM users WHERE username = 'grace'")
    policy = UsernamePolicy(configured, KEY)
    filters = FilterSettings(users=NameFilter(deny=("grace",)))

    second = make_collector(table, state=state, username_policy=policy, filters=filters)
    await second.restore()
    await second.read_once()

    assert {user for _, _, user in user_latency(latest_stats(second))} == {policy.pseudonymize("ada")}
    assert observation_count(latest_stats(second).app_latency["acme", "python", "vscode"]) == 3
    events = [event["event"] for event in log_events(caplog)]
    assert ("user counters reset" in events) is (stored is UsernameMode.HASHED)


# Renames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("users", [UsernameMode.NAMED, UsernameMode.HASHED])
async def test_postgres_moves_counters_to_the_new_username(
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    users: UsernameMode,
    *,
    restart: bool,
) -> None:
    policy, telemetry = UsernamePolicy(users, KEY), RecordingTelemetry()
    clock = FakeClock()
    arguments = {
        "state": tmp_path / "state",
        "username_policy": policy,
        "telemetry": telemetry,
        "clock": clock,
    }
    table.freeze_clock(START)
    collector = make_collector(table, **arguments)
    await collector.read_once()
    # One committed and one uncommitted report, and a user who keeps the name.
    table.add(AgentStatsRow(START), AgentStatsRow(START, user="grace"))
    table.add(AgentStatsRow(START + timedelta(minutes=30)))
    table.freeze_clock(START + timedelta(minutes=30))
    for _ in range(2):
        await collector.read_once()
    before = user_counts(latest_stats(collector))
    table.sql("UPDATE users SET username = 'lovelace' WHERE username = 'ada'")

    if restart:
        collector = make_collector(table, **arguments)
        await collector.restore()
    else:
        clock.advance(USERNAME_REFRESH_INTERVAL)
    await collector.read_once()

    old, new = policy.pseudonymize("ada"), policy.pseudonymize("lovelace")
    renamed = {tuple(new if part == old else part for part in key): n for key, n in before.items()}
    assert old in {key[2] for key in before}
    assert user_counts(latest_stats(collector)) == renamed
    assert telemetry.corrected_counters == 0
    assert telemetry.errors == []


@pytest.mark.parametrize("restart", [False, True])
async def test_coderd_metrics_move_counters_to_the_new_username(tmp_path: Path, *, restart: bool) -> None:
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), START, 60)
    sampled = CoderdMetricsHarness(world, state=tmp_path / "state")
    inventory = inventory_of(world, START)
    sampled.inventory = Inventory(inventory.templates, inventory.workspaces, (User("id-1", "ada"),))
    await sampled.sample()
    before = user_counts(await sampled.samples(4))

    sampled.inventory = Inventory(inventory.templates, inventory.workspaces, (User("id-1", "lovelace"),))
    if restart:
        sampled.restart()
    await sampled.sample()

    renamed = {tuple("lovelace" if part == "ada" else part for part in key): n for key, n in before.items()}
    assert user_counts(sampled.current_stats()) == renamed
    assert sampled.telemetry.corrected_counters == 0
