"""Routes of user accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN
from insights_exporter.simulator.generated_world import Size
from tests.support.api_client import WEEK, api_client, simulated_deployment


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
    # Twenty people and the service account of the exporter.
    assert len(names) == all_users.body["count"] == 21
    assert [user["username"] for user in second_page.body["users"]] == names[7:14]
    assert page_after_id.body["users"] == second_page.body["users"]
    # An empty page has the count 0.
    assert page_beyond_end.body == {"users": [], "count": 0}
    assert negative.status == 400


async def test_deleted_users_are_found_by_id_only_and_keep_usage() -> None:
    deployment = simulated_deployment()
    world = deployment.world
    async with api_client(deployment) as client:
        active = (await client("/insights/user-activity", WEEK)).body["report"]["users"][0]
        world.users = tuple(
            replace(user, deleted=True) if user.id == active["user_id"] else user for user in world.users
        )
        listed = await client("/users")
        by_id = await client(f"/users/{active['user_id']}")
        by_name = await client(f"/users/{active['username']}", token=OWNER_TOKEN)
        past_activity = await client("/insights/user-activity", WEEK)

    assert active["username"] not in {user["username"] for user in listed.body["users"]}
    assert by_id.body["username"] == active["username"]
    assert by_name.error == (400, '"user" must be an existing uuid or username.', "")
    assert past_activity.body["report"]["users"][0] == active


async def test_users_can_be_filtered_by_status_and_name() -> None:
    async with api_client(simulated_deployment(Size(2, 300))) as client:
        all_users = (await client("/users")).body["users"]
        for status in ("active", "dormant", "suspended"):
            response = await client("/users", {"q": f"status:{status}"})
            expected = [user for user in all_users if user["status"] == status]

            assert response.body["users"] == expected != []
            assert response.body["count"] == len(expected)
        matching = await client("/users", {"q": "ada7"})

    assert [user["username"] for user in matching.body["users"]] == ["ada7"]


@pytest.mark.parametrize(
    ("version", "token", "status"),
    [("v2.34.0", DEMO_TOKEN, 400), ("v2.35.0", DEMO_TOKEN, 404), ("v2.35.0", OWNER_TOKEN, 400)],
)
async def test_unknown_user_depends_on_version_and_role(version: str, token: str, status: int) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        response = await client("/users/nobody", token=token)

    assert response.status == status


async def test_service_account_is_listed_and_marked() -> None:
    async with api_client(simulated_deployment()) as client:
        me = (await client("/users/me")).body
        matching = (await client("/users", {"q": "service_account:true"})).body
    async with api_client(simulated_deployment(version="v2.31.0")) as client:
        before = (await client("/users/exporter")).body

    assert (me["username"], me["is_service_account"], me["login_type"]) == ("exporter", True, "none")
    assert [(user["id"], user["username"]) for user in matching["users"]] == [(me["id"], "exporter")]
    assert "is_service_account" not in before


async def test_empty_fields_are_omitted() -> None:
    deployment = simulated_deployment()
    deployment.world.users = (replace(deployment.world.users[0], name="", avatar_url=""),)
    async with api_client(deployment) as client:
        user = (await client(f"/users/{deployment.world.users[0].id}")).body

    assert not user.keys() & {"name", "avatar_url", "is_service_account"}


@pytest.mark.parametrize(("version", "has_field"), [("v2.34.0", False), ("v2.35.0", True)])
async def test_ai_seat_depends_on_version(version: str, *, has_field: bool) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        users = (await client("/users")).body["users"]

    assert len(users) == 21
    assert all(("has_ai_seat" in user) is has_field for user in users)


async def test_accounts_without_activity_turn_dormant_while_usage_stats_are_disabled() -> None:
    deployment = simulated_deployment()
    world = deployment.world
    username = next(user.username for user in world.users if user.status == "active")
    with patch.object(type(world), "last_seen", return_value=None):
        async with api_client(deployment) as client:
            enabled = (await client("/users", {"q": f"status:active {username}"})).body["users"]
            world.usage_stats_enabled = False
            disabled = (await client("/users", {"q": f"status:dormant {username}"})).body["users"]

    assert [user["username"] for user in enabled] == [user["username"] for user in disabled] == [username]


async def test_renamed_user_has_one_name_everywhere() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        before = (await client("/insights/user-activity", WEEK)).body["report"]["users"][0]
        deployment.rename_user(before["username"], "new-name")
        listed = (await client("/users", {"q": "new-name"})).body["users"]
        activity = (await client("/insights/user-activity", WEEK)).body["report"]["users"][0]
        latency = (await client("/insights/user-latency", WEEK)).body["report"]["users"][0]
        workspaces = (await client("/workspaces", {"q": "owner:new-name"})).body["workspaces"]

    assert [user["id"] for user in listed] == [before["user_id"]]
    assert activity == before | {"username": "new-name"}
    assert (latency["user_id"], latency["username"]) == (before["user_id"], "new-name")
    assert workspaces


async def test_groups_list_everyone_and_teams_with_members() -> None:
    async with api_client(simulated_deployment(user_limit=25)) as client:
        response = await client("/groups")
    groups = {(group["organization_name"], group["name"]): group for group in response.body}
    everyone, payments = groups["acme", "Everyone"], groups["acme", "payments"]

    assert everyone["id"] == everyone["organization_id"]
    assert everyone["total_member_count"] == len(everyone["members"]) == 20
    assert payments["display_name"] == "Payments"
    assert {member["id"] for member in payments["members"]} < {member["id"] for member in everyone["members"]}


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({}, 403, "Template RBAC is a Premium feature. Contact sales!"),
        ({"user_limit": 25, "open_source": True}, 404, "Route not found."),
        ({"user_limit": 25, "version": "v2.14.0"}, 404, "Route not found."),
    ],
    ids=["no licence", "open source", "old version"],
)
async def test_groups_need_a_licence_and_its_edition(
    options: dict[str, Any], status: int, message: str
) -> None:
    async with api_client(simulated_deployment(**options)) as client:
        response = await client("/groups")

    assert response.error[:2] == (status, message)


async def test_groups_of_other_organizations_are_not_listed() -> None:
    deployment = simulated_deployment(user_limit=25)
    deployment.accounts.update(
        "exporter", roles=frozenset(), organization_roles={"research": frozenset({"organization-admin"})}
    )
    async with api_client(deployment) as client:
        response = await client("/groups")

    assert [group["organization_name"] for group in response.body] == ["research"]


# Users by status


async def test_user_status_counts_end_at_midnight_of_the_time_zone() -> None:
    """The last of 61 points is today's midnight, so a change of today is missing."""
    async with api_client(simulated_deployment()) as client:
        utc = (await client("/insights/user-status-counts")).body["status_counts"]
        berlin = (await client("/insights/user-status-counts", {"timezone": "Europe/Berlin"})).body
        west = (await client("/insights/user-status-counts", {"tz_offset": "-5"})).body

    assert sum(rows[-1]["count"] for rows in utc.values()) == 20
    assert {len(rows) for rows in utc.values()} == {61}
    assert {rows[-1]["date"] for rows in utc.values()} == {"2026-11-24T00:00:00Z"}
    assert berlin["status_counts"]["active"][-1]["date"] == "2026-11-24T00:00:00+01:00"
    assert west["status_counts"]["active"][-1]["date"] == "2026-11-24T00:00:00-05:00"


@pytest.mark.parametrize(
    ("query", "message", "detail"),
    [
        (
            {"timezone": "Europe/Berlin", "tz_offset": "1"},
            'Provide either "timezone" or "tz_offset", not both.',
            "",
        ),
        ({"timezone": "Mars/Olympus"}, "Invalid timezone.", "unknown time zone Mars/Olympus"),
        ({"offset": "1"}, "Query parameters have invalid values.", ""),
    ],
)
async def test_invalid_status_count_queries_are_rejected(
    query: Mapping[str, str], message: str, detail: str
) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/insights/user-status-counts", query)

    assert response.error == (400, message, detail)
