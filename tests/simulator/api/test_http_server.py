"""The simulator's numbers agree with each other, whatever its size, and it fails on demand."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from time import process_time

import msgspec
import pytest

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Status, TruncateBody
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.api_client import api_client

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
WEEK = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}


def simulated_deployment() -> SimulatedDeployment:
    return demo_deployment(Size(4, 20), now=lambda: NOW)


async def test_endpoints_agree_on_active_users() -> None:
    async with api_client(simulated_deployment()) as client:
        report = (await client("/insights/templates", WEEK)).body["report"]
        activity = (await client("/insights/user-activity", WEEK)).body["report"]["users"]
        latency = (await client("/insights/user-latency", WEEK)).body["report"]["users"]
    names = {row["username"] for row in activity}

    assert names
    assert report["active_users"] == len(names)
    assert {row["username"] for row in latency} == names


async def test_sum_over_templates_is_at_least_the_deployment_total() -> None:
    deployment, template_seconds = simulated_deployment(), 0
    async with api_client(deployment) as client:
        deployment_apps = (await client("/insights/templates", WEEK)).body["report"]["apps_usage"]
        for template in deployment.world.templates:
            response = await client("/insights/templates", {**WEEK, "template_ids": template.id})
            template_seconds += sum(app["seconds"] for app in response.body["report"]["apps_usage"])

    assert template_seconds >= sum(app["seconds"] for app in deployment_apps) > 0


async def test_agent_report_medians_match_the_rollup() -> None:
    """What agents report and what the API tells describe the same events."""
    world = simulated_deployment().world
    day = NOW.replace(hour=0, minute=0) - timedelta(days=1)
    user_day = next(
        user_day
        for user_day in world.usage(day.date())
        if user_day.median_latency_ms and user_day.session_mask
    )
    latencies_by_bucket: dict[int, list[float]] = {}
    for item in world.agent_reports(day, day + timedelta(days=1)):
        if (item.user_id, item.template_id) == (
            world.users[user_day.user].id,
            world.templates[user_day.template].id,
        ):
            latencies_by_bucket.setdefault(int((item.created_at - day) / timedelta(minutes=30)), []).append(
                item.latency_ms
            )

    assert sum(len(item) for item in latencies_by_bucket.values()) == 2 * user_day.session_mask.bit_count()
    for bucket, latencies in latencies_by_bucket.items():
        assert statistics.median(latencies) == pytest.approx(user_day.median_latency_ms[bucket])


async def test_large_deployment_is_computed_lazily() -> None:
    """Nothing is computed before somebody asks, and then only what was asked for."""
    started = process_time()
    async with api_client(demo_deployment(Size(500, 10_000), now=lambda: NOW)) as client:
        day = {"start_time": "2026-11-23T00:00:00Z", "end_time": "2026-11-24T00:00:00Z"}
        response = await client("/insights/templates", day)

    assert response.body["report"]["active_users"] > 3_000
    assert process_time() - started < 30


async def test_injected_faults_apply_to_requests() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        deployment.faults.inject("/users/me", Status(status=503, max_count=1))
        first, second = await client("/users/me"), await client("/users/me")
        deployment.faults.inject("/users/me", TruncateBody())

        assert (first.status, second.status) == (503, 200)
        with pytest.raises(msgspec.DecodeError):
            await client("/users/me")
