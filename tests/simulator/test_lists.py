"""Lists have Coder's order, pages and gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import OWNER_TOKEN, stage
from tests.support.asking import asking

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)


def simulated(version: str = "v2.35.1+5e7d2c4", **options: Any) -> SimulatedDeployment:
    return stage(Size(6, 20), now=lambda: NOW, options=ApiOptions(version=version, **options))


async def test_templates_come_by_owners_and_then_by_name() -> None:
    async with asking(simulated()) as ask:
        told = await ask("/templates")
        forgotten = await ask("/templates", {"q": "deprecated:true"})
    ranks = [(-one["active_user_count"], one["name"], one["id"]) for one in told.body]

    assert ranks == sorted(ranks)
    # Nobody owns a workspace of it.
    assert [one["active_user_count"] for one in forgotten.body] == [-1]


async def test_two_organizations_have_a_template_of_one_name() -> None:
    async with asking(simulated()) as ask:
        told = await ask("/templates", {"q": "exact_name:go-dev"})

    assert {(one["organization_name"], one["name"]) for one in told.body} == {
        ("acme", "go-dev"),
        ("research", "go-dev"),
    }


async def test_deprecated_and_deleted_templates_must_be_asked_for() -> None:
    deployment = simulated()
    deprecated = next(one for one in deployment.world.templates if one.deprecation_message)
    gone = deployment.world.templates[0]
    deployment.deleted |= {gone.id}
    both = replace(deprecated, id=deprecated.id[:-1] + "f", deleted=True)
    deployment.world.templates = (*deployment.world.templates, both)
    queries = ("", "deprecated:true", "deleted:true", "deleted:true deprecated:true")
    async with asking(deployment) as ask:
        lists = [{one["id"] for one in (await ask("/templates", {"q": q})).body} for q in queries]
        hidden = await ask(f"/templates/{gone.id}")

    assert lists[1:] == [{deprecated.id}, {gone.id}, {both.id}]
    assert not lists[0] & {deprecated.id, gone.id, both.id}
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
async def test_templates_are_found(query: str, names: set[str]) -> None:
    async with asking(simulated()) as ask:
        told = await ask("/templates", {"q": query})

    assert {one["name"] for one in told.body} == names


async def test_older_servers_list_deprecated_templates_among_the_others() -> None:
    async with asking(simulated("v2.22.0")) as ask:
        told = await ask("/templates")

    assert sum(one["deprecated"] for one in told.body) == 1


async def test_an_id_that_is_none_is_refused() -> None:
    async with asking(simulated()) as ask:
        told = await ask("/templates/nonsense")

    assert told.status == 400


async def test_build_times_have_capital_percentiles() -> None:
    async with asking(simulated()) as ask:
        told = await ask("/templates")
        stats = await ask("/deployment/stats")

    assert told.body[0]["build_time_stats"].keys() == {"start", "stop", "delete"}
    assert told.body[0]["build_time_stats"]["start"].keys() == {"P50", "P95"}
    assert told.body[0]["build_time_stats"]["delete"] == {"P50": None, "P95": None}
    assert stats.body["workspaces"]["connection_latency_ms"].keys() == {"P50", "P95"}


async def test_switched_off_statistics_leave_the_deployment_without_latency_and_sessions() -> None:
    deployment = simulated()
    deployment.world.collecting = False
    async with asking(deployment) as ask:
        stats = (await ask("/deployment/stats")).body

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
async def test_fields_came_with_their_releases(version: str, present: set[str]) -> None:
    async with asking(simulated(version)) as ask:
        told = await ask("/templates")

    assert told.body[0].keys() & {"organization_name", "deleted"} == present


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("v2.12.0", {"/templates", "/organizations", "/insights/user-status-counts"}),
        ("v2.13.0", {"/organizations", "/insights/user-status-counts"}),
        ("v2.18.0", {"/insights/user-status-counts"}),
        ("v2.19.0", set()),
    ],
)
async def test_routes_came_with_their_releases(version: str, missing: set[str]) -> None:
    routes = ("/templates", "/organizations", "/insights/user-status-counts", "/users/me/organizations")
    async with asking(simulated(version)) as ask:
        told = {route: await ask(route) for route in routes}

    assert {route for route, one in told.items() if one.status == 404} == missing
    assert all(told[route].refusal == (404, "Route not found.", "") for route in missing)


async def test_a_server_before_the_first_one_imitated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected a version from v2\.12\.0 on, found v2\.11\.4"):
        simulated("v2.11.4")


# Users


async def test_pages_of_users_have_the_quirks_of_coders() -> None:
    deployment = simulated()
    async with asking(deployment) as ask:
        everybody = await ask("/users")
        names = [one["username"] for one in everybody.body["users"]]
        ids = [one["id"] for one in everybody.body["users"]]
        second = await ask("/users", {"limit": "7", "offset": "7"})
        after = await ask("/users", {"limit": "7", "after_id": ids[6]})
        beyond = await ask("/users", {"limit": "7", "offset": "70"})
        negative = await ask("/users", {"limit": "-1"})

    assert names == sorted(names, key=str.lower)
    assert len(names) == everybody.body["count"] == 20
    assert [one["username"] for one in second.body["users"]] == names[7:14]
    assert after.body["users"] == second.body["users"]
    # The count of an empty page is 0, however many there are.
    assert beyond.body == {"users": [], "count": 0}
    assert negative.status == 400


async def test_deleted_users_are_known_by_id_alone_but_keep_their_past() -> None:
    deployment = simulated()
    world = deployment.world
    week = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}
    async with asking(deployment) as ask:
        active = (await ask("/insights/user-activity", week)).body["report"]["users"][0]
        world.users = tuple(
            replace(one, deleted=True) if one.id == active["user_id"] else one for one in world.users
        )
        listed = await ask("/users")
        by_id = await ask(f"/users/{active['user_id']}")
        by_name = await ask(f"/users/{active['username']}")
        past = await ask("/insights/user-activity", week)

    assert active["username"] not in {one["username"] for one in listed.body["users"]}
    assert by_id.body["username"] == active["username"]
    assert by_name.refusal == (400, '"user" must be an existing uuid or username.', "")
    assert past.body["report"]["users"][0] == active


async def test_users_are_found_by_status_and_name() -> None:
    async with asking(simulated()) as ask:
        every = (await ask("/users")).body["users"]
        for status in ("active", "dormant", "suspended"):
            told = await ask("/users", {"q": f"status:{status}"})

            assert told.body["users"] == [one for one in every if one["status"] == status]
        named = await ask("/users", {"q": "ada"})

    assert [one["username"] for one in named.body["users"]] == ["ada"]


async def test_counts_by_status_end_with_the_next_hour() -> None:
    async with asking(simulated()) as ask:
        told = await ask("/insights/user-status-counts")
        both = await ask("/insights/user-status-counts", {"timezone": "Europe/Berlin", "tz_offset": "1"})
        zone = await ask("/insights/user-status-counts", {"timezone": "Mars/Olympus"})
        offset = await ask("/insights/user-status-counts", {"offset": "1"})
    counts = told.body["status_counts"]

    assert sum(rows[-1]["count"] for rows in counts.values()) == 20
    assert {rows[-1]["date"] for rows in counts.values()} == {"2026-11-24T15:00:00Z"}
    assert [one.status for one in (both, zone, offset)] == [400, 400, 400]


# Workspaces


async def test_running_workspaces_come_first() -> None:
    async with asking(simulated()) as ask:
        told = await ask("/workspaces")
        page = await ask("/workspaces", {"limit": "5", "offset": "3"})
        running = await ask("/workspaces", {"q": "status:running"})
    rows = told.body["workspaces"]
    ranks = [(one["latest_build"]["status"] != "running", one["owner_name"], one["name"]) for one in rows]

    assert ranks == sorted(ranks)
    assert page.body["workspaces"] == rows[3:8]
    assert page.body["count"] == told.body["count"] == len(rows)
    assert running.body["workspaces"] == [one for one in rows if one["latest_build"]["status"] == "running"]


async def test_agents_without_a_connection_tell_no_relay() -> None:
    async with asking(stage_with_everybody_awake()) as ask:
        told = await ask("/workspaces")
    agents = [
        agent
        for one in told.body["workspaces"]
        for resource in one["latest_build"]["resources"]
        for agent in resource["agents"]
    ]

    assert {agent["status"] for agent in agents} == {"connected", "disconnected"}
    assert all(("latency" in agent) is (agent["status"] == "connected") for agent in agents)


def stage_with_everybody_awake() -> SimulatedDeployment:
    return stage(Size(6, 300), now=lambda: NOW, options=ApiOptions())


async def test_declared_parameters_have_options_and_may_be_missing() -> None:
    deployment = simulated()
    async with asking(deployment) as ask:
        version = deployment.world.templates[0].version_id
        told = await ask(f"/templateversions/{version}/rich-parameters")
        unknown = await ask(f"/templateversions/{version[:-1]}f/rich-parameters")
    by_name = {one["name"]: one for one in told.body}

    assert [one["value"] for one in by_name["cpu"]["options"]] == ["4", "8", "16", "32"]
    assert by_name["dotfiles"]["options"] == []
    assert by_name["tools"]["type"] == "list(string)"
    assert unknown.status == 404


# The server itself


async def test_every_answer_names_version_and_budget() -> None:
    deployment = simulated(rate_limit=512)
    async with asking(deployment) as ask:
        answers = [
            await ask("/buildinfo", token=""),
            await ask("/users/me"),
            await ask("/users/me", token=""),
            await ask("/nonsense"),
        ]

    for one in answers:
        assert one.headers["X-Coder-Build-Version"] == "v2.35.1+5e7d2c4"
        assert one.headers["X-RateLimit-Limit"] == "512"
        assert int(one.headers["X-RateLimit-Reset"]) > NOW.timestamp()
        assert one.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answers[1].headers["X-RateLimit-Remaining"] == "511"


async def test_each_path_and_user_has_a_budget_of_its_own() -> None:
    async with asking(simulated(rate_limit=1)) as ask:
        first, again = await ask("/users/me"), await ask("/users/me")
        elsewhere, other = await ask("/templates"), await ask("/users/me", token=OWNER_TOKEN)

    assert [one.status for one in (first, again, elsewhere, other)] == [200, 429, 200, 200]
    assert again.body["message"] == "You've been rate limited for sending more than 1 requests in 1m0s."
    assert again.headers["Retry-After"] == "60"


async def test_before_users_had_budgets_their_address_had() -> None:
    async with asking(simulated("v2.31.0", rate_limit=1)) as ask:
        first, other = await ask("/users/me"), await ask("/users/me", token=OWNER_TOKEN)

    assert [one.status for one in (first, other)] == [200, 429]


async def test_seats_are_told_by_licensed_servers_alone() -> None:
    async with asking(simulated(user_limit=25)) as ask:
        seats = (await ask("/entitlements")).body["features"]["user_limit"]
    async with asking(simulated()) as ask:
        unlimited = (await ask("/entitlements")).body["features"]["user_limit"]
    async with asking(simulated(licensed=False)) as ask:
        open_source = await ask("/entitlements")

    assert (seats["enabled"], seats["limit"]) == (True, 25)
    assert unlimited == {"entitlement": "entitled", "enabled": False}
    assert open_source.refusal == (404, "Route not found.", "")
