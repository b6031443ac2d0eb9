"""Lists have Coder's order, pages and gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.demo_deployment import OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.api_client import api_client

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)


def simulated_deployment(version: str = "v2.35.1+5e7d2c4", **options: Any) -> SimulatedDeployment:
    return demo_deployment(Size(6, 20), now=lambda: NOW, options=ApiOptions(version=version, **options))


async def test_templates_are_sorted_by_owner_count_then_name() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates")
        deprecated = await client("/templates", {"q": "deprecated:true"})
    ranks = [(-template["active_user_count"], template["name"], template["id"]) for template in response.body]

    assert ranks == sorted(ranks)
    # Nobody owns a workspace of it.
    assert [template["active_user_count"] for template in deprecated.body] == [-1]


async def test_two_organizations_share_a_template_name() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates", {"q": "exact_name:go-dev"})

    assert {(template["organization_name"], template["name"]) for template in response.body} == {
        ("acme", "go-dev"),
        ("research", "go-dev"),
    }


async def test_deprecated_and_deleted_templates_require_a_filter() -> None:
    deployment = simulated_deployment()
    deprecated = next(template for template in deployment.world.templates if template.deprecation_message)
    deleted = deployment.world.templates[0]
    deployment.deleted_template_ids |= {deleted.id}
    deprecated_and_deleted = replace(deprecated, id=deprecated.id[:-1] + "f", deleted=True)
    deployment.world.templates = (*deployment.world.templates, deprecated_and_deleted)
    queries = ("", "deprecated:true", "deleted:true", "deleted:true deprecated:true")
    async with api_client(deployment) as client:
        ids_by_query = [
            {template["id"] for template in (await client("/templates", {"q": q})).body} for q in queries
        ]
        hidden = await client(f"/templates/{deleted.id}")

    assert ids_by_query[1:] == [{deprecated.id}, {deleted.id}, {deprecated_and_deleted.id}]
    assert not ids_by_query[0] & {deprecated.id, deleted.id, deprecated_and_deleted.id}
    assert hidden.status == 404


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("go", {"go-dev"}),
        ("name:dev organization:acme", {"go-dev"}),
        ("organization:platform", {"frontend"}),
        ('exact_name:"go-dev" organization:research', {"go-dev"}),
        ('unbalanced"', set()),
    ],
)
async def test_templates_can_be_searched(query: str, names: set[str]) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates", {"q": query})

    assert {template["name"] for template in response.body} == names


async def test_older_versions_list_deprecated_templates() -> None:
    async with api_client(simulated_deployment("v2.22.0")) as client:
        response = await client("/templates")

    assert sum(template["deprecated"] for template in response.body) == 1


async def test_invalid_template_id_is_rejected() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates/nonsense")

    assert response.status == 400


async def test_percentile_keys_are_upper_case() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates")
        stats = await client("/deployment/stats")

    assert response.body[0]["build_time_stats"].keys() == {"start", "stop", "delete"}
    assert response.body[0]["build_time_stats"]["start"].keys() == {"P50", "P95"}
    assert response.body[0]["build_time_stats"]["delete"] == {"P50": None, "P95": None}
    assert stats.body["workspaces"]["connection_latency_ms"].keys() == {"P50", "P95"}


async def test_disabled_usage_stats_clear_deployment_latency_and_sessions() -> None:
    deployment = simulated_deployment()
    deployment.world.usage_stats_enabled = False
    async with api_client(deployment) as client:
        stats = (await client("/deployment/stats")).body

    assert stats["workspaces"]["connection_latency_ms"] == {"P50": -1, "P95": -1}
    assert set(stats["session_count"].values()) == {0}


@pytest.mark.parametrize(
    ("version", "present"),
    [
        ("v2.13.0", set()),
        ("v2.14.0", {"organization_name"}),
        ("v2.31.0", {"organization_name", "deleted"}),
    ],
)
async def test_fields_depend_on_version(version: str, present: set[str]) -> None:
    async with api_client(simulated_deployment(version)) as client:
        response = await client("/templates")

    assert response.body[0].keys() & {"organization_name", "deleted"} == present


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("v2.12.0", {"/templates", "/organizations", "/insights/user-status-counts"}),
        ("v2.13.0", {"/organizations", "/insights/user-status-counts"}),
        ("v2.18.0", {"/insights/user-status-counts"}),
        ("v2.19.0", set()),
    ],
)
async def test_routes_depend_on_version(version: str, missing: set[str]) -> None:
    routes = ("/templates", "/organizations", "/insights/user-status-counts", "/users/me/organizations")
    async with api_client(simulated_deployment(version)) as client:
        responses = {route: await client(route) for route in routes}

    assert {route for route, response in responses.items() if response.status == 404} == missing
    assert all(responses[route].error == (404, "Route not found.", "") for route in missing)


async def test_unsupported_version_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"Expected a version from v2\.12\.0 on, found v2\.11\.4"):
        simulated_deployment("v2.11.4")


# Users


async def test_user_pagination_matches_coder() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        all_users = await client("/users")
        names = [user["username"] for user in all_users.body["users"]]
        ids = [user["id"] for user in all_users.body["users"]]
        second_page = await client("/users", {"limit": "7", "offset": "7"})
        page_after_id = await client("/users", {"limit": "7", "after_id": ids[6]})
        page_beyond_end = await client("/users", {"limit": "7", "offset": "70"})
        negative = await client("/users", {"limit": "-1"})

    assert names == sorted(names, key=str.lower)
    assert len(names) == all_users.body["count"] == 20
    assert [user["username"] for user in second_page.body["users"]] == names[7:14]
    assert page_after_id.body["users"] == second_page.body["users"]
    # The count of an empty page is 0, however many there are.
    assert page_beyond_end.body == {"users": [], "count": 0}
    assert negative.status == 400


async def test_deleted_users_are_found_by_id_only_and_keep_usage() -> None:
    deployment = simulated_deployment()
    world = deployment.world
    week = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}
    async with api_client(deployment) as client:
        active = (await client("/insights/user-activity", week)).body["report"]["users"][0]
        world.users = tuple(
            replace(user, deleted=True) if user.id == active["user_id"] else user for user in world.users
        )
        listed = await client("/users")
        by_id = await client(f"/users/{active['user_id']}")
        by_name = await client(f"/users/{active['username']}")
        past_activity = await client("/insights/user-activity", week)

    assert active["username"] not in {user["username"] for user in listed.body["users"]}
    assert by_id.body["username"] == active["username"]
    assert by_name.error == (400, '"user" must be an existing uuid or username.', "")
    assert past_activity.body["report"]["users"][0] == active


async def test_users_can_be_filtered_by_status_and_name() -> None:
    async with api_client(simulated_deployment()) as client:
        all_users = (await client("/users")).body["users"]
        for status in ("active", "dormant", "suspended"):
            response = await client("/users", {"q": f"status:{status}"})

            assert response.body["users"] == [user for user in all_users if user["status"] == status]
        matching = await client("/users", {"q": "ada"})

    assert [user["username"] for user in matching.body["users"]] == ["ada"]


async def test_user_status_counts_end_at_the_next_hour() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/insights/user-status-counts")
        both = await client("/insights/user-status-counts", {"timezone": "Europe/Berlin", "tz_offset": "1"})
        zone = await client("/insights/user-status-counts", {"timezone": "Mars/Olympus"})
        offset = await client("/insights/user-status-counts", {"offset": "1"})
    counts = response.body["status_counts"]

    assert sum(rows[-1]["count"] for rows in counts.values()) == 20
    assert {rows[-1]["date"] for rows in counts.values()} == {"2026-11-24T15:00:00Z"}
    assert [item.status for item in (both, zone, offset)] == [400, 400, 400]


# Workspaces


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
    assert page.body["workspaces"] == rows[3:8]
    assert page.body["count"] == response.body["count"] == len(rows)
    assert running.body["workspaces"] == [
        workspace for workspace in rows if workspace["latest_build"]["status"] == "running"
    ]


async def test_disconnected_agents_have_no_latency() -> None:
    async with api_client(large_deployment()) as client:
        response = await client("/workspaces")
    agents = [
        agent
        for workspace in response.body["workspaces"]
        for resource in workspace["latest_build"]["resources"]
        for agent in resource["agents"]
    ]

    assert {agent["status"] for agent in agents} == {"connected", "disconnected"}
    assert all(("latency" in agent) is (agent["status"] == "connected") for agent in agents)


def large_deployment() -> SimulatedDeployment:
    return demo_deployment(Size(6, 300), now=lambda: NOW, options=ApiOptions())


async def test_rich_parameters_list_options() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        version = deployment.world.templates[0].version_id
        response = await client(f"/templateversions/{version}/rich-parameters")
        unknown = await client(f"/templateversions/{version[:-1]}f/rich-parameters")
    by_name = {item["name"]: item for item in response.body}

    assert [item["value"] for item in by_name["cpu"]["options"]] == ["4", "8", "16", "32"]
    assert by_name["dotfiles"]["options"] == []
    assert by_name["tools"]["type"] == "list(string)"
    assert unknown.status == 404


# The server itself


async def test_every_response_has_version_and_rate_limit_headers() -> None:
    deployment = simulated_deployment(rate_limit=512)
    async with api_client(deployment) as client:
        responses = [
            await client("/buildinfo", token=""),
            await client("/users/me"),
            await client("/users/me", token=""),
            await client("/nonsense"),
        ]

    for response in responses:
        assert response.headers["X-Coder-Build-Version"] == "v2.35.1+5e7d2c4"
        assert response.headers["X-RateLimit-Limit"] == "512"
        assert int(response.headers["X-RateLimit-Reset"]) > NOW.timestamp()
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert responses[1].headers["X-RateLimit-Remaining"] == "511"


async def test_rate_limit_is_per_path_and_user() -> None:
    async with api_client(simulated_deployment(rate_limit=1)) as client:
        first, second = await client("/users/me"), await client("/users/me")
        other_path, other_user = await client("/templates"), await client("/users/me", token=OWNER_TOKEN)

    assert [response.status for response in (first, second, other_path, other_user)] == [200, 429, 200, 200]
    assert second.body["message"] == "You've been rate limited for sending more than 1 requests in 1m0s."
    assert second.headers["Retry-After"] == "60"


async def test_older_versions_rate_limit_by_address() -> None:
    async with api_client(simulated_deployment("v2.31.0", rate_limit=1)) as client:
        first, other_user = await client("/users/me"), await client("/users/me", token=OWNER_TOKEN)

    assert [response.status for response in (first, other_user)] == [200, 429]


async def test_entitlements_require_a_license() -> None:
    async with api_client(simulated_deployment(user_limit=25)) as client:
        seats = (await client("/entitlements")).body["features"]["user_limit"]
    async with api_client(simulated_deployment()) as client:
        unlimited = (await client("/entitlements")).body["features"]["user_limit"]
    async with api_client(simulated_deployment(licensed=False)) as client:
        open_source = await client("/entitlements")

    assert (seats["enabled"], seats["limit"]) == (True, 25)
    assert unlimited == {"entitlement": "entitled", "enabled": False}
    assert open_source.error == (404, "Route not found.", "")
