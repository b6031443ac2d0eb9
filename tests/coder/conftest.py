"""A scripted HTTP server in place of Coder, and a client of it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import CoderSettings
from insights_exporter.secrets import LiteralSecret, Secret
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"
HTML = "\n<!DOCTYPE html><html><body>Please sign in</body></html>"
DATE = "Wed, 14 Jan 2026 10:20:00 GMT"
"""The start of `FakeClock`."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeCoder:
    """Responds to each path below /api/v2 with the next handler of its script; the last handler repeats."""

    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""

    def set_handlers(self, path: str, *handlers: Handler) -> None:
        """Set the handlers of a path."""
        self.handlers[path] = list(handlers)

    def requested_paths(self) -> list[str]:
        """Return paths and queries of all requests."""
        return [str(request.rel_url).removeprefix("/api/v2") for request in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Respond to one request."""
        self.requests.append(request)
        await request.read()
        script = self.handlers.get(request.path.removeprefix("/api/v2"))
        if not script:
            return web.json_response({"message": "Route not found."}, status=404)
        handler = script.pop(0) if len(script) > 1 else script[0]
        response = await handler(request)
        response.headers.setdefault("Date", DATE)
        return response


def respond_with(
    body: object, status: int = 200, headers: dict[str, str] | None = None, content_type: str = ""
) -> Handler:
    """Return a handler with a fixed response; other bodies than str and bytes are encoded as JSON."""

    async def handle(request: web.Request) -> web.StreamResponse:
        payload = body.encode() if isinstance(body, str) else body
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        mime_type = content_type or "application/json"
        return web.Response(
            body=payload, status=status, headers={"Content-Type": mime_type} | (headers or {})
        )

    return handle


def respond_and_disconnect(body: bytes) -> Handler:
    """Return a handler that announces more than it sends, then aborts the connection."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "999"})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.abort()
        return response

    return handle


@pytest.fixture
async def coder() -> AsyncIterator[FakeCoder]:
    """Return a server without routes; tests add handlers."""
    script = FakeCoder()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        script.url = str(server.make_url("/")).rstrip("/")
        yield script


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock whose sleeps return at once."""
    return FakeClock()


@pytest.fixture
def telemetry() -> RecordingTelemetry:
    """Return an telemetry that remembers."""
    return RecordingTelemetry()


ConnectClient: TypeAlias = Callable[..., Awaitable[CoderClient]]


@pytest.fixture
async def connect(
    coder: FakeCoder, clock: FakeClock, telemetry: RecordingTelemetry
) -> AsyncIterator[ConnectClient]:
    """Return a factory of clients of the server, with overrides of settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> CoderClient:
            chosen: dict[str, Any] = {"url": coder.url, "token": LiteralSecret(Secret(TOKEN))} | settings
            client = CoderClient(
                CoderSettings(**chosen), clock=clock, rng=random.Random(1), telemetry=telemetry
            )
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def client(connect: ConnectClient) -> CoderClient:
    """Return a client with default settings."""
    return await connect()
