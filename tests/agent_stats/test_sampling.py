"""Agent reports sampled from coderd's metrics: what counts, what does not, and what is said about it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from insights_exporter import interpreter
from insights_exporter.collectors.agent_stats import FAMILIES
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.settings import UserNames
from insights_exporter.simulator.coderd.options import MetricsOptions
from insights_exporter.simulator.model import Organization
from insights_exporter.snapshot import Inventory
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.sampled import Sampled, existing, observations
from tests.support.told_world import ToldWorld, template, told_world

START = datetime(2026, 1, 14, 10, tzinfo=UTC)
GO = ("coder", "go")
ADA = (*GO, "ada")


def busy(minutes: int = 20) -> ToldWorld:
    """Return a world in which one agent reports for some minutes."""
    world = told_world(template(0, "go"))
    world.chatter(world.workspace("dev"), START, minutes)
    return world


async def test_each_tick_is_one_observation() -> None:
    world = busy()
    sampled = Sampled(world)
    await sampled.sample()

    found = await sampled.samples(6)

    assert observations(user_latency(found)[ADA]) == 6
    assert user_latency(found)[ADA].total == pytest.approx(6 * 0.02)
    assert observations(found.app_latency[*GO, "ssh"]) == 6
    assert found.sessions[*GO, "ssh"] == 1
    assert found.connections[GO] == 1


async def test_a_latency_on_a_bound_counts_below_it() -> None:
    world = told_world(template(0, "go"))
    for place in range(20):
        world.say(
            world.told_workspaces[0] if world.told_workspaces else world.workspace("dev"),
            START + timedelta(seconds=30 * place),
            latency_ms=150,
            received=place,
        )
    sampled = Sampled(world)
    await sampled.sample()

    found = await sampled.samples(3)

    assert user_latency(found)[ADA].counts[LATENCY_BUCKETS.index(0.15)] == 3


async def test_what_stands_on_the_first_page_is_not_counted() -> None:
    """It may stand there since yesterday."""
    sampled = Sampled(busy(minutes=2))
    sampled.clock.advance(3600)
    await sampled.sample()

    found = await sampled.samples(5)

    assert user_latency(found) == {}
    assert found.received_bytes == {GO: 0}


async def test_bytes_are_the_sums_of_what_ticks_told() -> None:
    world = busy()
    sampled = Sampled(world)
    await sampled.sample()
    # The first tick with reports shows them to be set anew only when the next one falls, or is counted whole.
    await sampled.samples(1)
    world.workspace("other")
    world.say(world.told_workspaces[1], START + timedelta(seconds=61), received=5, sent=5)
    await sampled.samples(3)
    begun = sampled.known().received_bytes[GO]

    found = await sampled.samples(4)

    said = [one.rx_bytes for one in world.reports if 4 <= (one.created_at - START).seconds // 60 < 8]
    assert found.received_bytes[GO] - begun == sum(said)


@pytest.mark.parametrize("interval", [20.0, 30.0])
async def test_no_tick_counts_twice(interval: float) -> None:
    sampled = Sampled(busy(), interval=interval)
    await sampled.sample()

    found = await sampled.samples(int(300 / interval))

    assert observations(user_latency(found)[ADA]) == 5
    assert user_seconds(found)[(*ADA, "ssh")] <= 300
    assert user_seconds(found)[(*ADA, "ssh")] >= 240


async def test_time_between_samples_that_failed_is_nobodys() -> None:
    sampled = Sampled(busy(minutes=60))
    await sampled.sample()
    await sampled.samples(2)
    before = user_seconds(sampled.known())[(*ADA, "ssh")]

    await sampled.sample(after=1200)
    await sampled.sample()

    assert user_seconds(sampled.known())[(*ADA, "ssh")] - before == 60


async def test_time_is_never_more_than_passed_between_two_samples() -> None:
    sampled = Sampled(busy())
    await sampled.sample()
    await sampled.sample(after=31)
    await sampled.sample()

    assert user_seconds(sampled.known())[(*ADA, "ssh")] == 31


async def test_time_is_counted_once_for_several_workspaces_of_one_template() -> None:
    world = busy()
    world.chatter(world.workspace("second"), START, 20)
    sampled = Sampled(world)
    await sampled.sample()

    found = await sampled.samples(5)

    assert user_seconds(found)[(*ADA, "ssh")] == 300
    assert found.sessions[*GO, "ssh"] == 2
    assert observations(user_latency(found)[ADA]) == 10


async def test_values_that_froze_are_not_counted_and_then_mean_nobody() -> None:
    sampled = Sampled(busy(minutes=5))
    await sampled.sample()
    counted = observations(user_latency(await sampled.samples(6))[ADA])
    assert sampled.known().sessions[*GO, "ssh"] == 1

    found = await sampled.samples(4)

    assert observations(user_latency(found)[ADA]) == counted == 5
    assert found.sessions[*GO, "ssh"] == 0
    assert found.connections[GO] == 0


async def test_after_a_restart_of_coderd_counting_goes_on() -> None:
    world = busy(minutes=30)
    sampled = Sampled(world)
    await sampled.sample()
    before = await sampled.samples(4)
    sampled.coderd.restart(sampled.clock.now() + timedelta(seconds=10))

    found = await sampled.samples(5)

    assert observations(user_latency(found)[ADA]) - observations(user_latency(before)[ADA]) == 4
    told = sum(one.rx_bytes for one in world.reports)
    assert before.received_bytes[GO] < found.received_bytes[GO] <= told


async def test_gauges_that_grow_for_ever_are_read_as_such() -> None:
    world = busy()
    sampled = Sampled(world, options=MetricsOptions(totals=True))
    await sampled.sample()

    found = await sampled.samples(6)

    said = [one.rx_bytes for one in world.reports if (one.created_at - START).seconds // 60 < 6]
    assert found.received_bytes[GO] == sum(said)


async def test_the_newer_family_of_sessions_gives_the_same() -> None:
    world = told_world(template(0, "go"))
    for place in range(20):
        workspace = world.told_workspaces[0] if world.told_workspaces else world.workspace("dev")
        at = START + timedelta(seconds=30 * place)
        world.say(workspace, at, received=place, sessions={"vscode": 1, "reconnecting_pty": 1})
    sampled = Sampled(world, options=MetricsOptions(client_sessions=True))
    await sampled.sample()

    found = await sampled.samples(3)

    assert observations(found.app_latency[*GO, "vscode"]) == 3
    assert observations(found.app_latency[*GO, "reconnecting-pty"]) == 3
    assert found.sessions[*GO, "vscode"] == 1


async def test_templates_of_one_name_are_told_apart() -> None:
    research = Organization("22222222-0000-4000-8000-000000000001", "research")
    world = told_world(template(0, "go"), template(1, "go", research), users=("ada", "grace"))
    world.chatter(world.workspace("dev"), START, 10)
    world.chatter(world.workspace("dev", owner=1, of=1), START, 10)
    sampled = Sampled(world)
    await sampled.sample()

    found = await sampled.samples(4)

    assert set(user_latency(found)) == {("coder", "go", "ada"), ("research", "go", "grace")}
    assert all(observations(one) == 4 for one in user_latency(found).values())


async def test_names_that_two_workspaces_claim_belong_to_neither() -> None:
    world = told_world(template(0, "go"), template(1, "java"))
    world.chatter(world.workspace("dev"), START, 10)
    world.workspace("dev", of=1)
    sampled = Sampled(world)
    await sampled.sample()

    found = await sampled.samples(4)

    assert user_latency(found) == {}


async def test_everything_known_and_silent_is_zero() -> None:
    sampled = Sampled(told_world(template(0, "go"), template(1, "java")))

    await sampled.sample()

    found = sampled.known()
    for name in ("go", "java"):
        assert found.received_bytes["coder", name] == 0
        assert {
            app: observations(found.app_latency["coder", name, app]) for app in FAMILIES
        } == dict.fromkeys(FAMILIES, 0)
        assert found.connections["coder", name] == 0
        assert found.sessions["coder", name, "ssh"] == 0


async def test_without_users_the_rest_is_counted() -> None:
    sampled = Sampled(busy(), users=UserNames.OFF)
    await sampled.sample()

    found = await sampled.samples(3)

    assert (user_latency(found), user_seconds(found)) == ({}, {})
    assert observations(found.app_latency[*GO, "ssh"]) == 3


async def test_two_replicas_behind_one_address_are_named_and_one_counts() -> None:
    sampled = Sampled(busy())
    other = Sampled(busy())
    other.coderd.restart(START - timedelta(hours=5, seconds=20))
    await sampled.sample()
    await sampled.samples(2)

    async def theirs() -> str:
        return other.coderd.page(sampled.clock.now())

    before = observations(user_latency(sampled.known())[ADA])
    for _ in range(3):
        sampled.fetch = theirs
        await sampled.sample(after=30)
        sampled.fetch = None
        await sampled.sample(after=30)
    await sampled.sample()

    assert observations(user_latency(sampled.known())[ADA]) - before == 3
    assert set(sampled.told.errors) == {("agent_stats", "several_replicas")}


async def test_a_replica_that_seems_older_is_followed_where_it_is_the_only_one() -> None:
    sampled = Sampled(busy(minutes=60))
    await sampled.sample()
    before = observations(user_latency(await sampled.samples(2))[ADA])
    # Its host's clock is behind.
    sampled.coderd.restart(START - timedelta(hours=5, seconds=20))

    found = await sampled.samples(8)

    assert observations(user_latency(found)[ADA]) > before


@pytest.mark.parametrize("stored", [True, False])
async def test_a_restart_neither_loses_nor_repeats_what_the_file_keeps(
    tmp_path: Path, *, stored: bool
) -> None:
    sampled = Sampled(busy(), state=tmp_path / "state" if stored else None)
    await sampled.sample()
    before = observations(user_latency(await sampled.samples(4))[ADA])

    sampled.restart()
    await sampled.sample()
    repeated = sampled.known()
    await sampled.sample(after=60)
    await sampled.sample()
    found = sampled.known()

    assert observations(user_latency(found)[ADA]) == (before + 1 if stored else 0 + 1)
    assert (ADA in user_latency(repeated)) is stored


async def test_counts_of_another_deployment_are_set_aside(tmp_path: Path) -> None:
    sampled = Sampled(busy(), state=tmp_path / "state")
    await sampled.sample()
    await sampled.samples(3)

    moved = replace(sampled, url="https://other.example.test")
    await moved.sample()

    assert user_latency(moved.known()) == {}
    assert (tmp_path / "state.rejected").exists()
    assert ("agent_stats", "state_foreign") in moved.told.errors


async def test_no_visible_workspace_is_a_fault() -> None:
    world = busy()
    sampled = Sampled(world)
    await sampled.sample()
    await sampled.samples(1)
    templates = existing(world, START).templates
    sampled.inventory = Inventory(templates=templates)

    assert not await sampled.sample(after=60)
    assert sampled.told.errors == [("agent_stats", "workspaces_unknown")]


async def test_fewer_labels_are_a_fault_and_what_is_known_goes_on() -> None:
    sampled = Sampled(busy())
    await sampled.sample()
    await sampled.samples(2)
    options = MetricsOptions(aggregate_agent_stats_by=("username",))
    aggregated = Sampled(busy(), options=options)

    async def page() -> str:
        return aggregated.coderd.page(sampled.clock.now())

    sampled.fetch = page

    assert not await sampled.sample(after=60)
    assert sampled.told.errors == [("agent_stats", "labels_missing")]
    assert observations(user_latency(sampled.known())[ADA]) == 2


async def test_what_became_of_agents_is_told() -> None:
    world = busy()
    world.chatter(world.workspace("second"), START, 20)
    sampled = Sampled(world, interval=30)
    listed = existing(world, START)
    sampled.inventory = Inventory(listed.templates, listed.workspaces[:1])
    for place in range(20):
        world.say(world.told_workspaces[0], START + timedelta(seconds=60 * place + 45), sessions={})

    for _ in range(5):
        await sampled.sample(after=30)

    # Two ticks are news, two samples show them again, and the first sample is where counting begins.
    assert sampled.told.rows == {"observed": 0, "unobserved": 2, "unjoined": 2, "repeated": 4}


async def test_lag_grows_only_where_coderd_no_longer_looks() -> None:
    sampled = Sampled(busy(minutes=3))
    await sampled.sample()
    await sampled.samples(10)
    while_idle = sampled.told.lag
    page = sampled.coderd.page(sampled.clock.now())

    async def standing() -> str:
        return page

    sampled.fetch = standing
    await sampled.samples(3)

    assert while_idle == 0
    assert sampled.told.lag == 180


async def test_adding_up_never_makes_the_event_loop_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gives way to the event loop must not be the event loop."""
    rested: set[int] = set()
    monkeypatch.setattr(interpreter, "_TURN", 1)
    monkeypatch.setattr(interpreter, "give_way", lambda: rested.add(threading.get_ident()))
    sampled = Sampled(busy())
    await sampled.sample()
    await sampled.samples(3)

    assert rested
    assert threading.get_ident() not in rested


async def test_samples_keep_to_their_beat_however_long_they_take() -> None:
    """A source that drifts would skip what coderd shows for a minute alone."""
    sampled, stop = Sampled(busy(minutes=60)), asyncio.Event()
    begun: list[float] = []

    async def slow() -> str:
        begun.append(sampled.clock.monotonic())
        sampled.clock.advance(7.25)
        if len(begun) == 20:
            stop.set()
        return sampled.coderd.page(sampled.clock.now())

    sampled.fetch = slow
    await sampled.collector.run(stop)

    steps = [after - before for before, after in pairwise(begun[1:])]
    assert steps == pytest.approx([60.0] * 18)
