"""Authentication, roles, scopes and the lifetime of tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.simulator.generated_world import Size
from tests.support.api_client import NOW, WEEK, api_client, simulated_deployment

NOT_FOUND_MESSAGE = "Resource not found or you do not have access to this resource"
UNKNOWN_ID = "99999999-9999-4999-8999-999999999999"
TOKEN = "somebodyxx-0123456789012345678901"


def deployment_with_account(version: str = "v2.35.1+5e7d2c4", **fields: Any) -> SimulatedDeployment:
    """Return a deployment with an account of the user ada."""
    deployment = simulated_deployment(version=version)
    deployment.accounts.add(Account(token=TOKEN, user="ada", **fields))
    return deployment


ROUTES = (
    "/insights/templates",
    "/insights/user-latency",
    "/insights/daus",
    "/insights/user-status-counts",
    "/users",
    "/deployment/stats",
    "/debug/health",
)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("owner", (200, 200, 200, 200, 200, 200, 200)),
        ("auditor", (200, 200, 200, 200, 200, 200, 403)),
        ("template-admin", (200, 200, 403, 200, 200, 403, 403)),
        ("user-admin", (404, 404, 403, 200, 200, 403, 403)),
        ("member", (404, 404, 403, 403, 403, 403, 403)),
    ],
)
async def test_roles_grant_the_same_routes_as_coder(role: str, expected: tuple[int, ...]) -> None:
    async with api_client(deployment_with_account(roles=frozenset({role}))) as client:
        statuses = []
        for route in ROUTES:
            needs_range = route in {"/insights/templates", "/insights/user-latency"}
            statuses.append((await client(route, WEEK if needs_range else None, token=TOKEN)).status)

    assert tuple(statuses) == expected


@pytest.mark.parametrize(
    ("role", "sees_all"), [("owner", True), ("template-admin", True), ("auditor", False), ("member", False)]
)
async def test_unreadable_workspaces_are_omitted(role: str, *, sees_all: bool) -> None:
    deployment = deployment_with_account(roles=frozenset({role}))
    async with api_client(deployment) as client:
        response = await client("/workspaces", token=TOKEN)
    owners = {workspace["owner_name"] for workspace in response.body["workspaces"]}

    assert response.status == 200
    assert response.body["count"] == len(response.body["workspaces"])
    assert (owners > {"ada"}) if sees_all else (owners == {"ada"})


async def test_error_messages_match_coder() -> None:
    async with api_client(deployment_with_account(roles=frozenset({"member"}))) as client:
        hidden = await client("/insights/templates", WEEK, token=TOKEN)
        forbidden = await client("/deployment/stats", token=TOKEN)
        missing = await client("/nonsense", token=TOKEN)

    assert hidden.error == (404, NOT_FOUND_MESSAGE, "")
    assert forbidden.error[:2] == (403, "Forbidden.")
    assert forbidden.error[2]
    assert missing.error == (404, "Route not found.", "")


async def test_organization_roles_require_template_ids() -> None:
    """One unreadable id fails the request, and so does an empty list."""
    deployment = deployment_with_account(
        roles=frozenset({"member"}),
        organization_roles={"acme": frozenset({"organization-auditor"})},
    )
    permitted_id, other_id = (
        next(
            template.id
            for template in deployment.world.templates
            if (template.organization.name == "acme") is is_permitted
        )
        for is_permitted in (True, False)
    )
    async with api_client(deployment) as client:
        statuses = [
            (await client("/insights/templates", {**WEEK, "template_ids": ids}, token=TOKEN)).status
            for ids in (permitted_id, other_id, f"{permitted_id},{other_id}", "")
        ]

    assert statuses == [200, 404, 404, 404]


async def test_template_admin_can_read_its_insights() -> None:
    deployment = deployment_with_account(roles=frozenset({"member"}))
    template_id = deployment.world.templates[0].id
    deployment.accounts.update("ada", admin_template_ids=frozenset({template_id}))
    async with api_client(deployment) as client:
        response = await client("/insights/user-activity", {**WEEK, "template_ids": template_id}, token=TOKEN)
        daus = await client(f"/templates/{template_id}/daus", token=TOKEN)

    assert (response.status, daus.status) == (200, 200)
    assert response.body["report"]["template_ids"] == [template_id]


async def test_unknown_template_is_empty_or_not_found_except_for_activity() -> None:
    query = {**WEEK, "template_ids": UNKNOWN_ID}
    async with api_client(deployment_with_account(roles=frozenset({"member"}))) as client:
        privileged = await client("/insights/templates", query)
        hidden = await client("/insights/templates", query, token=TOKEN)
        activity = await client("/insights/user-activity", query, token=TOKEN)

    assert privileged.status == 200
    assert privileged.body["report"]["active_users"] == 0
    assert hidden.error == (404, NOT_FOUND_MESSAGE, "")
    assert (activity.status, activity.body["report"]["users"]) == (200, [])


async def test_unknown_template_does_not_expose_other_templates() -> None:
    deployment = deployment_with_account(roles=frozenset({"member"}))
    ids = f"{deployment.world.templates[0].id},{UNKNOWN_ID}"
    async with api_client(deployment) as client:
        response = await client("/insights/user-activity", {**WEEK, "template_ids": ids}, token=TOKEN)

    assert response.body["report"]["users"] == []


@pytest.mark.parametrize(
    ("scopes", "insights_status"),
    [
        ({"template:*", "user:read", "organization:read", "workspace:read"}, 200),
        ({"coder:templates.author"}, 200),
        ({"template:read"}, 404),
        ({"template:read", "template:use"}, 404),
    ],
)
async def test_token_scopes_limit_permissions(scopes: set[str], insights_status: int) -> None:
    deployment = deployment_with_account(roles=frozenset({"owner"}), scopes=frozenset(scopes))
    async with api_client(deployment) as client:
        insights = await client("/insights/templates", WEEK, token=TOKEN)
        stats = await client("/deployment/stats", token=TOKEN)

    assert (insights.status, stats.status) == (insights_status, 403)


# Tokens


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("", 'Cookie "coder_session_token" or query parameter must be provided.'),
        ("nonsense", "Invalid API key format: incorrect amount of API key parts, expected 2 got 1"),
        ("short-0123456789012345678901", "Invalid API key format: invalid API key ID length"),
        ("unknownkey-0123456789012345678901", "API key is invalid."),
        ("insightsxp-0123456789012345678901", "API key secret is invalid."),
    ],
)
async def test_invalid_tokens_have_distinct_errors(token: str, detail: str) -> None:
    async with api_client(deployment_with_account()) as client:
        response = await client("/users/me", token=token)

    assert response.status == 401
    assert response.body["message"] == (
        "You are signed out or your session has expired. Please sign in again to continue."
    )
    assert response.body["detail"].startswith(detail)
    assert response.headers["WWW-Authenticate"].startswith(
        'Bearer realm="coder", error="invalid_token", error_description="The access token has expired", '
    )


async def test_expired_token_error_has_the_expiry() -> None:
    async with api_client(deployment_with_account(expires_at=NOW - timedelta(hours=1))) as client:
        response = await client("/users/me", token=TOKEN)

    assert response.body["detail"] == 'API key expired at "2026-11-24 13:07:00+00:00".'


async def test_suspended_account_is_rejected_and_dormant_is_activated() -> None:
    deployment = deployment_with_account(status="suspended")
    async with api_client(deployment) as client:
        suspended = await client("/users/me", token=TOKEN)
        deployment.accounts.update("ada", status="dormant")
        dormant = await client("/users/me", token=TOKEN)

    assert suspended.error == (
        401,
        'User is not active (status = "suspended"). Contact an admin to reactivate your account.',
        "",
    )
    assert (dormant.status, dormant.body["status"]) == (200, "active")


@pytest.mark.parametrize(
    ("version", "slides"),
    [
        ("v2.26.1", True),
        ("v2.31.9", True),
        ("v2.32.7", True),
        ("v2.32.8", False),
        ("v2.33.8", True),
        ("v2.33.9", False),
        ("v2.34.2", True),
        ("v2.34.3", False),
        ("v2.35.0", False),
        ("v2.36.0", False),
    ],
)
async def test_newer_versions_keep_the_expiry_of_tokens(version: str, *, slides: bool) -> None:
    deployment = deployment_with_account(version=version, expires_at=NOW + timedelta(days=1))
    async with api_client(deployment) as client:
        response = await client("/users/me/keys/tokens", token=TOKEN)

    assert response.body[0]["expires_at"] == ("2026-12-01T14:07:00Z" if slides else "2026-11-25T14:07:00Z")


async def test_password_sessions_slide_in_every_version() -> None:
    deployment = deployment_with_account(expires_at=NOW + timedelta(hours=12), login_type="password")
    async with api_client(deployment) as client:
        response = await client("/users/me/keys/tokens", token=TOKEN)

    assert response.body[0]["expires_at"] == "2026-12-01T14:07:00Z"


async def test_template_admin_lacks_deployment_stats_and_config_only() -> None:
    checks = {
        name: {"object": {"resource_type": name}, "action": "read"}
        for name in ("template", "user", "organization", "workspace", "deployment_stats", "deployment_config")
    }
    results = {}
    for role in ("template-admin", "auditor"):
        async with api_client(deployment_with_account(roles=frozenset({role}))) as client:
            results[role] = (await client("/authcheck", token=TOKEN, body={"checks": checks})).body

    assert {name for name, allowed in results["template-admin"].items() if not allowed} == {
        "deployment_stats",
        "deployment_config",
    }
    assert {name for name, allowed in results["auditor"].items() if not allowed} == {"workspace"}


@pytest.mark.parametrize(("version", "status"), [("v2.24.0", 401), ("v2.25.0", 200)])
async def test_bearer_tokens_depend_on_version(version: str, status: int) -> None:
    deployment = simulated_deployment(Size(2, 4), version=version)
    async with api_client(deployment) as client:
        response = await client("/users/me", token="", headers={"Authorization": f"Bearer {DEMO_TOKEN}"})

    assert response.status == status


async def test_authentication_precedes_all_other_checks() -> None:
    """Unauthenticated requests learn nothing about the switch or their parameters."""
    deployment = deployment_with_account()
    deployment.world.usage_stats_enabled = False
    async with api_client(deployment) as client:
        unauthenticated = await client("/insights/templates", {"foo": "1"}, token="")
        authenticated = await client("/insights/templates", {"foo": "1"})
        build_info = await client("/buildinfo", token="")

    assert (unauthenticated.status, authenticated.error, build_info.status) == (
        401,
        (404, "Not Found.", "Template insights are disabled."),
        200,
    )
