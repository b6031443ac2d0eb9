"""Who may ask for what, and with which words the others are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from tests.support.asking import asking

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
WEEK = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}
HIDDEN = "Resource not found or you do not have access to this resource"
NOBODYS = "99999999-9999-4999-8999-999999999999"
TOKEN = "somebodyxx-0123456789012345678901"


def simulated(**traits: Any) -> SimulatedDeployment:
    """Return a deployment where another account has these traits."""
    made = stage(Size(6, 20), now=lambda: NOW, options=ApiOptions())
    made.accounts.add(Account(token=TOKEN, user="ada", **traits))
    return made


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
async def test_roles_open_what_coder_opens_to_them(role: str, expected: tuple[int, ...]) -> None:
    async with asking(simulated(roles=frozenset({role}))) as ask:
        statuses = []
        for route in ROUTES:
            ranged = route in {"/insights/templates", "/insights/user-latency"}
            statuses.append((await ask(route, WEEK if ranged else None, token=TOKEN)).status)

    assert tuple(statuses) == expected


@pytest.mark.parametrize(
    ("role", "everybodys"), [("owner", True), ("template-admin", True), ("auditor", False), ("member", False)]
)
async def test_workspaces_of_others_are_missing_without_a_word(role: str, *, everybodys: bool) -> None:
    deployment = simulated(roles=frozenset({role}))
    async with asking(deployment) as ask:
        told = await ask("/workspaces", token=TOKEN)
    owners = {one["owner_name"] for one in told.body["workspaces"]}

    assert told.status == 200
    assert told.body["count"] == len(told.body["workspaces"])
    assert (owners > {"ada"}) if everybodys else (owners == {"ada"})


async def test_refusals_are_in_coders_words() -> None:
    async with asking(simulated(roles=frozenset({"member"}))) as ask:
        hidden = await ask("/insights/templates", WEEK, token=TOKEN)
        forbidden = await ask("/deployment/stats", token=TOKEN)
        missing = await ask("/nonsense", token=TOKEN)

    assert hidden.refusal == (404, HIDDEN, "")
    assert forbidden.refusal[:2] == (403, "Forbidden.")
    assert forbidden.refusal[2]
    assert missing.refusal == (404, "Route not found.", "")


async def test_an_account_of_one_organization_must_name_its_templates() -> None:
    """One foreign id spoils the request, and so does naming none."""
    deployment = simulated(
        roles=frozenset({"member"}),
        organization_roles={"acme": frozenset({"organization-auditor"})},
    )
    own, foreign = (
        next(one.id for one in deployment.world.templates if (one.organization.name == "acme") is mine)
        for mine in (True, False)
    )
    async with asking(deployment) as ask:
        statuses = [
            (await ask("/insights/templates", {**WEEK, "template_ids": ids}, token=TOKEN)).status
            for ids in (own, foreign, f"{own},{foreign}", "")
        ]

    assert statuses == [200, 404, 404, 404]


async def test_a_templates_own_list_opens_its_insights() -> None:
    deployment = simulated(roles=frozenset({"member"}))
    identity = deployment.world.templates[0].id
    deployment.accounts.change("ada", administers=frozenset({identity}))
    async with asking(deployment) as ask:
        told = await ask("/insights/user-activity", {**WEEK, "template_ids": identity}, token=TOKEN)
        daus = await ask(f"/templates/{identity}/daus", token=TOKEN)

    assert (told.status, daus.status) == (200, 200)
    assert told.body["report"]["template_ids"] == [identity]


async def test_an_unknown_template_is_empty_or_hidden_but_for_activity() -> None:
    query = {**WEEK, "template_ids": NOBODYS}
    async with asking(simulated(roles=frozenset({"member"}))) as ask:
        privileged = await ask("/insights/templates", query)
        hidden = await ask("/insights/templates", query, token=TOKEN)
        activity = await ask("/insights/user-activity", query, token=TOKEN)

    assert privileged.status == 200
    assert privileged.body["report"]["active_users"] == 0
    assert hidden.refusal == (404, HIDDEN, "")
    assert (activity.status, activity.body["report"]["users"]) == (200, [])


async def test_activity_of_an_unknown_template_opens_no_other_one() -> None:
    deployment = simulated(roles=frozenset({"member"}))
    ids = f"{deployment.world.templates[0].id},{NOBODYS}"
    async with asking(deployment) as ask:
        told = await ask("/insights/user-activity", {**WEEK, "template_ids": ids}, token=TOKEN)

    assert told.body["report"]["users"] == []


async def test_a_narrow_token_opens_less_than_its_user() -> None:
    scopes = frozenset({"template:*", "user:read", "organization:read", "workspace:read"})
    async with asking(simulated(roles=frozenset({"owner"}), scopes=scopes)) as ask:
        insights = await ask("/insights/templates", WEEK, token=TOKEN)
        stats = await ask("/deployment/stats", token=TOKEN)

    assert (insights.status, stats.status) == (200, 403)


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
async def test_bad_tokens_are_told_apart(token: str, detail: str) -> None:
    async with asking(simulated()) as ask:
        told = await ask("/users/me", token=token)

    assert told.status == 401
    assert told.body["message"] == (
        "You are signed out or your session has expired. Please sign in again to continue."
    )
    assert told.body["detail"].startswith(detail)
    assert told.headers["WWW-Authenticate"].startswith('Bearer realm="coder"')


async def test_an_old_token_names_when_it_ended() -> None:
    async with asking(simulated(expires_at=NOW - timedelta(hours=1))) as ask:
        told = await ask("/users/me", token=TOKEN)

    assert told.body["detail"] == 'API key expired at "2026-11-24 13:07:00+00:00".'


async def test_suspended_accounts_are_named_and_dormant_ones_wake_up() -> None:
    deployment = simulated(status="suspended")
    async with asking(deployment) as ask:
        suspended = await ask("/users/me", token=TOKEN)
        deployment.accounts.change("ada", status="dormant")
        dormant = await ask("/users/me", token=TOKEN)

    assert suspended.refusal == (
        401,
        'User is not active (status = "suspended"). Contact an admin to reactivate your account.',
        "",
    )
    assert (dormant.status, dormant.body["status"]) == (200, "active")


async def test_each_use_moves_the_end_of_a_token() -> None:
    deployment = simulated(expires_at=NOW + timedelta(days=1))
    async with asking(deployment) as ask:
        told = await ask("/users/me/keys/tokens", token=TOKEN)

    assert told.body[0]["expires_at"] == "2026-12-01T14:07:00Z"


@pytest.mark.parametrize(("version", "status"), [("v2.24.0", 401), ("v2.25.0", 200)])
async def test_bearer_tokens_came_with_a_release(version: str, status: int) -> None:
    deployment = stage(Size(2, 4), now=lambda: NOW, options=ApiOptions(version=version))
    async with asking(deployment) as ask:
        told = await ask("/users/me", token="", headers={"Authorization": f"Bearer {DEMO_TOKEN}"})

    assert told.status == status


async def test_who_asks_is_asked_before_anything_else() -> None:
    """Neither the switch nor bad parameters are told to strangers."""
    deployment = simulated()
    deployment.world.collecting = False
    async with asking(deployment) as ask:
        stranger = await ask("/insights/templates", {"foo": "1"}, token="")
        known = await ask("/insights/templates", {"foo": "1"})
        open_to_all = await ask("/buildinfo", token="")

    assert (stranger.status, known.refusal, open_to_all.status) == (
        401,
        (404, "Not Found.", "Template insights are disabled."),
        200,
    )


# Authcheck


def check(kind: str, action: str, **thing: Any) -> dict[str, Any]:
    return {"object": {"resource_type": kind, **thing}, "action": action}


async def test_permissions_are_told_by_key() -> None:
    deployment = simulated(
        roles=frozenset({"member"}), organization_roles={"acme": frozenset({"organization-admin"})}
    )
    world = deployment.world
    own = next(one for one in world.templates if one.organization.name == "acme")
    foreign = next(one for one in world.templates if one.organization.name != "acme")
    checks = {
        "site": check("template", "view_insights"),
        "any": check("template", "view_insights", any_org=True),
        "acme": check("template", "view_insights", organization_id=own.organization.id),
        "other": check("template", "view_insights", organization_id=foreign.organization.id),
        "own": check("template", "view_insights", resource_id=own.id),
        "foreign": check("template", "view_insights", resource_id=foreign.id),
        "nobodys": check("template", "view_insights", resource_id=NOBODYS),
        "invented": check("starship", "launch"),
    }
    async with asking(deployment) as ask:
        told = await ask("/authcheck", token=TOKEN, body={"checks": checks})

    assert told.body == {
        "site": False,
        "any": True,
        "acme": True,
        "other": False,
        "own": True,
        "foreign": False,
        "nobodys": False,
        "invented": False,
    }


@pytest.mark.parametrize(
    "checks",
    [
        {"a": {"object": {}, "action": "read"}},
        {"a": check("template", "read", resource_id="no-id")},
        {"a": check("deployment_stats", "read", resource_id=NOBODYS)},
        {str(n): check("template", "read", resource_id=NOBODYS) for n in range(11)},
        {"a": "nonsense"},
        ["nonsense"],
    ],
    ids=["no type", "bad id", "a type without ids", "too many", "no object", "no mapping"],
)
async def test_checks_that_make_no_sense_are_refused(checks: Any) -> None:
    async with asking(simulated()) as ask:
        told = await ask("/authcheck", body={"checks": checks})

    assert told.status == 400
    assert told.body["message"]
