"""What each address answers."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.text import Format
from insights_exporter.server import Listening, Site, application
from tests.server.made_up import FakePages, Scrapes, site_of


@dataclass
class Served:
    """A site that tests may replace, and a client of it."""

    site: Site
    pages: FakePages
    scrapes: Scrapes
    client: TestClient[web.Request, web.Application]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    pages, scrapes = FakePages(), Scrapes()
    site = site_of(pages, scrapes)
    holder: list[Served] = []
    server = TestServer(application(lambda: holder[0].site))
    async with TestClient(server, auto_decompress=False) as client:
        holder.append(Served(site, pages, scrapes, client))
        yield holder[0]


async def test_a_scrape_gets_the_page_and_the_exporters_own_metrics(served: Served) -> None:
    response = await served.client.get("/metrics", headers={"Accept-Encoding": "identity"})

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert await response.read() == b"head of TEXT\ntail\n"
    assert served.scrapes.codes == [200]


async def test_form_and_compression_are_negotiated(served: Served) -> None:
    headers = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}

    response = await served.client.get("/metrics", headers=headers)

    assert response.headers["Content-Type"] == str(Format.OPENMETRICS)
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert gzip.decompress(await response.read()) == b"head of OPENMETRICS\ntail\n"


async def test_head_tells_the_length_without_a_body(served: Served) -> None:
    response = await served.client.head("/metrics", headers={"Accept-Encoding": "identity"})

    assert response.status == 200
    assert response.headers["Content-Length"] == str(len(b"head of TEXT\ntail\n"))
    assert await response.read() == b""


async def test_collectors_can_be_chosen(served: Served) -> None:
    url = "/metrics?collect[]=insights&collect%5B%5D=deployment"

    response = await served.client.get(url, headers={"Accept-Encoding": "identity"})

    assert served.pages.asked == [frozenset({"insights", "deployment"})]
    assert await response.read() == b"head of TEXT\n"


async def test_the_exporters_own_metrics_are_a_collector_too(served: Served) -> None:
    response = await served.client.get("/metrics?collect[]=exporter", headers={"Accept-Encoding": "identity"})

    assert b"tail" in await response.read()


async def test_an_unknown_collector_is_refused_by_name(served: Served) -> None:
    response = await served.client.get("/metrics?collect[]=insigths")

    assert response.status == 400
    assert "'insigths'" in await response.text()
    assert served.scrapes.codes == [400]


async def test_health_needs_nothing_and_readiness_needs_fresh_numbers(served: Served) -> None:
    assert (await served.client.get("/-/healthy")).status == 200
    assert (await served.client.get("/-/ready")).status == 200

    served.site = replace(served.site, unready=lambda: "No poll has succeeded yet.")

    response = await served.client.get("/-/ready")
    assert response.status == 503
    assert await response.text() == "No poll has succeeded yet.\n"
    assert (await served.client.get("/-/healthy")).status == 200


async def test_the_landing_page_brings_its_own_policy(served: Served) -> None:
    response = await served.client.get("/", headers={"Accept-Encoding": "gzip"})

    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "style-src 'sha256-x'" in response.headers["Content-Security-Policy"]
    assert b"<title>Hello" in gzip.decompress(await response.read())


async def test_the_configuration_is_shown_as_text(served: Served) -> None:
    response = await served.client.get("/config")

    assert response.headers["Content-Type"].startswith("text/plain")
    assert "url: https://coder.example.com" in await response.text()


async def test_reading_anew_is_off_unless_enabled(served: Served) -> None:
    response = await served.client.post("/-/reload")

    assert response.status == 403
    assert "server.enable_reload" in await response.text()


@pytest.mark.parametrize("method", ["post", "put"])
async def test_reading_anew_tells_what_came_of_it(served: Served, method: str) -> None:
    faults = [ConfigError("poll.interval: expected more."), None]

    async def reload() -> None:
        if fault := faults.pop(0):
            raise fault

    served.site = replace(served.site, reload=reload)

    refused = await served.client.request(method, "/-/reload")
    accepted = await served.client.request(method, "/-/reload")

    assert refused.status == 500
    assert "poll.interval: expected more." in await refused.text()
    assert accepted.status == 200


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
async def test_what_is_not_there_is_refused_in_a_line(
    served: Served, method: str, path: str, status: int
) -> None:
    response = await served.client.request(method, path)

    assert response.status == status
    assert (await response.text()).startswith(f"{status} ")
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/metrics", "/", "/config", "/-/healthy", "/nothing"])
async def test_every_answer_has_safe_headers(served: Served, path: str) -> None:
    headers = (await served.client.get(path)).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Server"] == "insights_exporter"


async def test_a_fault_inside_tells_the_client_nothing(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("secret details")

    served.site = replace(served.site, config=broken)

    response = await served.client.get("/config")

    assert response.status == 500
    assert "secret" not in await response.text()
    assert "secret details" in caplog.text


async def test_a_socket_is_opened_and_its_address_told(served: Served) -> None:
    app = application(lambda: served.site)
    async with Listening(app, host="127.0.0.1", port=0) as listening, ClientSession() as session:
        async with session.get(listening.address + "/-/healthy") as response:
            assert response.status == 200
        port = int(listening.address.rpartition(":")[2])
        other = Listening(application(lambda: served.site), host="127.0.0.1", port=port)

        with pytest.raises(ConfigError, match=r"expected a free address, found 127\.0\.0\.1:"):
            await other.__aenter__()


async def test_middlewares_stand_before_the_routes(served: Served) -> None:
    @web.middleware
    async def closed(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"})

    app = application(lambda: replace(served.site, middlewares=[closed]))
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/metrics")

    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
