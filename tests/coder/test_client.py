"""Requests of the client, and the models that it returns."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from insights_exporter import errors
from insights_exporter.coder import time_ranges
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.models import PERMISSION_CHECKS, AuthorizationCheck
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.config.settings import CoderSettings
from insights_exporter.secrets import LiteralSecret, Secret
from tests.coder.conftest import TOKEN, ConnectClient, FakeCoder, respond_with
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
WEEK = time_ranges.last_days(NOW, 7)
DENIED = {"message": "Resource not found or you do not have access to this resource"}


def template(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "organization_id": "o1"} | fields


def version_header(text: str) -> dict[str, str]:
    return {"X-Coder-Build-Version": text}


async def test_template_insights_query_parameters(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers("/insights/templates", respond_with({"interval_reports": []}))
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


async def test_utc_offset_is_escaped_in_query(coder: FakeCoder, client: CoderClient) -> None:
    """A plus that is not quoted would arrive as a blank."""
    coder.set_handlers("/insights/user-activity", respond_with({"report": {}}))
    window = time_ranges.yesterday(NOW, 2)
    await client.user_activity(window.start, window.end)

    assert coder.requests[0].query["start_time"] == "2026-01-13T00:00:00+02:00"
    assert "%2B02" in coder.requests[0].rel_url.raw_query_string
    assert "template_ids" not in coder.requests[0].query


async def test_activity_and_latency_by_user(coder: FakeCoder, client: CoderClient) -> None:
    user = {"user_id": "u1", "username": "ada", "avatar_url": "", "template_ids": ["t1"]}
    coder.set_handlers(
        "/insights/user-activity",
        respond_with({"report": {"template_ids": ["t1"], "users": [user | {"seconds": 120}]}}),
    )
    coder.set_handlers(
        "/insights/user-latency",
        respond_with({"report": {"users": [user | {"latency_ms": {"p50": 20, "p95": -1}}]}}),
    )
    activity = await client.user_activity(WEEK.start, WEEK.end, template_ids=["t1"])
    latency = await client.user_latency(WEEK.start, WEEK.end, template_ids=["t1"])

    assert activity.template_ids == ["t1"]
    assert [(one.username, one.seconds) for one in activity.users] == [("ada", 120)]
    assert [(one.p50_seconds, one.p95_seconds) for one in latency.users] == [(0.02, None)]


async def test_templates_include_deprecated(coder: FakeCoder, client: CoderClient) -> None:
    async def listing(request: web.Request) -> web.Response:
        deprecated = request.query.get("q") == "deprecated:true"
        name = "old" if deprecated else "new"
        return web.json_response([template(name, organization_name="acme", deprecated=deprecated)])

    coder.set_handlers("/templates", listing)
    templates = await client.templates()

    assert [(one.name, one.deprecated) for one in templates] == [("new", False), ("old", True)]


async def test_templates_are_deduplicated(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers("/templates", respond_with([template("a", organization_name="acme")]))

    assert len(await client.templates()) == 1
    assert coder.requested_paths() == ["/templates", "/templates?q=deprecated:true"]


async def test_older_server_needs_no_deprecated_query(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers(
        "/templates",
        respond_with([template("a", organization_name="acme")], headers=version_header("v2.22.0")),
    )
    await client.templates()

    assert coder.requested_paths() == ["/templates"]


async def test_old_server_lists_templates_per_organization(coder: FakeCoder, client: CoderClient) -> None:
    """v2.12 has no list of all templates or organizations, and no organization names in templates."""
    organizations = [{"id": "o1", "name": "acme", "display_name": "Acme"}, {"id": "o2", "name": "beta"}]
    coder.set_handlers(
        "/users/me/organizations", respond_with(organizations, headers=version_header("v2.12.3"))
    )
    coder.set_handlers("/organizations/o1/templates", respond_with([template("go")]))
    coder.set_handlers("/organizations/o2/templates", respond_with([template("py", organization_id="o2")]))
    templates = await client.templates()

    assert [(one.name, one.organization_name, one.organization_display_name) for one in templates] == [
        ("go", "acme", "Acme"),
        ("py", "beta", ""),
    ]

    coder.requests.clear()
    await client.templates()

    assert coder.requested_paths() == [
        "/users/me/organizations",
        "/organizations/o1/templates",
        "/organizations/o2/templates",
    ]


async def test_missing_organization_names_are_filled(coder: FakeCoder, client: CoderClient) -> None:
    """v2.13 lists all templates without organization names."""
    coder.set_handlers("/templates", respond_with([template("go"), template("lost", organization_id="o9")]))
    coder.set_handlers("/users/me/organizations", respond_with([{"id": "o1", "name": "acme"}]))
    templates = await client.templates()

    assert [(one.name, one.organization_name) for one in templates] == [("go", "acme"), ("lost", "")]


async def test_denied_templates_raise_not_found_or_forbidden(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers("/templates", respond_with(DENIED, 404))

    with pytest.raises(errors.NotFoundOrForbidden):
        await client.templates()


@pytest.mark.parametrize("total", [0, 1, 3, 4, 10])
async def test_workspaces_are_paginated(coder: FakeCoder, connect: ConnectClient, total: int) -> None:
    async def listing(request: web.Request) -> web.Response:
        limit, offset = int(request.query["limit"]), int(request.query["offset"])
        rows = [{"id": f"w{number}"} for number in range(total)][offset : offset + limit]
        return web.json_response({"workspaces": rows, "count": total if rows else 0})

    coder.set_handlers("/workspaces", listing)
    client = await connect(workspace_page_size=3)

    assert [one.id for one in await client.workspaces()] == [f"w{number}" for number in range(total)]
    assert len(coder.requests) == max(1, -(-total // 3))


async def test_users_are_listed_without_email(coder: FakeCoder, client: CoderClient) -> None:
    row = {"id": "u1", "username": "ada", "email": "ada@example.test", "status": "active"}
    coder.set_handlers("/users", respond_with({"users": [row], "count": 1}))
    users = await client.users()

    assert [(one.username, one.status, one.last_seen) for one in users] == [("ada", "active", None)]
    assert "ada@example.test" not in repr(users)


async def test_invalid_row_is_dropped_and_counted(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry
) -> None:
    rows = [{"id": "u1", "username": "ada"}, {"id": "u2", "username": 7}]
    coder.set_handlers("/users", respond_with({"users": rows, "count": 2}))

    assert [one.username for one in await client.users()] == ["ada"]
    assert telemetry.dropped_rows == [("/users", 1, "username: Expected `str`, got `int`")]


async def test_invalid_row_is_dropped_from_large_response(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry
) -> None:
    rows: list[dict[str, Any]] = [
        {"user_id": f"u{number}", "username": "x" * 50, "seconds": 60} for number in range(1000)
    ]
    rows[500]["seconds"] = -60
    coder.set_handlers("/insights/user-activity", respond_with({"report": {"users": rows}}))
    report = await client.user_activity(WEEK.start, WEEK.end)

    assert len(report.users) == 999
    assert [count for _, count, _ in telemetry.dropped_rows] == [1]


async def test_authcheck_sends_one_request(coder: FakeCoder, client: CoderClient) -> None:
    async def check(request: web.Request) -> web.Response:
        assert request.method == "POST"
        checks = json.loads(await request.read())["checks"]
        return web.json_response({key: key != "debug" for key in checks})

    coder.set_handlers("/authcheck", check)
    allowed = await client.authcheck(PERMISSION_CHECKS)

    assert allowed == {key: key != "debug" for key in PERMISSION_CHECKS}
    assert len(coder.requests) == 1


async def test_resource_checks_are_batched_by_ten(coder: FakeCoder, client: CoderClient) -> None:
    sizes = []

    async def check(request: web.Request) -> web.Response:
        checks = json.loads(await request.read())["checks"]
        sizes.append(len(checks))
        assert all(one["object"].keys() == {"resource_type", "resource_id"} for one in checks.values())
        return web.json_response(dict.fromkeys(checks, True))

    coder.set_handlers("/authcheck", check)
    checks = {
        str(number): AuthorizationCheck(
            resource_type="template", action="view_insights", resource_id=f"t{number}"
        )
        for number in range(23)
    }
    allowed = await client.authcheck(checks)

    assert sizes == [10, 10, 3]
    assert allowed.keys() == checks.keys()


async def test_token_expiry_matches_token_id(coder: FakeCoder, client: CoderClient) -> None:
    keys = [
        {"id": "0000000000", "expires_at": "2030-01-01T00:00:00Z"},
        {"id": TOKEN[:10], "expires_at": "2026-02-01T00:00:00Z"},
    ]
    coder.set_handlers("/users/me/keys/tokens", respond_with(keys), respond_with(keys[:1]))

    assert await client.token_expiry() == datetime(2026, 2, 1, tzinfo=UTC)
    assert await client.token_expiry() is None


async def test_ids_are_escaped_in_paths_and_absent_from_labels(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry
) -> None:
    with pytest.raises(errors.UnsupportedEndpoint):
        await client.rich_parameters("../users?x=1")

    assert coder.requests[0].rel_url.raw_path == "/api/v2/templateversions/..%2Fusers%3Fx%3D1/rich-parameters"
    assert telemetry.requests == [("/templateversions/{id}/rich-parameters", "404")]


async def test_small_endpoints_are_decoded(coder: FakeCoder, client: CoderClient) -> None:
    coder.set_handlers("/buildinfo", respond_with({"version": "v2.26.1+abc", "deployment_id": "d"}))
    coder.set_handlers(
        "/entitlements", respond_with({"features": {"user_limit": {"enabled": True, "limit": 50}}})
    )
    coder.set_handlers(
        "/debug/health",
        respond_with(
            {
                "healthy": False,
                "severity": "warning",
                "derp": {"healthy": True, "severity": "ok"},
                "database": {"healthy": True, "severity": "ok", "reachable": True, "latency_ms": 2.5},
            }
        ),
    )
    coder.set_handlers(
        "/deployment/stats", respond_with({"workspaces": {"running": 3}, "session_count": {"vscode": 2}})
    )
    coder.set_handlers("/debug/metrics", respond_with("# TYPE up gauge\nup 1\n", content_type="text/plain"))
    health = await client.health()

    assert (await client.build_info()).version == "v2.26.1+abc"
    assert (await client.entitlements()).features["user_limit"].limit == 50
    assert (health.severity, list(health.sections())) == ("warning", ["derp", "database"])
    assert (await client.deployment_stats()).session_count.vscode == 2
    assert await client.debug_metrics() == "# TYPE up gauge\nup 1\n"


async def test_users_are_counted_with_one_small_request(coder: FakeCoder, client: CoderClient) -> None:
    """The count of an empty page is 0, which is then the right number."""
    coder.set_handlers(
        "/users",
        respond_with({"users": [{"id": "u", "username": "ada"}], "count": 24}),
        respond_with({"users": [], "count": 0}),
    )

    assert await client.user_count("active") == 24
    assert await client.user_count("suspended") == 0
    assert [request.rel_url.query_string for request in coder.requests] == [
        "q=status:active&limit=1",
        "q=status:suspended&limit=1",
    ]


async def test_version_is_read_from_each_response(
    coder: FakeCoder, client: CoderClient, telemetry: RecordingTelemetry
) -> None:
    """During a rolling upgrade, responses come from both versions."""
    coder.set_handlers(
        "/users/me",
        respond_with({"id": "u", "username": "x"}, headers=version_header("v2.18.0+a")),
        respond_with({"message": "Route not found."}, 404, headers=version_header("v2.31.0+b")),
    )

    assert client.version is None
    assert not client.is_unsupported(Feature.INSIGHTS_SWITCH)

    await client.me()

    assert client.version == ServerVersion(2, 18, 0, "", "a")
    assert client.is_unsupported(Feature.INSIGHTS_SWITCH)

    with pytest.raises(errors.UnsupportedEndpoint):
        await client.me()

    assert not client.is_unsupported(Feature.INSIGHTS_SWITCH)
    assert telemetry.versions == ["v2.18.0+a", "v2.31.0+b"]


async def test_clock_skew_is_measured(coder: FakeCoder, client: CoderClient, clock: FakeClock) -> None:
    date = "Wed, 14 Jan 2026 10:21:30 GMT"
    coder.set_handlers("/users/me", respond_with({"id": "u", "username": "x"}, headers={"Date": date}))
    await client.me()

    assert client.clock_skew == 90


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_concurrency_is_limited(coder: FakeCoder, connect: ConnectClient, concurrency: int) -> None:
    running = 0
    peak = 0
    full = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == concurrency:
            full.set()
        # Respond only when the maximum number of requests is running.
        await asyncio.wait_for(full.wait(), 5)
        running -= 1
        return web.json_response({"id": "u", "username": "x"})

    coder.set_handlers("/users/me", slow)
    client = await connect(concurrency=concurrency)
    await asyncio.gather(*(client.with_timeout(60).me() for _ in range(8)))

    assert peak == concurrency
    assert len(coder.requests) == 8


async def test_path_prefix_is_kept(coder: FakeCoder, connect: ConnectClient) -> None:
    client = await connect(url=f"{coder.url}/tools/coder")

    with pytest.raises(errors.UnsupportedEndpoint):
        await client.me()

    assert coder.requests[0].path == "/tools/coder/api/v2/users/me"


async def test_unopened_client_raises_runtime_error() -> None:
    client = CoderClient(CoderSettings(url="https://coder.example.com", token=LiteralSecret(Secret(TOKEN))))

    with pytest.raises(RuntimeError, match="async with"):
        await client.me()
