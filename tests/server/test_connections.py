"""Slow, silent, many and malformed clients: bounded cost, and scrapes continue to work."""

from __future__ import annotations

import asyncio
import errno
import re
import resource
import socket
from dataclasses import dataclass, replace

import pytest
from aiohttp import ClientSession

from insights_exporter.server import ConnectionLimits, http_server
from insights_exporter.server.connections import Connection
from tests.server.fakes import FakeExposition
from tests.server.running_server import RawClient, run_server

LARGE_BODY = b"x" * 2**24


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
    async with run_server(ConnectionLimits(write_timeout=0.3), FakeExposition(body=LARGE_BODY)) as server:
        slow_client = await server.connect()
        slow_client.writer.write(
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n" * 50
        )

        # The write timeout starts with the first byte of the response.
        received = len(await slow_client.reader.read(1))
        await asyncio.sleep(0.6)
        try:
            async with asyncio.timeout(10):
                while chunk := await slow_client.reader.read(2**20):
                    received += len(chunk)
        except ConnectionError:
            pass

    # The first response was aborted, and no other was sent.
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
        (b"FLY / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"400"),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET //etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
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
    """The server reads an unexpected body for a limited time, then closes the connection."""
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


@pytest.mark.parametrize(
    ("soft_limit", "expected"),
    [(64, 32), (1000, 500), (1024, 512), (65536, 512), (resource.RLIM_INFINITY, 512), (1, 1)],
)
def test_connection_limit_follows_the_file_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft_limit: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft_limit, resource.RLIM_INFINITY))

    assert ConnectionLimits().max_connections == expected


@dataclass
class ExhaustedSocket:
    """A listening socket whose first accepts fail, as without free file descriptors."""

    wrapped: socket.socket
    failures: int
    accepts: int = 0

    def accept(self) -> tuple[socket.socket, object]:
        """Fail or accept a connection."""
        self.accepts += 1
        if self.accepts <= self.failures:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.wrapped.accept()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self.wrapped.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.wrapped.close()

    def getsockname(self) -> tuple[str, int]:
        """Return the address."""
        name: tuple[str, int] = self.wrapped.getsockname()
        return name


async def test_failed_accepts_back_off_and_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sockets: list[ExhaustedSocket] = []
    listening_sockets = http_server._listening_sockets

    async def exhausted_sockets(host: str, port: int) -> list[ExhaustedSocket]:
        sockets.extend(
            ExhaustedSocket(wrapped, failures=5) for wrapped in await listening_sockets(host, port)
        )
        return sockets

    monkeypatch.setattr(http_server, "_listening_sockets", exhausted_sockets)
    monkeypatch.setattr(http_server, "_ACCEPT_RETRY_DELAY", 0.01)
    async with run_server() as server:
        assert await server.scrape() == 200

    assert sockets[0].accepts > 5
    assert caplog.text.count("accept failed") == 1
    assert "Traceback" not in caplog.text


async def test_failed_accept_frees_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_ACCEPT_RETRY_DELAY", 0.01)
    accept, errors = socket.socket.accept, [OSError(errno.EMFILE, "Too many open files")]

    def failing_accept(listening_socket: socket.socket) -> tuple[socket.socket, object]:
        if errors and accepted:
            raise errors.pop()
        return accept(listening_socket)

    accepted: list[RawClient] = []
    monkeypatch.setattr(socket.socket, "accept", failing_accept)
    async with run_server() as server:
        idle_client = await server.connect()
        assert (await server.scrape()) == 200
        accepted.append(idle_client)

        assert await server.scrape() == 200
        assert await idle_client.wait_disconnected()


async def test_pipelining_clients_do_not_delay_scrapes() -> None:
    """A scrape is handled after at most a few requests of each client that pipelines and does not read."""
    handled = 0

    def count_request() -> str:
        nonlocal handled
        handled += 1
        return ""

    async with run_server() as server:
        server.context = replace(server.context, not_ready_reason=count_request)
        clients = [await server.connect() for _ in range(100)]
        assert await server.scrape() == 200
        for client in clients:
            client.writer.write(b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n" * 200)

        assert await server.scrape() == 200
        handled_before_scrape = handled

    assert handled_before_scrape < 3 * len(clients)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with run_server() as server:
        client = await server.connect()
        requests = [b"/-/healthy", b"/-/ready"] * 50
        client.writer.writelines(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n" for path in requests)

        response = await client.exchange(b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    bodies = re.findall(rb"^(Healthy\.|Ready\.|404 Not Found)$", response, re.MULTILINE)
    assert bodies == [b"Healthy.", b"Ready."] * 50 + [b"404 Not Found"]


async def test_parsed_requests_of_a_client_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server stops reading a client's requests before their number costs memory."""
    connections: list[Connection] = []
    request_started = Connection.request_started

    def recording_request_started(connection: Connection) -> None:
        connections.append(connection)
        request_started(connection)

    monkeypatch.setattr(Connection, "request_started", recording_request_started)
    release = asyncio.Event()

    async def reload() -> None:
        await release.wait()

    async with run_server() as server:
        server.context = replace(server.context, reload=reload)
        client = await server.connect()
        client.writer.write(b"POST /-/reload HTTP/1.1\r\nHost: a\r\n\r\n" * 20_000)
        await server.scrape()
        assert len(connections[0]._messages) <= 32
        release.set()
