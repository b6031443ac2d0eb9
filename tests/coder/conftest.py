"""A scripted server in place of Coder, and a client that talks to it."""

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
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secrets import LiteralSecret, Secret
from tests.support.clock import FakeClock

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class RecordingObserver:
    """An observer that remembers."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    retries: list[tuple[str, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Remember how a request ended."""
        assert seconds >= 0
        self.requests.append((endpoint, code))

    def request_retried(self, endpoint: str, reason: str) -> None:
        """Remember why a request was repeated."""
        self.retries.append((endpoint, reason))

    def rate_limit_waited(self, seconds: float) -> None:
        """Remember a wait."""
        self.waits.append(seconds)

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Remember what was lost."""
        self.dropped.append((endpoint, count, example))

    def version_changed(self, version: str) -> None:
        """Remember a version."""
        self.versions.append(version)


@dataclass
class FakeCoder:
    """Answers each path below /api/v2 with the next handler of its script; the last one stays."""

    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""

    def set_handlers(self, path: str, *handlers: Handler) -> None:
        """Set the script of a path."""
        self.handlers[path] = list(handlers)

    def requested_paths(self) -> list[str]:
        """Return the paths and queries that were asked for."""
        return [str(request.rel_url).removeprefix("/api/v2") for request in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.requests.append(request)
        await request.read()
        script = self.handlers.get(request.path.removeprefix("/api/v2"))
        if not script:
            return web.json_response({"message": "Route not found."}, status=404)
        handler = script.pop(0) if len(script) > 1 else script[0]
        return await handler(request)


def respond_with(
    body: object, status: int = 200, headers: dict[str, str] | None = None, content_type: str = ""
) -> Handler:
    """Return a handler with a fixed answer; text goes as it is, anything else as JSON."""

    async def handle(request: web.Request) -> web.StreamResponse:
        payload = body.encode() if isinstance(body, str) else body
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        mime_type = content_type or "application/json"
        return web.Response(
            body=payload, status=status, headers={"Content-Type": mime_type} | (headers or {})
        )

    return handle


@pytest.fixture
async def coder() -> AsyncIterator[FakeCoder]:
    """Return a server that knows no route until a test teaches it some."""
    script = FakeCoder()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        script.url = str(server.make_url("/")).rstrip("/")
        yield script


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that sleeps in no time."""
    return FakeClock()


@pytest.fixture
def events() -> RecordingObserver:
    """Return an observer that remembers."""
    return RecordingObserver()


ConnectClient: TypeAlias = Callable[..., Awaitable[CoderClient]]


@pytest.fixture
async def connect(
    coder: FakeCoder, clock: FakeClock, events: RecordingObserver
) -> AsyncIterator[ConnectClient]:
    """Return what makes a client of the server, with settings to taste."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> CoderClient:
            chosen: dict[str, Any] = {"url": coder.url, "token": LiteralSecret(Secret(TOKEN))} | settings
            client = CoderClient(CoderSettings(**chosen), clock=clock, rng=random.Random(1), observer=events)
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def client(connect: ConnectClient) -> CoderClient:
    """Return a client with default settings."""
    return await connect()
