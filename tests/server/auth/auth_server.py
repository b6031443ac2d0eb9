"""A small application behind the middlewares of authentication."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
from aiohttp import ClientSession, encode_basic_auth, web

from insights_exporter.config.settings import ServerSettings
from insights_exporter.server import HttpServer
from insights_exporter.server.auth import AuthState, WebConfigReloader, create_middlewares, reloading_context
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

PASSWORD = "correct horse"
ROUTES = ("/", "/metrics", "/config", "/-/healthy", "/-/ready")


def bcrypt_hash(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def write_web_config(folder: Path, *, password: str = PASSWORD, cost: int = 4, extra: str = "") -> Path:
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users:\n  ada: {bcrypt_hash(password, cost)}\n{extra}")
    return file


def basic_auth(name: str, password: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(name, password)}


def bearer_auth(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


VALID_LOGIN = basic_auth("ada", PASSWORD)


async def get_status(address: str, *, headers: dict[str, str] | None = None) -> int:
    async with ClientSession() as session, session.get(address, headers=headers) as response:
        return response.status


@dataclass
class AuthServer:
    """A running server."""

    url: str
    config_reloader: WebConfigReloader | None
    telemetry: RecordingTelemetry
    clock: FakeClock


@asynccontextmanager
async def auth_server(
    web_config_file: Path | None = None,
    settings: ServerSettings | None = None,
    *,
    auth_state: AuthState | None = None,
) -> AsyncIterator[AuthServer]:
    """Serve one word at each path, protected by the file and the settings."""
    clock, telemetry = FakeClock(), RecordingTelemetry()
    config_reloader = (
        WebConfigReloader(web_config_file, telemetry=telemetry, clock=clock)
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
        yield AuthServer(http_server.url, config_reloader, telemetry, clock)


async def protected_handler(_: web.Request) -> web.Response:
    return web.Response(text="inside 1\n")


async def curl(*arguments: str) -> tuple[int, str]:
    """Run curl; return the status, 0 without a response, and the body."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", "-w", "%{http_code}", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    return int(out[-3:]), out[:-3].decode()
