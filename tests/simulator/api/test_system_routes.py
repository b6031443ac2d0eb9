"""Routes of the deployment: permissions, statistics, health and licence."""

from __future__ import annotations

from typing import Any

import pytest

from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.demo_deployment import OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.api_client import NOW, api_client, simulated_deployment

TOKEN = "somebodyxx-0123456789012345678901"
TOO_MANY_MESSAGE = (
    'Endpoint only supports using "resource_id" field 10 times, found 11 usages. '
    "Remove 1 objects with this field set."
)
UNKNOWN_ID = "99999999-9999-4999-8999-999999999999"


def check(resource_type: str, action: str, **resource_fields: Any) -> dict[str, Any]:
    return {"object": {"resource_type": resource_type, **resource_fields}, "action": action}


async def test_authcheck_returns_permissions_by_key() -> None:
    deployment = simulated_deployment()
    account = Account(
        token=TOKEN,
        user="ada",
        roles=frozenset({"member"}),
        organization_roles={"acme": frozenset({"organization-admin"})},
    )
    deployment.accounts.add(account)
    world = deployment.world
    permitted_template = next(
        template for template in world.templates if template.organization.name == "acme"
    )
    other_template = next(template for template in world.templates if template.organization.name != "acme")
    checks = {
        "site": check("template", "view_insights"),
        "any": check("template", "view_insights", any_org=True),
        "acme": check("template", "view_insights", organization_id=permitted_template.organization.id),
        "other": check("template", "view_insights", organization_id=other_template.organization.id),
        "own": check("template", "view_insights", resource_id=permitted_template.id),
        "other_template": check("template", "view_insights", resource_id=other_template.id),
        "unknown_template": check("template", "view_insights", resource_id=UNKNOWN_ID),
        "unknown_type": check("starship", "launch"),
    }
    async with api_client(deployment) as client:
        response = await client("/authcheck", token=TOKEN, body={"checks": checks})

    assert response.body == {
        "site": False,
        "any": True,
        "acme": True,
        "other": False,
        "own": True,
        "other_template": False,
        "unknown_template": False,
        "unknown_type": False,
    }


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        (
            {"it": {"object": {}, "action": "read"}},
            'Object\'s "resource_type" field must be defined for key "it".',
        ),
        ({"a": check("template", "read", resource_id="no-id")}, 'Object "no-id" id is not a valid uuid.'),
        (
            {"a": check("deployment_stats", "read", resource_id=UNKNOWN_ID)},
            'Object type "deployment_stats" does not support "resource_id" field.',
        ),
        (
            {str(n): check("template", "read", resource_id=UNKNOWN_ID) for n in range(11)},
            TOO_MANY_MESSAGE,
        ),
        ({"a": "nonsense"}, "Request body must be valid JSON."),
        (["nonsense"], "Request body must be valid JSON."),
    ],
    ids=["no type", "bad id", "a type without ids", "too many", "no object", "no mapping"],
)
async def test_invalid_authchecks_are_rejected(checks: Any, message: str) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/authcheck", body={"checks": checks})

    assert (response.status, response.body["message"]) == (400, message)


async def test_authcheck_without_checks_is_empty() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/authcheck", body={})

    assert (response.status, response.body) == (200, {})


# Statistics and health


async def test_disabled_usage_stats_clear_deployment_latency_and_sessions() -> None:
    deployment = simulated_deployment()
    deployment.world.usage_stats_enabled = False
    async with api_client(deployment) as client:
        stats = (await client("/deployment/stats")).body

    assert stats["workspaces"]["connection_latency_ms"] == {"P50": -1, "P95": -1}
    assert set(stats["session_count"].values()) == {0}


async def test_health_of_provisioner_daemons_has_a_severity_only() -> None:
    async with api_client(simulated_deployment()) as client:
        health = (await client("/debug/health", token=OWNER_TOKEN)).body
    sections = ("derp", "access_url", "websocket", "database", "workspace_proxy", "provisioner_daemons")

    assert "healthy" not in health["provisioner_daemons"]
    assert [health[name]["severity"] for name in sections] == ["ok"] * 6
    assert [health[name]["dismissed"] for name in sections] == [False] * 6
    assert health["database"]["latency"] == "2ms"


# Licence


async def get_entitlements(**options: Any) -> dict[str, Any]:
    async with api_client(simulated_deployment(**options)) as client:
        body: dict[str, Any] = (await client("/entitlements")).body
    return body


async def test_licence_has_limits_and_use_of_its_features() -> None:
    limits = {"managed_agent_limit": 1000, "ai_governance_user_limit": 10, "agent_runtime_hours": None}
    entitlements = await get_entitlements(user_limit=25, feature_limits=limits)
    features = entitlements["features"]

    assert entitlements["has_license"] is True
    assert features["user_limit"]["limit"] == 25
    assert (features["managed_agent_limit"]["limit"], features["managed_agent_limit"]["actual"]) == (
        1000,
        120,
    )
    assert features["ai_governance_user_limit"]["limit"] == 10
    # An unlimited feature has no limit.
    assert "limit" not in features["agent_runtime_hours"]
    assert features["agent_runtime_hours"]["actual"] == 310


@pytest.mark.parametrize(("version", "service_accounts"), [("v2.31.0", 1), ("v2.32.0", 0)])
async def test_service_accounts_take_no_seat_since_v2_32(version: str, service_accounts: int) -> None:
    deployment = simulated_deployment(user_limit=25, version=version)
    active = sum(user.status == "active" for user in deployment.world.users)
    features = (await get_entitlements(user_limit=25, version=version))["features"]

    assert features["user_limit"]["actual"] == active + service_accounts


async def test_without_a_licence_no_feature_is_entitled() -> None:
    entitlements = await get_entitlements()

    assert entitlements["has_license"] is False
    assert entitlements["features"]["user_limit"] == {
        "entitlement": "not_entitled",
        "enabled": False,
        # The value is stale.
        "actual": 1,
    }


@pytest.mark.parametrize(
    ("version", "meters"),
    [
        ("v2.25.0", set()),
        ("v2.26.0", {"managed_agent_limit"}),
        ("v2.35.0", {"managed_agent_limit", "ai_governance_user_limit", "agent_runtime_hours"}),
    ],
)
async def test_meters_depend_on_version(version: str, meters: set[str]) -> None:
    features = (await get_entitlements(version=version))["features"]

    assert features.keys() == {"user_limit", *meters}


async def test_open_source_build_has_no_entitlements() -> None:
    async with api_client(simulated_deployment(open_source=True)) as client:
        response = await client("/entitlements")

    assert response.error == (404, "Route not found.", "")


async def test_demo_has_a_licence_prebuilds_a_dormant_running_workspace_and_a_service_account() -> None:
    deployment = demo_deployment(Size(), now=lambda: NOW)
    workspaces = deployment.world.workspaces(NOW)
    async with api_client(deployment) as client:
        features = (await client("/entitlements")).body["features"]
        me = (await client("/users/me")).body

    assert features["user_limit"]["limit"] > features["user_limit"]["actual"] > 40
    assert any(workspace.is_prebuild for workspace in workspaces)
    assert any(workspace.dormant_at and workspace.status == "running" for workspace in workspaces)
    assert me["is_service_account"] is True
