"""The server: consistent numbers, headers, rate limit, redirects, TLS and injected faults."""

from __future__ import annotations

import ssl
import statistics
from collections.abc import Iterable
from datetime import date, timedelta
from unittest.mock import patch

import aiohttp
import msgspec
import pytest
import trustme

from insights_exporter.simulator.api.fault_injection import DropConnection, Status, TruncateBody
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import OWNER_TOKEN
from insights_exporter.simulator.generated_world import GeneratedWorld, Size
from insights_exporter.simulator.usage import UserDay
from tests.support.api_client import NOW, WEEK, api_client, simulated_deployment

UNKNOWN_ID = "99999999-9999-4999-8999-999999999999"


async def test_endpoints_agree_on_active_users() -> None:
    async with api_client(simulated_deployment()) as client:
        report = (await client("/insights/templates", WEEK)).body["report"]
        activity = (await client("/insights/user-activity", WEEK)).body["report"]["users"]
        latency = (await client("/insights/user-latency", WEEK)).body["report"]["users"]
    names = {row["username"] for row in activity}

    assert names
    assert report["active_users"] == len(names)
    assert {row["username"] for row in latency} == names


async def test_sum_over_templates_is_at_least_the_deployment_total() -> None:
    deployment, template_seconds = simulated_deployment(), 0
    async with api_client(deployment) as client:
        deployment_apps = (await client("/insights/templates", WEEK)).body["report"]["apps_usage"]
        for template in deployment.world.templates:
            response = await client("/insights/templates", {**WEEK, "template_ids": template.id})
            template_seconds += sum(app["seconds"] for app in response.body["report"]["apps_usage"])

    assert template_seconds >= sum(app["seconds"] for app in deployment_apps) > 0


async def test_agent_report_medians_match_the_rollup() -> None:
    """Agent reports and API responses derive from the same events."""
    world = simulated_deployment().world
    day = NOW.replace(hour=0, minute=0) - timedelta(days=1)
    user_day = next(
        user_day
        for user_day in world.usage(day.date())
        if user_day.median_latency_ms and user_day.session_mask
    )
    latencies_by_bucket: dict[int, list[float]] = {}
    for item in world.agent_reports(day, day + timedelta(days=1)):
        if (item.user_id, item.template_id) == (
            world.users[user_day.user].id,
            world.templates[user_day.template].id,
        ):
            latencies_by_bucket.setdefault(int((item.created_at - day) / timedelta(minutes=30)), []).append(
                item.latency_ms
            )

    assert sum(len(item) for item in latencies_by_bucket.values()) == 2 * user_day.session_mask.bit_count()
    for bucket, latencies in latencies_by_bucket.items():
        assert statistics.median(latencies) == pytest.approx(user_day.median_latency_ms[bucket])


async def test_only_the_requested_days_are_computed() -> None:
    """The history of a large deployment costs nothing until it is requested."""
    deployment = simulated_deployment(Size(50, 1_000))
    day = {"start_time": "2026-11-23T00:00:00Z", "end_time": "2026-11-24T00:00:00Z"}
    computed_days = set()
    compute_usage = type(deployment.world).usage_on

    def record(world: GeneratedWorld, requested: date) -> Iterable[UserDay]:
        computed_days.add(requested)
        return compute_usage(world, requested)

    with patch.object(type(deployment.world), "usage_on", record):
        async with api_client(deployment) as client:
            await client("/users/me")
            before = set(computed_days)
            response = await client("/insights/templates", {**day, "template_ids": UNKNOWN_ID})
            await client("/insights/user-activity", day)

    assert response.status == 200
    assert before == set()
    # The builds of parameters may begin on the day before.
    assert date(2026, 11, 23) in computed_days
    assert computed_days <= {date(2026, 11, 22), date(2026, 11, 23), date(2026, 11, 24)}


async def test_injected_faults_apply_to_requests() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        deployment.faults.inject("/users/me", Status(status=503, max_count=1))
        first, second = await client("/users/me"), await client("/users/me")
        deployment.faults.inject("/users/me", TruncateBody())

        assert (first.status, second.status) == (503, 200)
        with pytest.raises(msgspec.DecodeError):
            await client("/users/me")


async def test_faults_can_be_limited_to_a_method() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        deployment.faults.inject("POST /users/me/keys/tokens", Status(status=503))
        listed = await client("/users/me/keys/tokens")
        created = await client("/users/me/keys/tokens", body={})

    assert (listed.status, created.status) == (200, 503)


async def test_connection_can_drop_after_the_effect_of_a_request() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        deployment.faults.inject("POST /users/me/keys/tokens", DropConnection(after_bytes=5, max_count=1))
        with pytest.raises(aiohttp.ClientError):
            await client("/users/me/keys/tokens", body={"token_name": "second"})
        names = [token["token_name"] for token in (await client("/users/me/keys/tokens")).body]

    assert names == ["insights-exporter", "second"]


# Headers and rate limit


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
    async with api_client(simulated_deployment(version="v2.31.0", rate_limit=1)) as client:
        first, other_user = await client("/users/me"), await client("/users/me", token=OWNER_TOKEN)

    assert [response.status for response in (first, other_user)] == [200, 429]


async def test_responses_have_the_headers_of_a_real_server() -> None:
    async with api_client(simulated_deployment()) as client:
        responses = [
            await client("/buildinfo", token=""),
            await client("/users/me"),
            await client("/users/me", token=""),
            await client("/nonsense"),
        ]

    for response in responses:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in response.headers
        assert response.headers["Set-Cookie"].startswith("csrf_token=")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert len({response.headers["X-Coder-Request-Id"] for response in responses}) == 4


@pytest.mark.parametrize(("version", "has_key"), [("v2.34.0", False), ("v2.35.0", True)])
async def test_push_key_depends_on_version(version: str, *, has_key: bool) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        build_info = (await client("/buildinfo", token="")).body

    assert build_info["version"] == version
    assert ("webpush_public_key" in build_info) is has_key


async def test_redirect_to_the_access_url_loses_the_path() -> None:
    deployment = simulated_deployment(access_url="https://coder.example.test", redirect_to_access_url=True)
    async with api_client(deployment) as client:
        responses = [
            await client(path, follow_redirects=False) for path in ("/buildinfo", "/users/me", "/nonsense")
        ]

    assert {(response.status, response.headers["Location"]) for response in responses} == {
        (307, "https://coder.example.test")
    }


# TLS


async def test_https_server_answers_plain_requests_with_400() -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    async with (
        serve(simulated_deployment(), ssl_context=server_context) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v2/buildinfo", ssl=client_context) as encrypted,
        session.get(f"{url.replace('https', 'http')}/api/v2/buildinfo") as plain,
    ):
        body = await plain.text()

        assert encrypted.status == 200
        assert (plain.status, body) == (400, "Client sent an HTTP request to an HTTPS server.\n")


async def test_http_server_fails_the_handshake_of_an_https_client() -> None:
    async with serve(simulated_deployment()) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError) as raised:
            await session.get(f"{url.replace('http', 'https')}/api/v2/buildinfo")

    assert "WRONG_VERSION_NUMBER" in str(raised.value)
