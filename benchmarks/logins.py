"""How long a wrong password takes, beside an unknown user and a login that was right before."""

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

from benchmarks.table import Table
from insights_exporter.clock import SystemClock
from insights_exporter.server import Listening
from insights_exporter.settings import ServerSettings
from insights_exporter.telemetry import SilentTelemetry
from insights_exporter.web import WebSource, middlewares

__all__ = ["logins"]

_USER, _PASSWORD, _COST, _ROUNDS = "ada", "correct horse", 10, 40
_KINDS = (
    "a wrong password",
    "an unknown user",
    "a right password, the first time",
    "a right one, remembered",
)
_NOTE = f"""\
Over a real connection, in turns, with a bcrypt cost of {_COST}. Wrong passwords differ each time, so that
nothing that is remembered helps. The bar is a ratio of wrong password to unknown user between 0.9 and 1.1;
who measures it could otherwise tell which users there are."""


@dataclass(slots=True)
class _Patient(SystemClock):
    """A clock on which so much time passes that attempts never run out."""

    _seconds: Iterator[int] = field(default_factory=count)

    def monotonic(self) -> float:
        """Return a second more each time."""
        return float(next(self._seconds))


def logins() -> Table:
    """Compare logins of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(_measured(Path(folder, "web.yml")))
    unknown = times[_KINDS[1]]
    rows = [(kind, f"{1000 * times[kind]:.1f} ms", f"{times[kind] / unknown:.2f}") for kind in _KINDS]
    return Table("Logins", ("login", "median", "to an unknown user"), rows, _NOTE)


def _told(file: Path) -> None:
    """Write the login under a new hash, of which nothing is remembered."""
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(_COST)).decode()
    file.write_text(f"basic_auth_users:\n  {_USER}: {hashed}\n")


async def _answer(_: web.Request) -> web.Response:
    return web.Response(text="in\n")


async def _measured(file: Path) -> dict[str, float]:
    _told(file)
    clock = _Patient()
    source = WebSource(file, telemetry=SilentTelemetry(), clock=clock)
    app = web.Application(middlewares=middlewares(ServerSettings(), source=source, clock=clock))
    app.add_routes([web.get("/metrics", _answer)])
    times: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    async with Listening(app, host="127.0.0.1", port=0, tls=None) as site, aiohttp.ClientSession() as session:
        for number in range(_ROUNDS):
            _told(file)
            tries = ((_USER, f"no {number}"), (f"eve{number}", f"no {number}"), *[(_USER, _PASSWORD)] * 2)
            for kind, (name, password) in zip(_KINDS, tries, strict=True):
                headers = {"Authorization": aiohttp.encode_basic_auth(name, password)}
                began = time.perf_counter()
                async with session.get(f"{site.address}/metrics", headers=headers) as answer:
                    await answer.read()
                times[kind].append(time.perf_counter() - began)
                if (answer.status == 200) != (password == _PASSWORD):
                    raise RuntimeError(f"Expected no such answer to {kind}: {answer.status}.")
    return {kind: statistics.median(taken) for kind, taken in times.items()}
