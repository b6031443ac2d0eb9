"""Where it is wanted, each report is counted by exponential bucket as well."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.collectors.agent_stats.exponential import index
from insights_exporter.snapshot import Distribution
from tests.agent_stats.reading import Collect, statement
from tests.support.agent_stats import user_latency
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.sampled import Sampled
from tests.support.told_world import template, told_world

LATENCIES = (0.001, 0.4, 4.9, 5.0, 5.0001, 42.0, 42.1, 125.0, 250.0, 999.0, 5000.1, 90_000.0)


def bucket(seconds: float) -> int:
    """Return the bucket by its definition: the first one whose upper bound is not below."""
    return next(i for i in count(-400) if seconds <= 2 ** ((i + 1) / 8))


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def table(postgres: Postgres, request: pytest.FixtureRequest) -> Table:
    return Table.create(postgres, counts=request.param)


@given(st.floats(1e-9, 1e4))
def test_an_observation_is_above_the_lower_bound_and_not_above_the_upper(seconds: float) -> None:
    found = index(seconds)

    assert 2 ** (found / 8) * (1 - 1e-9) < seconds <= 2 ** ((found + 1) / 8) * (1 + 1e-9)


@pytest.mark.parametrize("power", range(-20, 8))
def test_a_power_of_two_is_in_the_bucket_that_it_ends(power: int) -> None:
    assert index(2.0**power) == 8 * power - 1


async def test_the_database_counts_what_the_reports_say(table: Table, collector: Collect) -> None:
    reader = collector(table, exponential=True)
    await reader.read_once()
    since = statement(reader).since
    table.add(
        *(
            Report(since + timedelta(seconds=n), "ada", "python", latency, {"vscode": 1, "ssh": 1}, agent=n)
            for n, latency in enumerate(LATENCIES)
        )
    )
    await reader.read_once()
    await reader.read_once()
    found = statement(reader)
    expected = Counter(bucket(latency / 1000) for latency in LATENCIES)

    assert found.exponential
    assert [Counter(one.fine) for one in user_latency(found).values()] == [expected]
    used = [one for one in found.app_latency.values() if any(one.counts)]
    assert [Counter(one.fine) for one in used] == [expected] * 2


async def test_they_are_not_counted_where_nobody_wants_them(table: Table, collector: Collect) -> None:
    reader = collector(table)
    await reader.read_once()
    table.add(Report(statement(reader).since, "ada"))
    await reader.read_once()
    await reader.read_once()
    found = statement(reader)

    assert not found.exponential
    assert all(one.fine == {} for one in user_latency(found).values())


def observed(one: Distribution) -> tuple[int, int]:
    """Return how many observations there are by either kind of bucket."""
    return sum(one.counts), sum(one.fine.values())


async def test_both_kinds_of_buckets_hold_the_same_at_any_time(table: Table, collector: Collect) -> None:
    reader = collector(table, exponential=True)
    await reader.read_once()
    since = statement(reader).since
    for n, latency in enumerate(LATENCIES):
        table.add(
            Report(
                since + timedelta(seconds=n), ("ada", "grace", "alan")[n % 3], "python", latency, {"ssh": 1}
            )
        )
        await reader.read_once()
        found = statement(reader)

        for one in (*user_latency(found).values(), *found.app_latency.values()):
            explicit, exponential = observed(one)
            assert explicit == exponential


async def test_a_restart_keeps_them(table: Table, collector: Collect, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    first = collector(table, state=state, exponential=True)
    await first.read_once()
    since = statement(first).since
    table.add(Report(since, "ada", "python", 42.0, {"ssh": 1}), Report(since + timedelta(minutes=30)))
    await first.read_once()
    second = collector(table, state=state, exponential=True)
    await second._restore()
    await second.read_once()

    assert statement(second).since == since
    assert user_latency(statement(second)).keys() == user_latency(statement(first)).keys()
    assert [observed(one) for one in user_latency(statement(second)).values()] == [(2, 2)]


async def test_a_file_without_them_is_set_aside_as_both_must_begin_together(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = collector(table, state=state)
    await first.read_once()
    second = collector(table, state=state, exponential=True)
    await second._restore()
    third = collector(table, state=state)

    assert second.ledger.since is None
    assert (tmp_path / "state.json.rejected").exists()
    assert third.ledger.since is None


async def test_a_file_with_them_serves_where_they_are_no_longer_wanted(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = collector(table, state=state, exponential=True)
    await first.read_once()
    second = collector(table, state=state)
    await second._restore()

    assert second.ledger.since == first.ledger.since


async def test_samples_of_coderds_metrics_are_counted_so_as_well() -> None:
    world = told_world(template(0, "go"))
    world.chatter(world.workspace("dev"), datetime(2026, 1, 14, 10, tzinfo=UTC), 20)
    sampled = Sampled(world)
    sampled.collector.ledger.exponential = True
    await sampled.sample()
    found = await sampled.samples(6)

    assert [one.fine for one in user_latency(found).values()] == [{bucket(0.02): 6}]
