"""What the client asks, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from insights_exporter import errors
from insights_exporter.coder import windows
from insights_exporter.coder.authorization import PREFLIGHT, Check
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.coder.version import Feature, ServerVersion
from insights_exporter.secret import LiteralSecret, Secret
from tests.coder.conftest import TOKEN, Coder, Connect, Events, answering
from tests.support.clock import FakeClock

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
WEEK = windows.last_days(NOW, 7)
DENIED = {"message": "Resource not found or you do not have access to this resource"}


def template(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "organization_id": "o1"} | fields


def at_version(text: str) -> dict[str, str]:
    return {"X-Coder-Build-Version": text}


async def test_insights_are_asked_with_times_ids_interval_and_sections(
    coder: Coder, client: CoderClient
) -> None:
    coder.on("/insights/templates", answering({"interval_reports": []}))
    await client.template_insights(
        WEEK.start, WEEK.end, template_ids=["t1", "t2"], interval="day", sections=["interval_reports"]
    )

    assert dict(coder.requests[0].query) == {
        "start_time": "2026-01-08T00:00:00Z",
        "end_time": "2026-01-14T11:00:00Z",
        "template_ids": "t1,t2",
        "interval": "day",
        "sections": "interval_reports",
    }


async def test_an_offset_survives_the_query(coder: Coder, client: CoderClient) -> None:
    """A plus that is not quoted would arrive as a blank."""
    coder.on("/insights/user-activity", answering({"report": {}}))
    window = windows.yesterday(NOW, 2)
    await client.user_activity(window.start, window.end)

    assert coder.requests[0].query["start_time"] == "2026-01-13T00:00:00+02:00"
    assert "%2B02" in coder.requests[0].rel_url.raw_query_string
    assert "template_ids" not in coder.requests[0].query


async def test_activity_and_latency_come_per_user(coder: Coder, client: CoderClient) -> None:
    user = {"user_id": "u1", "username": "ada", "avatar_url": "", "template_ids": ["t1"]}
    coder.on(
        "/insights/user-activity",
        answering({"report": {"template_ids": ["t1"], "users": [user | {"seconds": 120}]}}),
    )
    coder.on(
        "/insights/user-latency",
        answering({"report": {"users": [user | {"latency_ms": {"p50": 20, "p95": -1}}]}}),
    )
    activity = await client.user_activity(WEEK.start, WEEK.end, template_ids=["t1"])
    latency = await client.user_latency(WEEK.start, WEEK.end, template_ids=["t1"])

    assert activity.template_ids == ["t1"]
    assert [(one.username, one.seconds) for one in activity.users] == [("ada", 120)]
    assert [(one.p50_seconds, one.p95_seconds) for one in latency.users] == [(0.02, None)]


async def test_deprecated_templates_are_among_all(coder: Coder, client: CoderClient) -> None:
    async def listing(request: web.Request) -> web.Response:
        deprecated = request.query.get("q") == "deprecated:true"
        name = "old" if deprecated else "new"
        return web.json_response([template(name, organization_name="acme", deprecated=deprecated)])

    coder.on("/templates", listing)
    found = await client.templates()

    assert [(one.name, one.deprecated) for one in found] == [("new", False), ("old", True)]


async def test_a_template_in_both_lists_is_one(coder: Coder, client: CoderClient) -> None:
    coder.on("/templates", answering([template("a", organization_name="acme")]))

    assert len(await client.templates()) == 1
    assert coder.paths() == ["/templates", "/templates?q=deprecated:true"]


async def test_an_older_server_lists_deprecated_templates_anyway(coder: Coder, client: CoderClient) -> None:
    coder.on(
        "/templates", answering([template("a", organization_name="acme")], headers=at_version("v2.22.0"))
    )
    await client.templates()

    assert coder.paths() == ["/templates"]


async def test_a_server_without_a_list_of_all_templates_is_asked_per_organization(
    coder: Coder, client: CoderClient
) -> None:
    """v2.12 has neither the list of all templates nor that of all organizations, nor their names."""
    organizations = [{"id": "o1", "name": "acme", "display_name": "Acme"}, {"id": "o2", "name": "beta"}]
    coder.on("/users/me/organizations", answering(organizations, headers=at_version("v2.12.3")))
    coder.on("/organizations/o1/templates", answering([template("go")]))
    coder.on("/organizations/o2/templates", answering([template("py", organization_id="o2")]))
    found = await client.templates()

    assert [(one.name, one.organization_name, one.organization_display_name) for one in found] == [
        ("go", "acme", "Acme"),
        ("py", "beta", ""),
    ]

    coder.requests.clear()
    await client.templates()

    assert coder.paths() == [
        "/users/me/organizations",
        "/organizations/o1/templates",
        "/organizations/o2/templates",
    ]


async def test_names_of_organizations_are_completed(coder: Coder, client: CoderClient) -> None:
    """v2.13 lists all templates without the names of their organizations."""
    coder.on("/templates", answering([template("go"), template("lost", organization_id="o9")]))
    coder.on("/users/me/organizations", answering([{"id": "o1", "name": "acme"}]))
    found = await client.templates()

    assert [(one.name, one.organization_name) for one in found] == [("go", "acme"), ("lost", "")]


async def test_a_lost_permission_is_not_taken_for_an_old_server(coder: Coder, client: CoderClient) -> None:
    coder.on("/templates", answering(DENIED, 404))

    with pytest.raises(errors.NotPermitted):
        await client.templates()


@pytest.mark.parametrize("total", [0, 1, 3, 4, 10])
async def test_workspaces_are_read_page_by_page(coder: Coder, connect: Connect, total: int) -> None:
    async def listing(request: web.Request) -> web.Response:
        limit, offset = int(request.query["limit"]), int(request.query["offset"])
        rows = [{"id": f"w{number}"} for number in range(total)][offset : offset + limit]
        return web.json_response({"workspaces": rows, "count": total if rows else 0})

    coder.on("/workspaces", listing)
    client = await connect(workspace_page_size=3)

    assert [one.id for one in await client.workspaces()] == [f"w{number}" for number in range(total)]
    assert len(coder.requests) == max(1, -(-total // 3))


async def test_users_are_read(coder: Coder, client: CoderClient) -> None:
    row = {"id": "u1", "username": "ada", "email": "ada@example.test", "status": "active"}
    coder.on("/users", answering({"users": [row], "count": 1}))
    users = await client.users()

    assert [(one.username, one.status, one.last_seen) for one in users] == [("ada", "active", None)]
    assert "ada@example.test" not in repr(users)


async def test_a_bad_row_is_counted_and_the_others_stay(
    coder: Coder, client: CoderClient, events: Events
) -> None:
    rows = [{"id": "u1", "username": "ada"}, {"id": "u2", "username": 7}]
    coder.on("/users", answering({"users": rows, "count": 2}))

    assert [one.username for one in await client.users()] == ["ada"]
    assert events.dropped == [("/users", 1, "username: Expected `str`, got `int`")]


async def test_a_large_answer_with_a_bad_row_is_saved_too(
    coder: Coder, client: CoderClient, events: Events
) -> None:
    rows: list[dict[str, Any]] = [
        {"user_id": f"u{number}", "username": "x" * 50, "seconds": 60} for number in range(1000)
    ]
    rows[500]["seconds"] = -60
    coder.on("/insights/user-activity", answering({"report": {"users": rows}}))
    report = await client.user_activity(WEEK.start, WEEK.end)

    assert len(report.users) == 999
    assert [count for _, count, _ in events.dropped] == [1]


async def test_permissions_are_asked_in_one_request(coder: Coder, client: CoderClient) -> None:
    async def check(request: web.Request) -> web.Response:
        assert request.method == "POST"
        checks = json.loads(await request.read())["checks"]
        return web.json_response({key: key != "debug" for key in checks})

    coder.on("/authcheck", check)
    allowed = await client.authcheck(PREFLIGHT)

    assert allowed == {key: key != "debug" for key in PREFLIGHT}
    assert len(coder.requests) == 1


async def test_checks_of_single_things_go_ten_at_a_time(coder: Coder, client: CoderClient) -> None:
    sizes = []

    async def check(request: web.Request) -> web.Response:
        checks = json.loads(await request.read())["checks"]
        sizes.append(len(checks))
        assert all(one["object"].keys() == {"resource_type", "resource_id"} for one in checks.values())
        return web.json_response(dict.fromkeys(checks, True))

    coder.on("/authcheck", check)
    checks = {
        str(number): Check(resource_type="template", action="view_insights", resource_id=f"t{number}")
        for number in range(23)
    }
    allowed = await client.authcheck(checks)

    assert sizes == [10, 10, 3]
    assert allowed.keys() == checks.keys()


async def test_the_tokens_own_expiry_is_found(coder: Coder, client: CoderClient) -> None:
    keys = [
        {"id": "0000000000", "expires_at": "2030-01-01T00:00:00Z"},
        {"id": TOKEN[:10], "expires_at": "2026-02-01T00:00:00Z"},
    ]
    coder.on("/users/me/keys/tokens", answering(keys), answering(keys[:1]))

    assert await client.token_expiry() == datetime(2026, 2, 1, tzinfo=UTC)
    assert await client.token_expiry() is None


async def test_ids_are_quoted_in_paths_and_left_out_of_labels(
    coder: Coder, client: CoderClient, events: Events
) -> None:
    with pytest.raises(errors.RouteMissing):
        await client.rich_parameters("../users?x=1")

    assert coder.requests[0].rel_url.raw_path == "/api/v2/templateversions/..%2Fusers%3Fx%3D1/rich-parameters"
    assert events.finished == [("/templateversions/{id}/rich-parameters", "404")]


async def test_daily_users_are_those_of_a_template_or_of_all(
    coder: Coder, client: CoderClient, events: Events
) -> None:
    entries = {"entries": [{"date": "2026-01-13", "amount": 4}], "tz_hour_offset": 0}
    coder.on("/insights/daus", answering(entries))
    coder.on("/templates/t1/daus", answering(entries))
    found = [*await client.daus(), *await client.daus("t1")]

    assert [(day.date, day.amount) for day in found] == [("2026-01-13", 4)] * 2
    assert [endpoint for endpoint, _ in events.finished] == ["/insights/daus", "/templates/{id}/daus"]


async def test_small_answers_are_read(coder: Coder, client: CoderClient) -> None:
    coder.on("/buildinfo", answering({"version": "v2.26.1+abc", "deployment_id": "d"}))
    coder.on("/entitlements", answering({"features": {"user_limit": {"enabled": True, "limit": 50}}}))
    coder.on(
        "/insights/user-status-counts",
        answering({"status_counts": {"active": [{"date": "2026-01-14T00:00:00Z", "count": 9}]}}),
    )
    coder.on(
        "/debug/health",
        answering(
            {
                "healthy": False,
                "severity": "warning",
                "derp": {"healthy": True, "severity": "ok"},
                "database": {"healthy": True, "severity": "ok", "reachable": True, "latency_ms": 2.5},
            }
        ),
    )
    coder.on("/deployment/stats", answering({"workspaces": {"running": 3}, "session_count": {"vscode": 2}}))
    coder.on("/debug/metrics", answering("# TYPE up gauge\nup 1\n", content_type="text/plain"))
    health = await client.health()

    assert (await client.build_info()).version == "v2.26.1+abc"
    assert (await client.entitlements()).user_limit == 50
    assert (await client.user_status_counts())["active"][0].count == 9
    assert (health.severity, list(health.sections())) == ("warning", ["derp", "database"])
    assert health.database is not None
    assert health.database.latency_seconds == 0.0025
    assert (await client.deployment_stats()).session_count.vscode == 2
    assert await client.debug_metrics() == "# TYPE up gauge\nup 1\n"


async def test_each_answer_tells_the_version(coder: Coder, client: CoderClient, events: Events) -> None:
    """During a rolling upgrade answers come from both versions."""
    coder.on(
        "/users/me",
        answering({"id": "u", "username": "x"}, headers=at_version("v2.18.0+a")),
        answering({"message": "Route not found."}, 404, headers=at_version("v2.31.0+b")),
    )

    assert client.version is None
    assert not client.lacks(Feature.USER_STATUS_COUNTS)

    await client.me()

    assert client.version == ServerVersion(2, 18, 0, "", "a")
    assert client.lacks(Feature.USER_STATUS_COUNTS)

    with pytest.raises(errors.RouteMissing):
        await client.me()

    assert not client.lacks(Feature.USER_STATUS_COUNTS)
    assert events.versions == ["v2.18.0+a", "v2.31.0+b"]


async def test_the_servers_clock_is_compared_with_ours(
    coder: Coder, client: CoderClient, clock: FakeClock
) -> None:
    date = "Wed, 14 Jan 2026 10:21:30 GMT"
    coder.on("/users/me", answering({"id": "u", "username": "x"}, headers={"Date": date}))
    await client.me()

    assert client.clock_skew == 90


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_no_more_requests_are_under_way_than_allowed(
    coder: Coder, connect: Connect, concurrency: int
) -> None:
    running = 0
    peak = 0
    full = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == concurrency:
            full.set()
        # Nobody answers before as many as may come have come.
        await asyncio.wait_for(full.wait(), 5)
        running -= 1
        return web.json_response({"id": "u", "username": "x"})

    coder.on("/users/me", slow)
    client = await connect(concurrency=concurrency)
    await asyncio.gather(*(client.within(60).me() for _ in range(8)))

    assert peak == concurrency
    assert len(coder.requests) == 8


async def test_a_path_prefix_is_kept(coder: Coder, connect: Connect) -> None:
    client = await connect(url=f"{coder.url}/tools/coder")

    with pytest.raises(errors.RouteMissing):
        await client.me()

    assert coder.requests[0].path == "/tools/coder/api/v2/users/me"


async def test_a_client_that_is_not_open_says_so() -> None:
    client = CoderClient(CoderSettings(url="https://coder.example.com", token=LiteralSecret(Secret(TOKEN))))

    with pytest.raises(RuntimeError, match="async with"):
        await client.me()
