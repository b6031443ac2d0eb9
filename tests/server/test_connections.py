"""Clients that are slow, many, or speak no HTTP: they cost little, and scrapers notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import ClientSession

from insights_exporter.server import AppContext, ConnectionLimits, HttpServer, create_app
from tests.server.fakes import FakeMetricsBody, ScrapeRecorder, fake_context

LARGE_BODY = b"x" * 2**24


@dataclass
class RawClient:
    """Bytes to and from a server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def exchange(self, request: bytes) -> bytes:
        """Send something and return all that comes until the server closes."""
        self.writer.write(request)
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def wait_disconnected(self) -> bool:
        """Wait until the server breaks the connection off."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(2**20):
                    pass
            except ConnectionError:
                return True
        return self.reader.at_eof()


@dataclass
class RunningServer:
    """A server and whoever comes to it."""

    url: str
    context: AppContext
    clients: list[RawClient] = field(default_factory=list)

    async def connect(self) -> RawClient:
        """Connect."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        client = RawClient(*await asyncio.open_connection(host, int(port)))
        self.clients.append(client)
        return client

    async def scrape(self) -> int:
        """Return the status of a scrape over a new connection."""
        async with ClientSession() as session, session.get(self.url + "/metrics") as response:
            await response.read()
            return response.status


@asynccontextmanager
async def run_server(
    limits: ConnectionLimits | None = None, metrics_body: FakeMetricsBody | None = None
) -> AsyncIterator[RunningServer]:
    """Serve a made-up site with that much patience."""
    servers: list[RunningServer] = []
    app = create_app(lambda: servers[0].context)
    async with HttpServer(app, host="127.0.0.1", port=0, limits=limits) as http_server:
        server = RunningServer(
            http_server.url, fake_context(metrics_body or FakeMetricsBody(), ScrapeRecorder())
        )
        servers.append(server)
        yield server
        for client in server.clients:
            client.writer.close()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"GET /-/healthy HTTP/1.1\r\n\r\nGET"],
)
async def test_incomplete_requests_time_out(beginning: bytes) -> None:
    async with run_server(ConnectionLimits(header_timeout=0.2)) as server:
        slow_clients = [await server.connect() for _ in range(20)]
        for client in slow_clients:
            client.writer.write(beginning)

        assert await server.scrape() == 200
        assert all([await client.wait_disconnected() for client in slow_clients])


async def test_trickled_bytes_do_not_extend_the_header_timeout() -> None:
    async with run_server(ConnectionLimits(header_timeout=0.3)) as server:
        slow_client = await server.connect()
        slow_client.writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")

        async def trickle() -> None:
            while True:
                slow_client.writer.write(b"a")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        try:
            assert await slow_client.wait_disconnected()
        finally:
            trickling.cancel()


async def test_unread_responses_time_out() -> None:
    async with run_server(ConnectionLimits(write_timeout=0.3), FakeMetricsBody(body=LARGE_BODY)) as server:
        slow_client = await server.connect()
        slow_client.writer.write(
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n" * 50
        )

        # Its time runs from the first byte of the answer.
        received = len(await slow_client.reader.read(1))
        await asyncio.sleep(0.6)
        try:
            async with asyncio.timeout(10):
                while chunk := await slow_client.reader.read(2**20):
                    received += len(chunk)
        except ConnectionError:
            pass

    # One answer was begun, none after it, and it was not finished.
    assert received < len(LARGE_BODY)


async def test_idle_connections_are_closed() -> None:
    async with run_server(ConnectionLimits(idle_timeout=0.2)) as server:
        client = await server.connect()

        response = await client.exchange(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")

    assert response.endswith(b"Healthy.\n")


async def test_idle_connections_do_not_block_scrapes() -> None:
    async with run_server(ConnectionLimits(max_connections=8)) as server:
        idle_clients = [await server.connect() for _ in range(40)]

        assert [await server.scrape() for _ in range(5)] == [200] * 5
        assert all([await client.wait_disconnected() for client in idle_clients[:32]])


async def test_active_requests_survive_the_connection_limit() -> None:
    release = asyncio.Event()
    entered = asyncio.Semaphore(0)

    async def reload() -> None:
        entered.release()
        await release.wait()

    async with run_server(ConnectionLimits(max_connections=4)) as server:
        server.context = replace(server.context, reload=reload)
        async with ClientSession() as session:
            requests = [asyncio.create_task(session.post(server.url + "/-/reload")) for _ in range(4)]
            for _ in requests:
                await entered.acquire()
            extra_client = await server.connect()
            disconnected = await extra_client.wait_disconnected()
            release.set()
            statuses = [(await request).status for request in requests]

    assert disconnected
    assert statuses == [200] * 4


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /metrics SSH\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 500 + b"\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
        (b"FLY / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET //etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"GET /metrics/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
    ],
)
async def test_malformed_requests_get_a_one_line_error(
    request_: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_server() as server:
        response = await (await server.connect()).exchange(request_)
        head, _, body = response.partition(b"\r\n\r\n")

    assert head.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
    assert body.startswith(status)
    assert len(body.splitlines()) == 1
    assert b"\r\nServer: insights_exporter\r\n" in head + b"\r\n"
    assert not any(word in response.lower() for word in (b"python", b"aiohttp", b"traceback", b"passwd"))
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


@pytest.mark.parametrize("host", [b"evil.example", b"'><script>", b"a" * 4000, b""])
async def test_host_header_is_ignored(host: bytes) -> None:
    async with run_server() as server:
        response = await (await server.connect()).exchange(
            b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        )

    assert response.startswith(b"HTTP/1.1 200 OK")
    assert not host or host not in response


async def test_request_bodies_are_discarded() -> None:
    """A body that nobody asked for is skimmed for a moment, then the connection ends."""
    async with run_server(ConnectionLimits(header_timeout=0.4)) as server:
        server.context = replace(server.context, reload=no_op_reload)
        client = await server.connect()
        client.writer.write(b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")

        response = await client.exchange(b"x" * 1000)

    assert response.startswith(b"HTTP/1.1 200 OK")


async def no_op_reload() -> None:
    return None


async def test_graceful_shutdown_finishes_active_requests() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def reload() -> None:
        entered.set()
        await release.wait()

    async with ClientSession() as session:
        async with run_server() as server:
            server.context = replace(server.context, reload=reload)
            idle_client = await server.connect()
            request = asyncio.create_task(session.post(server.url + "/-/reload"))
            await entered.wait()
            asyncio.get_running_loop().call_later(0.2, release.set)
        status = (await request).status
        with pytest.raises(OSError, match="Connect"):
            await server.connect()

    assert status == 200
    assert await idle_client.wait_disconnected()
