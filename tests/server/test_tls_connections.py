"""TLS handshakes: they count as connections, time out, and release their slot."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession

from insights_exporter.server import ConnectionLimits
from tests.server.running_server import RunningServer, run_server


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """Return a TLS context for a server; ``ca.pem`` in ``tmp_path`` verifies it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


async def tls_scrape(server: RunningServer, ca_file: Path) -> int:
    context = ssl.create_default_context(cafile=str(ca_file))
    async with ClientSession() as session, session.get(server.url + "/metrics", ssl=context) as response:
        return response.status


async def test_tls_handshakes_count_as_connections(tls: ssl.SSLContext, tmp_path: Path) -> None:
    """Clients that never start the handshake are aborted above the limit, oldest first."""
    async with run_server(ConnectionLimits(max_connections=8), tls=tls) as server:
        silent_clients = [await server.connect() for _ in range(40)]

        assert await tls_scrape(server, tmp_path / "ca.pem") == 200
        assert all([await client.wait_disconnected() for client in silent_clients[:33]])
        assert not silent_clients[-1].reader.at_eof()


async def test_incomplete_tls_handshakes_time_out(tls: ssl.SSLContext) -> None:
    async with run_server(ConnectionLimits(handshake_timeout=0.1), tls=tls) as server:
        client = await server.connect()
        client.writer.write(b"\x16\x03\x01")

        assert await client.wait_disconnected()


async def test_failed_tls_handshakes_release_their_slot(
    tls: ssl.SSLContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_server(ConnectionLimits(max_connections=2), tls=tls) as server:
        for _ in range(10):
            client = await server.connect()
            client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await client.wait_disconnected()

        assert await tls_scrape(server, tmp_path / "ca.pem") == 200
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


async def test_shutdown_aborts_handshakes(tls: ssl.SSLContext) -> None:
    async with run_server(tls=tls) as server:
        client = await server.connect()
        # A scrape without TLS fails, but shows that the server has accepted the connection before it.
        other_client = await server.connect()
        other_client.writer.write(b"no TLS")
        assert await other_client.wait_disconnected()

    assert await client.wait_disconnected()
