"""A small site behind the door that the tests knock at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import bcrypt
from aiohttp import web

from insights_exporter.server import Listening
from insights_exporter.settings import ServerSettings
from insights_exporter.telemetry import SilentTelemetry
from insights_exporter.web import Visitors, WebSource, middlewares, reloading_context
from tests.support.clock import FakeClock

PATHS = ("/", "/metrics", "/config", "/-/healthy", "/-/ready")


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


@dataclass
class Reloads(SilentTelemetry):
    """Remembers whether files could be read anew."""

    results: list[bool] = field(default_factory=list)

    def reloaded(self, *, success: bool, at: datetime) -> None:
        """Note a reading."""
        assert at.tzinfo is not None
        self.results.append(success)


@dataclass
class Door:
    """What tests look at."""

    address: str
    source: WebSource | None
    reloads: Reloads
    clock: FakeClock


@asynccontextmanager
async def door(
    file: Path | None = None, settings: ServerSettings | None = None, *, visitors: Visitors | None = None
) -> AsyncIterator[Door]:
    """Serve one word at each path, behind the file and the settings."""
    clock, reloads = FakeClock(), Reloads()
    source = WebSource(file, telemetry=reloads, clock=clock) if file is not None else None
    gate = middlewares(settings or ServerSettings(), source=source, clock=clock, visitors=visitors)
    app = web.Application(middlewares=gate)
    app.add_routes([web.get(path, answer) for path in PATHS])
    app.add_routes([web.post("/-/reload", answer)])
    tls = reloading_context(source.context) if source is not None and source.encrypted else None
    async with Listening(app, host="127.0.0.1", port=0, tls=tls) as listening:
        yield Door(listening.address, source, reloads, clock)


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="inside 1\n")


async def curl(*arguments: str) -> tuple[int, str]:
    """Return the status that curl saw, 0 where there was none, and the body."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", "-w", "%{http_code}", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    return int(out[-3:]), out[:-3].decode()
