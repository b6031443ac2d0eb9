"""Duration of rejected and accepted logins."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp
import bcrypt
from aiohttp import web

from benchmarks.result_table import ResultTable
from insights_exporter.clock import SystemClock
from insights_exporter.config.settings import ServerSettings
from insights_exporter.server import HttpServer
from insights_exporter.server.auth import WebConfigReloader, create_middlewares
from insights_exporter.telemetry import Telemetry

__all__ = ["logins"]

_USER, _PASSWORD, _BCRYPT_COST, _ROUNDS = "ada", "correct horse", 10, 40
_LOGIN_CASES = (
    "a wrong password",
    "an unknown user",
    "a correct password, first login",
    "a correct password, cached",
)
_NOTE = f"""\
Over a real connection, in turns, with a bcrypt cost of {_BCRYPT_COST}. Wrong passwords differ each time, so
that no cache helps. The bar is a ratio of wrong password to unknown user between 0.9 and 1.1; a larger
difference would reveal which users exist."""


@dataclass(slots=True)
class _FastClock(SystemClock):
    """A clock that advances a second per call, so that the rate limit never applies."""

    _seconds: Iterator[int] = field(default_factory=count)

    def monotonic(self) -> float:
        """Return the next second."""
        return float(next(self._seconds))


def logins() -> ResultTable:
    """Measure each kind of login."""
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(_measure(Path(folder, "web.yml")))
    unknown = times[_LOGIN_CASES[1]]
    rows = [(case, f"{1000 * times[case]:.1f} ms", f"{times[case] / unknown:.2f}") for case in _LOGIN_CASES]
    return ResultTable("Logins", ("login", "median", "to an unknown user"), rows, _NOTE)


def _write_web_config(file: Path) -> None:
    """Write the login with a new hash, which empties the cache."""
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(_BCRYPT_COST)).decode()
    file.write_text(f"basic_auth_users:\n  {_USER}: {hashed}\n")


async def _metrics_handler(_: web.Request) -> web.Response:
    return web.Response(text="in\n")


async def _measure(file: Path) -> dict[str, float]:
    _write_web_config(file)
    clock = _FastClock()
    source = WebConfigReloader(file, telemetry=Telemetry(), clock=clock)
    app = web.Application(
        middlewares=create_middlewares(ServerSettings(), config_reloader=source, clock=clock)
    )
    app.add_routes([web.get("/metrics", _metrics_handler)])
    times: dict[str, list[float]] = {case: [] for case in _LOGIN_CASES}
    async with (
        HttpServer(app, host="127.0.0.1", port=0, tls=None) as site,
        aiohttp.ClientSession() as session,
    ):
        for number in range(_ROUNDS):
            _write_web_config(file)
            credentials = (
                (_USER, f"no {number}"),
                (f"eve{number}", f"no {number}"),
                *[(_USER, _PASSWORD)] * 2,
            )
            for case, (name, password) in zip(_LOGIN_CASES, credentials, strict=True):
                headers = {"Authorization": aiohttp.encode_basic_auth(name, password)}
                started = time.perf_counter()
                async with session.get(f"{site.url}/metrics", headers=headers) as response:
                    await response.read()
                times[case].append(time.perf_counter() - started)
                if (response.status == 200) != (password == _PASSWORD):
                    raise RuntimeError(f"Expected no such answer to {case}: {response.status}.")
    return {case: statistics.median(durations) for case, durations in times.items()}
