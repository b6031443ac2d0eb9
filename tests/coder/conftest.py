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
from insights_exporter.secret import LiteralSecret, Secret
from tests.support.clock import FakeClock

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Events:
    """An observer that remembers."""

    finished: list[tuple[str, str]] = field(default_factory=list)
    retries: list[tuple[str, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Remember how a request ended."""
        assert seconds >= 0
        self.finished.append((endpoint, code))

    def retried(self, endpoint: str, reason: str) -> None:
        """Remember why a request was repeated."""
        self.retries.append((endpoint, reason))

    def rate_limit_waited(self, seconds: float) -> None:
        """Remember a wait."""
        self.waits.append(seconds)

    def rows_dropped(self, endpoint: str, count: int, example: str) -> None:
        """Remember what was lost."""
        self.dropped.append((endpoint, count, example))

    def version_seen(self, version: str) -> None:
        """Remember a version."""
        self.versions.append(version)


@dataclass
class Coder:
    """Answers each path below /api/v2 with the next handler of its script; the last one stays."""

    scripts: dict[str, list[Handler]] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""

    def on(self, path: str, *handlers: Handler) -> None:
        """Set the script of a path."""
        self.scripts[path] = list(handlers)

    def paths(self) -> list[str]:
        """Return the paths and queries that were asked for."""
        return [str(request.rel_url).removeprefix("/api/v2") for request in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.requests.append(request)
        await request.read()
        script = self.scripts.get(request.path.removeprefix("/api/v2"))
        if not script:
            return web.json_response({"message": "Route not found."}, status=404)
        handler = script.pop(0) if len(script) > 1 else script[0]
        return await handler(request)


def answering(
    body: object, status: int = 200, headers: dict[str, str] | None = None, content_type: str = ""
) -> Handler:
    """Return a handler with a fixed answer; text goes as it is, anything else as JSON."""

    async def handle(request: web.Request) -> web.StreamResponse:
        raw = body.encode() if isinstance(body, str) else body
        if not isinstance(raw, bytes):
            raw = json.dumps(raw).encode()
        kind = content_type or "application/json"
        return web.Response(body=raw, status=status, headers={"Content-Type": kind} | (headers or {}))

    return handle


@pytest.fixture
async def coder() -> AsyncIterator[Coder]:
    """Return a server that knows no route until a test teaches it some."""
    script = Coder()
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
def events() -> Events:
    """Return an observer that remembers."""
    return Events()


Connect: TypeAlias = Callable[..., Awaitable[CoderClient]]


@pytest.fixture
async def connect(coder: Coder, clock: FakeClock, events: Events) -> AsyncIterator[Connect]:
    """Return what makes a client of the server, with settings to taste."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> CoderClient:
            chosen: dict[str, Any] = {"url": coder.url, "token": LiteralSecret(Secret(TOKEN))} | settings
            client = CoderClient(CoderSettings(**chosen), clock=clock, rng=random.Random(1), observer=events)
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def client(connect: Connect) -> CoderClient:
    """Return a client with default settings."""
    return await connect()
