"""The simulator refuses, hides and counts as Coder does."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import Status, Truncate
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, OWNER_TOKEN, stage

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
MEMBER = "membermemb-0123456789012345678901"
WEEK = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}


def simulated(version: str = "v2.35.1+5e7d2c4", **options: Any) -> SimulatedDeployment:
    made = stage(Size(4, 20), now=lambda: NOW, options=ApiOptions(version=version, **options))
    made.accounts.add(Account(token=MEMBER, user="member", roles=frozenset({"member"})))
    return made


async def get(
    deployment: SimulatedDeployment, path: str, query: dict[str, str] | None = None, token: str = DEMO_TOKEN
) -> tuple[int, Any, dict[str, str]]:
    headers = {"Coder-Session-Token": token} if token else {}
    async with (
        serve(deployment) as address,
        aiohttp.ClientSession() as session,
        session.get(f"{address}/api/v2{path}", params=query, headers=headers) as answer,
    ):
        return answer.status, msgspec.json.decode(await answer.read()), dict(answer.headers)


async def test_all_wrong_parameters_are_told_at_once() -> None:
    status, told, _ = await get(
        simulated(), "/insights/templates", {"foo": "1", "end_time": WEEK["end_time"]}
    )

    assert status == 400
    assert [one["field"] for one in told["validations"]] == ["start_time", "foo"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({**WEEK, "start_time": "2026-11-18T01:00:00Z"}, "must have the clock set to 00:00:00"),
        ({**WEEK, "end_time": "2026-11-24T16:00:00Z"}, "must not be in the future"),
        ({**WEEK, "end_time": "2026-11-24T14:30:00Z"}, "must have the clock set to HH:00:00"),
        ({**WEEK, "end_time": "2026-11-17T00:00:00Z"}, 'must be after than "start_time"'),
    ],
)
async def test_ranges_obey_the_rules_of_time(query: dict[str, str], expected: str) -> None:
    status, told, _ = await get(simulated(), "/insights/templates", query)

    assert status == 400
    assert expected in told["validations"][0]["detail"]


async def test_a_week_that_is_too_short_is_refused() -> None:
    query = {"start_time": "2026-11-14T00:00:00Z", "end_time": "2026-11-24T00:00:00Z", "interval": "week"}
    status, told, _ = await get(simulated(), "/insights/templates", query)

    assert (status, told["detail"]) == (400, "Last report interval should have at least 6 days.")


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("", 'Cookie "coder_session_token" or query parameter must be provided.'),
        ("unknownkey-0123456789012345678901", "API key is invalid."),
        ("insightsxp-0123456789012345678901", "API key secret is invalid."),
    ],
)
async def test_bad_tokens_are_told_apart(token: str, detail: str) -> None:
    status, told, headers = await get(simulated(), "/users/me", token=token)

    assert (status, told["detail"]) == (401, detail)
    assert headers["X-Coder-Build-Version"] == "v2.35.1+5e7d2c4"


async def test_a_member_sees_no_insights() -> None:
    status, told, _ = await get(simulated(), "/insights/templates", WEEK, token=MEMBER)

    assert (status, told["message"]) == (404, "Resource not found or you do not have access to this resource")


async def test_switched_off_statistics_are_named() -> None:
    deployment = simulated()
    deployment.world.collecting = False
    status, told, _ = await get(deployment, "/insights/user-latency", WEEK)

    assert (status, told["detail"]) == (404, "Template insights are disabled.")


async def test_old_servers_lack_routes() -> None:
    status, told, _ = await get(simulated("v2.12.0"), "/templates")

    assert (status, told["message"]) == (404, "Route not found.")


async def test_too_many_requests_are_refused() -> None:
    deployment = simulated(rate_limit=2)
    answers = [await get(deployment, "/users/me") for _ in range(3)]

    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[2][2]["Retry-After"] == "60"


async def test_endpoints_agree_on_who_was_active() -> None:
    deployment = simulated()
    _, report, _ = await get(deployment, "/insights/templates", WEEK)
    _, activity, _ = await get(deployment, "/insights/user-activity", WEEK)
    _, latency, _ = await get(deployment, "/insights/user-latency", WEEK)
    names = {one["username"] for one in activity["report"]["users"]}

    assert names
    assert report["report"]["active_users"] == len(names)
    assert {one["username"] for one in latency["report"]["users"]} == names


async def test_templates_add_up_to_at_least_the_deployment() -> None:
    deployment = simulated()
    _, whole, _ = await get(deployment, "/insights/templates", WEEK)
    parts = 0
    for template in deployment.world.templates:
        _, part, _ = await get(deployment, "/insights/templates", {**WEEK, "template_ids": template.id})
        parts += sum(one["seconds"] for one in part["report"]["apps_usage"])

    assert parts >= sum(one["seconds"] for one in whole["report"]["apps_usage"]) > 0


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


async def test_pages_of_users_hold_everybody_once() -> None:
    deployment = simulated()
    pages = [
        (await get(deployment, "/users", {"limit": "7", "offset": str(offset)}))[1]
        for offset in (0, 7, 14, 21)
    ]
    names = [user["username"] for page in pages for user in page["users"]]

    assert names == sorted({user.username for user in deployment.world.users})
    assert [page["count"] for page in pages] == [20, 20, 20, 0]


async def test_health_is_for_owners() -> None:
    deployment = simulated()
    as_auditor, _, _ = await get(deployment, "/debug/health")
    as_owner, told, _ = await get(deployment, "/debug/health", token=OWNER_TOKEN)

    assert (as_auditor, as_owner, told["severity"]) == (403, 200, "ok")


async def test_faults_strike_on_demand() -> None:
    deployment = simulated()
    deployment.faults.on("/users/me", Status(status=503, times=1))
    first, _, _ = await get(deployment, "/users/me")
    second, _, _ = await get(deployment, "/users/me")
    deployment.faults.on("/users/me", Truncate())

    assert (first, second) == (503, 200)
    with pytest.raises(msgspec.DecodeError):
        await get(deployment, "/users/me")
