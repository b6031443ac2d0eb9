"""The simulator's numbers agree with each other, whatever its size, and it fails on demand."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from time import process_time

import msgspec
import pytest

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import Status, Truncate
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import stage
from tests.support.asking import asking

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
WEEK = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}


def simulated() -> SimulatedDeployment:
    return stage(Size(4, 20), now=lambda: NOW)


async def test_endpoints_agree_on_who_was_active() -> None:
    async with asking(simulated()) as ask:
        report = (await ask("/insights/templates", WEEK)).body["report"]
        activity = (await ask("/insights/user-activity", WEEK)).body["report"]["users"]
        latency = (await ask("/insights/user-latency", WEEK)).body["report"]["users"]
    names = {one["username"] for one in activity}

    assert names
    assert report["active_users"] == len(names)
    assert {one["username"] for one in latency} == names


async def test_templates_add_up_to_at_least_the_deployment() -> None:
    deployment, parts = simulated(), 0
    async with asking(deployment) as ask:
        whole = (await ask("/insights/templates", WEEK)).body["report"]["apps_usage"]
        for template in deployment.world.templates:
            part = await ask("/insights/templates", {**WEEK, "template_ids": template.id})
            parts += sum(one["seconds"] for one in part.body["report"]["apps_usage"])

    assert parts >= sum(one["seconds"] for one in whole) > 0


async def test_medians_of_agent_reports_are_the_rollups() -> None:
    """What agents report and what the API tells describe the same events."""
    world = simulated().world
    day = NOW.replace(hour=0, minute=0) - timedelta(days=1)
    use = next(use for use in world.use(day.date()) if use.latency and use.sessions)
    reported: dict[int, list[float]] = {}
    for one in world.agent_reports(day, day + timedelta(days=1)):
        if (one.user_id, one.template_id) == (world.users[use.user].id, world.templates[use.template].id):
            reported.setdefault(int((one.created_at - day) / timedelta(minutes=30)), []).append(
                one.latency_ms
            )

    assert sum(len(one) for one in reported.values()) == 2 * use.sessions.bit_count()
    for bucket, found in reported.items():
        assert statistics.median(found) == pytest.approx(use.latency[bucket])


async def test_a_large_deployment_answers_at_once() -> None:
    """Nothing is computed before somebody asks, and then only what was asked for."""
    began = process_time()
    async with asking(stage(Size(500, 10_000), now=lambda: NOW)) as ask:
        day = {"start_time": "2026-11-23T00:00:00Z", "end_time": "2026-11-24T00:00:00Z"}
        told = await ask("/insights/templates", day)

    assert told.body["report"]["active_users"] > 3_000
    assert process_time() - began < 30


async def test_faults_strike_on_demand() -> None:
    deployment = simulated()
    async with asking(deployment) as ask:
        deployment.faults.on("/users/me", Status(status=503, times=1))
        first, second = await ask("/users/me"), await ask("/users/me")
        deployment.faults.on("/users/me", Truncate())

        assert (first.status, second.status) == (503, 200)
        with pytest.raises(msgspec.DecodeError):
            await ask("/users/me")
