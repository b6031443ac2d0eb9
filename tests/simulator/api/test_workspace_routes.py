"""The route of workspaces."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from insights_exporter.simulator.generated_world import Size
from tests.support.api_client import api_client, simulated_deployment


async def test_running_workspaces_come_first() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/workspaces")
        page = await client("/workspaces", {"limit": "5", "offset": "3"})
        running = await client("/workspaces", {"q": "status:running"})
    rows = response.body["workspaces"]
    ranks = [
        (workspace["latest_build"]["status"] != "running", workspace["owner_name"], workspace["name"])
        for workspace in rows
    ]

    assert ranks == sorted(ranks)
    assert {is_stopped for is_stopped, _, _ in ranks} == {True, False}
    assert page.body["workspaces"] == rows[3:8]
    assert page.body["count"] == response.body["count"] == len(rows)
    assert running.body["workspaces"] == [
        workspace for workspace in rows if workspace["latest_build"]["status"] == "running"
    ]


async def test_disconnected_agents_have_no_latency() -> None:
    async with api_client(simulated_deployment(Size(6, 300))) as client:
        response = await client("/workspaces")
    agents = [
        agent
        for workspace in response.body["workspaces"]
        for resource in workspace["latest_build"]["resources"]
        for agent in resource["agents"]
    ]

    assert {agent["status"] for agent in agents} == {"connected", "disconnected"}
    assert all(("latency" in agent) is (agent["status"] == "connected") for agent in agents)


async def get_workspaces(**options: Any) -> list[dict[str, Any]]:
    async with api_client(simulated_deployment(Size(8, 60), **options)) as client:
        rows: list[dict[str, Any]] = (await client("/workspaces")).body["workspaces"]
    return rows


async def test_prebuilt_workspaces_belong_to_the_system_user() -> None:
    workspaces = await get_workspaces()
    prebuilt = [workspace for workspace in workspaces if workspace["is_prebuild"]]

    assert {workspace["owner_name"] for workspace in prebuilt} == {"prebuilds"}
    assert {workspace["owner_id"] for workspace in prebuilt} == {"c42fdf75-3097-471c-8c33-fb52454d81c0"}
    assert [workspace["latest_build"]["status"] for workspace in prebuilt] == ["running"] * 4
    assert "prebuilds" not in {
        workspace["owner_name"] for workspace in workspaces if not workspace["is_prebuild"]
    }


async def test_system_user_is_not_listed() -> None:
    async with api_client(simulated_deployment(Size(8, 60))) as client:
        users = (await client("/users", {"q": "prebuilds"})).body

    assert users == {"users": [], "count": 0}


async def test_older_versions_have_no_prebuilt_workspaces() -> None:
    workspaces = await get_workspaces(version="v2.24.0")

    assert "prebuilds" not in {workspace["owner_name"] for workspace in workspaces}
    assert not any("is_prebuild" in workspace for workspace in workspaces)


async def test_a_dormant_workspace_can_run() -> None:
    deployment = simulated_deployment(Size(8, 60))
    async with api_client(deployment) as client:
        workspaces = (await client("/workspaces")).body["workspaces"]
        stats = (await client("/deployment/stats")).body["workspaces"]
    dormant = [workspace for workspace in workspaces if workspace["dormant_at"] is not None]
    running = [workspace for workspace in dormant if workspace["latest_build"]["status"] == "running"]

    assert len(dormant) > len(running) == 1
    assert running[0]["latest_build"]["resources"][0]["agents"]
    assert stats["running"] == sum(
        workspace["latest_build"]["status"] == "running" for workspace in workspaces
    )


async def test_workspaces_have_deadlines_costs_and_deletion_times() -> None:
    workspaces = await get_workspaces()
    running = [workspace for workspace in workspaces if workspace["latest_build"]["status"] == "running"]
    stopped = [workspace for workspace in workspaces if workspace["latest_build"]["status"] == "stopped"]

    assert {workspace["latest_build"]["deadline"] is None for workspace in running} == {True, False}
    assert {workspace["latest_build"]["deadline"] for workspace in stopped} == {None}
    assert min(workspace["latest_build"]["daily_cost"] for workspace in running) >= 10
    assert max(workspace["latest_build"]["daily_cost"] for workspace in stopped) <= 5
    assert {
        workspace["deleting_at"] is None for workspace in workspaces if workspace["dormant_at"] is not None
    } == {True, False}
    assert {workspace["outdated"] for workspace in workspaces} == {True, False}


async def test_external_apps_are_links_without_health() -> None:
    apps = [
        app
        for workspace in await get_workspaces()
        for resource in workspace["latest_build"]["resources"]
        for agent in resource["agents"]
        for app in agent["apps"]
    ]

    assert {app["slug"] for app in apps if app["external"]} == {"wiki"}
    assert {app["health"] for app in apps if app["external"]} == {"disabled"}
    assert {app["health"] for app in apps if not app["external"]} == {"healthy"}


async def test_running_workspaces_have_the_size_of_real_ones() -> None:
    """A real workspace takes 5.1 kB on average."""
    sizes = [
        len(msgspec.json.encode(workspace))
        for workspace in await get_workspaces()
        if workspace["latest_build"]["status"] == "running"
    ]

    assert 4_000 < sum(sizes) / len(sizes) < 7_000


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("-1", "value is negative"),
        ("x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("9999999999", 'strconv.ParseInt: parsing "9999999999": value out of range'),
    ],
)
async def test_invalid_limit_is_rejected(limit: str, reason: str) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/workspaces", {"limit": limit})

    assert response.field_errors == {
        "limit": f'Query param "limit" must be a valid 32-bit positive integer: {reason}'
    }
