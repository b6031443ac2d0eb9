"""Exponential buckets of both sources."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.agent_stats.aggregate import bucket_index
from insights_exporter.snapshot import LatencyHistogram
from tests.agent_stats.agent_stats_harness import CollectorFactory, latest_stats
from tests.support.agent_stats import user_latency
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.coderd_metrics_harness import CoderdMetricsHarness
from tests.support.histograms import bucket_counts
from tests.support.scripted_world import scripted_world, template

LATENCIES = (0.001, 0.4, 4.9, 5.0, 5.0001, 42.0, 42.1, 125.0, 250.0, 999.0, 5000.1, 90_000.0)


def expected_bucket_index(seconds: float) -> int:
    """Return the exponential bucket by its definition: the first one whose upper bound is not lower."""
    return next(i for i in count(-400) if seconds <= 2 ** ((i + 1) / 8))


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def json_session_counts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@given(st.floats(1e-9, 1e4))
def test_bucket_index_bounds(seconds: float) -> None:
    bucket = bucket_index(seconds)

    assert 2 ** (bucket / 8) * (1 - 1e-9) < seconds <= 2 ** ((bucket + 1) / 8) * (1 + 1e-9)


@pytest.mark.parametrize("power", range(-20, 8))
def test_power_of_two_is_inclusive_upper_bound(power: int) -> None:
    assert bucket_index(2.0**power) == 8 * power - 1


async def test_sql_bucket_index_matches_definition(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table, exponential=True)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(
        *(
            AgentStatsRow(
                since + timedelta(seconds=number),
                "ada",
                "python",
                latency,
                {"vscode": 1, "ssh": 1},
                agent=number,
            )
            for number, latency in enumerate(LATENCIES)
        )
    )
    await collector.read_once()
    await collector.read_once()
    stats = latest_stats(collector)
    expected = Counter(expected_bucket_index(latency / 1000) for latency in LATENCIES)

    assert stats.exponential
    assert [Counter(distribution.exponential_buckets) for distribution in user_latency(stats).values()] == [
        expected
    ]
    nonempty = [
        distribution for distribution in stats.app_latency.values() if any(bucket_counts(distribution))
    ]
    assert [Counter(distribution.exponential_buckets) for distribution in nonempty] == [expected] * 2


async def test_exponential_buckets_are_off_by_default(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table)
    await collector.read_once()
    table.add(AgentStatsRow(latest_stats(collector).since, "ada"))
    await collector.read_once()
    await collector.read_once()
    stats = latest_stats(collector)

    assert not stats.exponential
    assert user_latency(stats)
    assert all(distribution.exponential_buckets == {} for distribution in user_latency(stats).values())


def observation_counts(distribution: LatencyHistogram) -> tuple[int, int]:
    """Return the observations in explicit and in exponential buckets."""
    return sum(bucket_counts(distribution)), sum(distribution.exponential_buckets.values())


async def test_explicit_and_exponential_counts_are_equal(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table, exponential=True)
    await collector.read_once()
    since = latest_stats(collector).since
    for number, latency in enumerate(LATENCIES):
        table.add(
            AgentStatsRow(
                since + timedelta(seconds=number),
                ("ada", "grace", "alan")[number % 3],
                "python",
                latency,
                {"ssh": 1},
            )
        )
        await collector.read_once()
        stats = latest_stats(collector)

        for distribution in (*user_latency(stats).values(), *stats.app_latency.values()):
            explicit, exponential = observation_counts(distribution)
            assert explicit == exponential
    await collector.read_once()
    by_user = [observation_counts(item) for item in user_latency(latest_stats(collector)).values()]
    assert by_user == [(4, 4)] * 3


async def test_restart_keeps_exponential_buckets(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = make_collector(table, state=state, exponential=True)
    await first.read_once()
    since = latest_stats(first).since
    table.add(
        AgentStatsRow(since, "ada", "python", 42.0, {"ssh": 1}), AgentStatsRow(since + timedelta(minutes=30))
    )
    await first.read_once()
    second = make_collector(table, state=state, exponential=True)
    await second.restore()
    await second.read_once()

    assert latest_stats(second).since == since
    assert user_latency(latest_stats(second)).keys() == user_latency(latest_stats(first)).keys()
    assert [
        observation_counts(distribution) for distribution in user_latency(latest_stats(second)).values()
    ] == [(2, 2)]


async def test_state_without_exponential_buckets_is_quarantined_when_enabled(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = make_collector(table, state=state)
    await first.read_once()
    second = make_collector(table, state=state, exponential=True)
    await second.restore()

    assert second.accumulator.since is None
    assert (tmp_path / "state.json.rejected").exists()
    assert not state.exists()


async def test_state_with_exponential_buckets_loads_when_disabled(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = make_collector(table, state=state, exponential=True)
    await first.read_once()
    second = make_collector(table, state=state)
    await second.restore()

    assert second.accumulator.since == first.accumulator.since


async def test_coderd_metrics_samples_have_exponential_buckets() -> None:
    world = scripted_world(template(0, "go"))
    world.add_report_every_half_minute(world.add_workspace("dev"), datetime(2026, 1, 14, 10, tzinfo=UTC), 20)
    sampled = CoderdMetricsHarness(world)
    sampled.collector.accumulator.exponential = True
    await sampled.sample()
    stats = await sampled.samples(6)

    assert [distribution.exponential_buckets for distribution in user_latency(stats).values()] == [
        {expected_bucket_index(0.02): 6}
    ]
