"""Responses of each route."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder import Format
from insights_exporter.server import AppContext, HttpServer, create_app
from tests.server.fakes import FakeExposition, fake_context
from tests.support.recording_telemetry import RecordingTelemetry


@dataclass
class RunningApp:
    """An application whose context tests may replace, and a client of it."""

    context: AppContext
    exposition: FakeExposition
    telemetry: RecordingTelemetry
    client: TestClient[web.Request, web.Application]


@pytest.fixture
async def running_app() -> AsyncIterator[RunningApp]:
    exposition, telemetry = FakeExposition(), RecordingTelemetry()
    context = fake_context(exposition, telemetry)
    holder: list[RunningApp] = []
    server = TestServer(create_app(lambda: holder[0].context))
    async with TestClient(server, auto_decompress=False) as client:
        holder.append(RunningApp(context, exposition, telemetry, client))
        yield holder[0]


async def test_scrape_returns_metrics_and_self_metrics(running_app: RunningApp) -> None:
    response = await running_app.client.get("/metrics", headers={"Accept-Encoding": "identity"})

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert await response.read() == b"head of TEXT\ntail\n"
    assert running_app.telemetry.scrape_codes == [200]


async def test_format_and_compression_are_negotiated(running_app: RunningApp) -> None:
    headers = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}

    response = await running_app.client.get("/metrics", headers=headers)

    assert response.headers["Content-Type"] == str(Format.OPENMETRICS)
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert gzip.decompress(await response.read()) == b"head of OPENMETRICS\ntail\n"


async def test_head_returns_content_length_without_body(running_app: RunningApp) -> None:
    response = await running_app.client.head("/metrics", headers={"Accept-Encoding": "identity"})

    assert response.status == 200
    assert response.headers["Content-Length"] == str(len(b"head of TEXT\ntail\n"))
    assert await response.read() == b""


async def test_collect_parameter_selects_collectors(running_app: RunningApp) -> None:
    url = "/metrics?collect[]=insights&collect%5B%5D=deployment"

    response = await running_app.client.get(url, headers={"Accept-Encoding": "identity"})

    assert running_app.exposition.requested_collectors == [frozenset({"insights", "deployment"})]
    assert await response.read() == b"head of TEXT\n"


async def test_self_metrics_are_a_collector(running_app: RunningApp) -> None:
    response = await running_app.client.get(
        "/metrics?collect[]=exporter", headers={"Accept-Encoding": "identity"}
    )

    assert b"tail" in await response.read()


async def test_unknown_collector_is_rejected_by_name(running_app: RunningApp) -> None:
    response = await running_app.client.get("/metrics?collect[]=insigths")

    assert response.status == 400
    assert (await response.text()).startswith("collect[]: expected one of ")
    assert (await response.text()).endswith("got 'insigths'\n")
    assert running_app.telemetry.scrape_codes == [400]


async def test_readiness_requires_fresh_data_and_health_does_not(running_app: RunningApp) -> None:
    assert (await running_app.client.get("/-/healthy")).status == 200
    assert (await running_app.client.get("/-/ready")).status == 200

    running_app.context = replace(
        running_app.context, not_ready_reason=lambda: "The first poll has not finished."
    )

    response = await running_app.client.get("/-/ready")
    assert response.status == 503
    assert await response.text() == "The first poll has not finished.\n"
    assert (await running_app.client.get("/-/healthy")).status == 200


async def test_landing_page_sets_its_content_security_policy(running_app: RunningApp) -> None:
    response = await running_app.client.get("/", headers={"Accept-Encoding": "gzip"})

    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "style-src 'sha256-x'" in response.headers["Content-Security-Policy"]
    assert b"<title>Hello" in gzip.decompress(await response.read())


async def test_config_is_plain_text(running_app: RunningApp) -> None:
    response = await running_app.client.get("/config")

    assert response.headers["Content-Type"].startswith("text/plain")
    assert "url: https://coder.example.com" in await response.text()


async def test_reload_is_disabled_by_default(running_app: RunningApp) -> None:
    response = await running_app.client.post("/-/reload")

    assert response.status == 403
    assert "server.enable_reload" in await response.text()


@pytest.mark.parametrize("method", ["post", "put"])
async def test_reload_reports_its_result(running_app: RunningApp, method: str) -> None:
    errors = [ConfigError("poll.interval: expected 60 or more, got 1"), None]

    async def reload() -> None:
        if error := errors.pop(0):
            raise error

    running_app.context = replace(running_app.context, reload=reload)

    failed = await running_app.client.request(method, "/-/reload")
    succeeded = await running_app.client.request(method, "/-/reload")

    assert failed.status == 500
    assert "poll.interval: expected 60 or more, got 1" in await failed.text()
    assert succeeded.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/metrics/../../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("GET", "/-/reload", 405),
        ("DELETE", "/", 405),
    ],
)
async def test_unknown_routes_get_a_one_line_error(
    running_app: RunningApp, method: str, path: str, status: int
) -> None:
    response = await running_app.client.request(method, path)

    assert response.status == status
    assert (await response.text()).startswith(f"{status} ")
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/metrics", "/", "/config", "/-/healthy", "/nothing"])
async def test_every_response_has_security_headers(running_app: RunningApp, path: str) -> None:
    headers = (await running_app.client.get(path)).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Server"] == "insights_exporter"


async def test_internal_errors_are_hidden_from_clients(
    running_app: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("secret details")

    running_app.context = replace(running_app.context, config=broken)

    response = await running_app.client.get("/config")

    assert response.status == 500
    assert "secret" not in await response.text()
    assert "secret details" in caplog.text


async def test_http_server_listens_and_reports_its_url(running_app: RunningApp) -> None:
    app = create_app(lambda: running_app.context)
    async with HttpServer(app, host="127.0.0.1", port=0) as http_server, ClientSession() as session:
        async with session.get(http_server.url + "/-/healthy") as response:
            assert response.status == 200
        port = int(http_server.url.rpartition(":")[2])
        second_server = HttpServer(create_app(lambda: running_app.context), host="127.0.0.1", port=port)

        with pytest.raises(ConfigError, match=r"expected a free address, got 127\.0\.0\.1:"):
            await second_server.__aenter__()


@pytest.mark.parametrize("path", ["/config", "/nothing", "/-/reload"])
async def test_middlewares_see_errors_as_responses(running_app: RunningApp, path: str) -> None:
    """A middleware that adds headers adds them to 404, 405 and 500 as well."""

    @web.middleware
    async def add_header(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        response.headers["X-Frame-Options"] = "sameorigin"
        return response

    def broken() -> str:
        raise RuntimeError

    context = replace(running_app.context, config=broken, middlewares=[add_header])
    async with TestClient(TestServer(create_app(lambda: context))) as client:
        response = await client.get(path)

    assert response.status == {"/config": 500, "/nothing": 404, "/-/reload": 405}[path]
    assert response.headers["X-Frame-Options"] == "sameorigin"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_middlewares_run_before_the_routes(running_app: RunningApp) -> None:
    @web.middleware
    async def reject_all(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"})

    app = create_app(lambda: replace(running_app.context, middlewares=[reject_all]))
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/metrics")

    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
