"""Routes of API tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN
from tests.support.api_client import NOW, api_client, simulated_deployment

TOKENS = "/users/me/keys/tokens"
HOUR_NS = 3_600_000_000_000


async def test_created_token_authenticates_and_is_listed() -> None:
    async with api_client(simulated_deployment()) as client:
        created = await client(TOKENS, body={"token_name": "second", "lifetime": 48 * HOUR_NS})
        token = created.body["key"]
        me = await client("/users/me", token=token)
        listed = (await client(TOKENS)).body

    assert created.status == 201
    assert me.body["username"] == "exporter"
    assert [item["token_name"] for item in listed] == ["insights-exporter", "second"]
    assert listed[1]["id"] == token.partition("-")[0]
    assert (listed[1]["expires_at"], listed[1]["lifetime_seconds"]) == ("2026-11-26T14:07:00Z", 172_800)
    assert {item["user_id"] for item in listed} == {me.body["id"]}


async def test_created_token_inherits_the_permissions_of_its_user() -> None:
    async with api_client(simulated_deployment()) as client:
        token = (await client(TOKENS, body={})).body["key"]
        templates = await client("/templates", token=token)
        health = await client("/debug/health", token=token)

    assert (len(templates.body), health.status) == (5, 403)


async def test_default_lifetime_is_seven_days() -> None:
    async with api_client(simulated_deployment()) as client:
        await client(TOKENS, body={"token_name": "second"})
        listed = (await client(TOKENS)).body

    assert listed[1]["expires_at"] == "2026-12-01T14:07:00Z"


async def test_expired_token_is_rejected() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        token = (await client(TOKENS, body={"lifetime": HOUR_NS})).body["key"]
        deployment.now = lambda: NOW + timedelta(hours=1)
        response = await client("/users/me", token=token)

    assert response.status == 401


async def test_token_name_is_unique_for_a_user() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client(TOKENS, body={"token_name": "insights-exporter"})
        other_user = await client(TOKENS, body={"token_name": "second"}, token=OWNER_TOKEN)

    assert response.error == (409, 'A token with name "insights-exporter" already exists.', "")
    assert other_user.status == 201


@pytest.mark.parametrize(
    ("token", "hours", "detail"),
    [
        (DEMO_TOKEN, 876_600, ""),
        (DEMO_TOKEN, 876_601, "lifetime must be less than 876600h0m0s"),
        (OWNER_TOKEN, 168, ""),
        (OWNER_TOKEN, 169, "lifetime must be less than 168h0m0s"),
        (DEMO_TOKEN, -1, "lifetime must be positive number greater than 0"),
    ],
)
async def test_lifetime_is_limited_by_role(token: str, hours: int, detail: str) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client(TOKENS, body={"lifetime": hours * HOUR_NS, "token_name": "x"}, token=token)

    assert response.body.get("detail", "") == detail
    assert response.status == (400 if detail else 201)


@pytest.mark.parametrize(("token", "hours"), [(DEMO_TOKEN, 876_600), (OWNER_TOKEN, 168)])
async def test_token_config_has_the_maximum_lifetime(token: str, hours: int) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client(f"{TOKENS}/tokenconfig", token=token)

    assert response.body == {"max_token_lifetime": hours * HOUR_NS}


@pytest.mark.parametrize(
    ("version", "scopes", "status"),
    [
        ("v2.35.0", ["template:*", "user:read"], 201),
        ("v2.35.0", ["coder:templates.author"], 201),
        ("v2.35.0", ["template:view_insights"], 400),
        ("v2.26.0", ["template:*"], 400),
        ("v2.26.0", ["all"], 201),
    ],
)
async def test_requestable_scopes_depend_on_version(version: str, scopes: list[str], status: int) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        response = await client(TOKENS, body={"scopes": scopes, "token_name": "x"})

    assert response.status == status
    if status == 400:
        assert response.body["detail"].startswith("invalid or unsupported API key scope")


async def test_malformed_body_is_rejected() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client(TOKENS, body=["nonsense"])

    assert (response.status, response.body["message"]) == (400, "Request body must be valid JSON.")


async def test_deleted_token_is_rejected() -> None:
    async with api_client(simulated_deployment()) as client:
        new_token = (await client(TOKENS, body={"token_name": "second"})).body["key"]
        old_key = DEMO_TOKEN.partition("-")[0]
        deleted = await client(f"/users/me/keys/{old_key}", token=new_token, method="DELETE")
        old = await client("/users/me")
        again = await client(f"/users/me/keys/{old_key}", token=new_token, method="DELETE")
        listed = (await client(TOKENS, token=new_token)).body

    assert (deleted.status, deleted.body) == (204, None)
    assert (old.status, old.body["detail"]) == (401, "API key is invalid.")
    assert again.status == 404
    assert [item["token_name"] for item in listed] == ["second"]


async def test_tokens_of_others_need_the_owner_role() -> None:
    async with api_client(simulated_deployment()) as client:
        owner_key = OWNER_TOKEN.partition("-")[0]
        statuses = [
            (await client("/users/owner/keys/tokens")).status,
            (await client(f"/users/owner/keys/{owner_key}", method="DELETE")).status,
            (await client(f"/users/me/keys/{owner_key}", method="DELETE")).status,
            (await client("/users/exporter/keys/tokens", token=OWNER_TOKEN)).status,
            (await client("/users/nobody/keys/tokens", token=OWNER_TOKEN)).status,
        ]
        created = await client("/users/exporter/keys/tokens", body={"token_name": "x"}, token=OWNER_TOKEN)
        me = await client("/users/me", token=created.body["key"])

    assert statuses == [404, 404, 404, 200, 400]
    assert me.body["username"] == "exporter"


async def test_scoped_token_can_neither_create_nor_delete_tokens() -> None:
    deployment = simulated_deployment()
    token = "scopedxxxx-0123456789012345678901"
    deployment.accounts.add(Account(token=token, scopes=frozenset({"template:*"}), token_name="scoped"))
    async with api_client(deployment) as client:
        created = await client(TOKENS, body={}, token=token)
        deleted = await client("/users/me/keys/scopedxxxx", token=token, method="DELETE")

    assert (created.status, deleted.status) == (403, 404)


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("v2.26.0", set()),
        ("v2.27.0", {"scopes", "allow_list"}),
        ("v2.35.0", {"scopes", "allow_list", "username"}),
    ],
)
async def test_token_fields_depend_on_version(version: str, fields: set[str]) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        token = (await client(TOKENS)).body[0]
        by_id = (await client(f"/users/me/keys/{token['id']}")).body

    assert token.keys() & {"scopes", "allow_list", "username"} == fields
    assert by_id == token
