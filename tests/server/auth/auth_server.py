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

from insights_exporter.config.settings import ServerSettings
from insights_exporter.server import HttpServer
from insights_exporter.server.auth import AuthState, WebConfigReloader, create_middlewares, reloading_context
from insights_exporter.telemetry import NullTelemetry
from tests.support.clock import FakeClock

ROUTES = ("/", "/metrics", "/config", "/-/healthy", "/-/ready")


def bcrypt_hash(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


@dataclass
class ReloadRecorder(NullTelemetry):
    """Remembers whether files could be read anew."""

    results: list[bool] = field(default_factory=list)

    def config_reloaded(self, *, success: bool, at: datetime) -> None:
        """Note a reading."""
        assert at.tzinfo is not None
        self.results.append(success)


@dataclass
class AuthServer:
    """What tests look at."""

    url: str
    config_reloader: WebConfigReloader | None
    reload_recorder: ReloadRecorder
    clock: FakeClock


@asynccontextmanager
async def auth_server(
    web_config_file: Path | None = None,
    settings: ServerSettings | None = None,
    *,
    auth_state: AuthState | None = None,
) -> AsyncIterator[AuthServer]:
    """Serve one word at each path, behind the file and the settings."""
    clock, reload_recorder = FakeClock(), ReloadRecorder()
    config_reloader = (
        WebConfigReloader(web_config_file, telemetry=reload_recorder, clock=clock)
        if web_config_file is not None
        else None
    )
    middleware_chain = create_middlewares(
        settings or ServerSettings(), config_reloader=config_reloader, clock=clock, auth_state=auth_state
    )
    app = web.Application(middlewares=middleware_chain)
    app.add_routes([web.get(path, protected_handler) for path in ROUTES])
    app.add_routes([web.post("/-/reload", protected_handler)])
    tls = (
        reloading_context(config_reloader.context)
        if config_reloader is not None and config_reloader.uses_tls
        else None
    )
    async with HttpServer(app, host="127.0.0.1", port=0, tls=tls) as http_server:
        yield AuthServer(http_server.url, config_reloader, reload_recorder, clock)


async def protected_handler(_: web.Request) -> web.Response:
    return web.Response(text="inside 1\n")


async def curl(*arguments: str) -> tuple[int, str]:
    """Return the status that curl saw, 0 where there was none, and the body."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", "-w", "%{http_code}", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    return int(out[-3:]), out[:-3].decode()
