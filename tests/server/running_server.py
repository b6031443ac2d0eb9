"""A running server with a fake context, and raw TCP clients."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession

from insights_exporter.server import AppContext, ConnectionLimits, HttpServer, create_app
from tests.server.fakes import FakeExposition, fake_context
from tests.support.recording_telemetry import RecordingTelemetry

__all__ = ["RawClient", "RunningServer", "run_server"]


@dataclass
class RawClient:
    """A TCP connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def exchange(self, request: bytes) -> bytes:
        """Send bytes and return everything up to the end of the connection."""
        self.writer.write(request)
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def wait_disconnected(self) -> bool:
        """Wait until the server closes or aborts the connection."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(2**20):
                    pass
            except ConnectionError:
                return True
        return self.reader.at_eof()


@dataclass
class RunningServer:
    """A server and its clients."""

    url: str
    context: AppContext
    clients: list[RawClient] = field(default_factory=list)

    async def connect(self) -> RawClient:
        """Open a connection."""
        host, _, port = self.url.partition("://")[2].rpartition(":")
        client = RawClient(*await asyncio.open_connection(host, int(port)))
        self.clients.append(client)
        return client

    async def scrape(self) -> int:
        """Scrape over a new connection and return the status."""
        async with ClientSession() as session, session.get(self.url + "/metrics") as response:
            await response.read()
            return response.status


@asynccontextmanager
async def run_server(
    limits: ConnectionLimits | None = None,
    exposition: FakeExposition | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RunningServer]:
    """Run a server with a fake context."""
    servers: list[RunningServer] = []
    app = create_app(lambda: servers[0].context)
    async with HttpServer(app, host="127.0.0.1", port=0, limits=limits, tls=tls) as running:
        server = RunningServer(
            running.url, fake_context(exposition or FakeExposition(), RecordingTelemetry())
        )
        servers.append(server)
        yield server
        for client in server.clients:
            client.writer.close()
