"""An exporter in this process with every way out of it open, and all that is to be seen of it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import aiohttp

from insights_exporter.application import Application
from insights_exporter.commands import check
from insights_exporter.config import load
from insights_exporter.logs import JsonFormatter, Redactor
from insights_exporter.metrics import catalogue
from insights_exporter.settings import UserNames
from insights_exporter.simulator.api.application import serve, serve_metrics
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.generated import GeneratedWorld, Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from tests.support.otlp import Receiver, receiver

__all__ = ["PAGES", "PUSHES", "STATE", "Found", "Place", "checked", "place", "running", "where"]

PAGES = ("/metrics", "/metrics?collect[]=insights", "/", "/config", "/-/healthy", "/-/ready", "/nothing")
STATE, PUSHES = "state file", "pushes"
READY = (catalogue.TEMPLATE_UNIQUE_USERS.name, catalogue.APP_CONNECTION_LATENCY.name + "_bucket")
WAIT = 60.0
WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)

Found = dict[str, str]
"""What each surface shows."""


@dataclass
class Place:
    """A deployment, a receiver of pushes, and a folder with the configuration for both."""

    coder: SimulatedDeployment
    receiver: Receiver
    folder: Path
    url: str
    metrics: str
    users: UserNames

    @property
    def file(self) -> Path:
        """The configuration's path."""
        return self.folder / "exporter.yaml"

    def tell(self, more: str = "") -> None:
        """Write the configuration."""
        self.file.write_text(
            f"coder: {{url: '{self.url}', token_file: token, retries: 0}}\n"
            f"privacy: {{users: {self.users}, hash_key_file: key}}\n"
            "insights: {windows: [7d], days: 2, weeks: 1}\n"
            "poll: {interval: 60, offset: 0, jitter: 0, deadline: 5}\n"
            f"agent_stats: {{source: coderd_metrics, metrics_url: '{self.metrics}/metrics', interval: 0.3, "
            "state_file: state}\n"
            f"otlp: {{enabled: true, endpoint: '{self.receiver.address}'}}\n"
            f"server: {{port: 0, enable_reload: true}}\nlog: {{level: debug}}\n{more}"
        )

    def written(self) -> Found:
        """Return what left the exporter by other ways than its port: the state file and decoded pushes."""
        # The protobuf's own text form has every field, each string in plain sight.
        pushes = "".join(map(str, self.receiver.requests))
        return {STATE: (self.folder / "state").read_text(), PUSHES: pushes}

    def has_counted(self) -> bool:
        """Say whether a session is in the state file."""
        file = self.folder / "state"
        return file.exists() and bool(json.loads(file.read_text().splitlines()[1])["app_latency"])


@asynccontextmanager
async def place(
    folder: Path, world: GeneratedWorld, users: UserNames, *, key: str = "k" * 32
) -> AsyncIterator[Place]:
    """Serve the deployment and write its secrets.

    Its agents live through a workday, a minute of it whenever somebody looks, so that there is always news.
    """
    (folder / "token").write_text(DEMO_TOKEN)
    (folder / "key").write_text(key)
    size, minutes = Size(), count()
    coder = stage(size, world=world)
    agents = stage(size, world=world, now=lambda: WORKDAY + timedelta(minutes=next(minutes)))
    async with serve(coder) as url, serve_metrics(agents) as metrics, receiver() as pushed:
        yield Place(coder, pushed, folder, url, metrics, users)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Keep all that is logged, each detail of it."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonFormatter(Redactor()))
    logging.getLogger().addHandler(handler)
    logging.getLogger("insights_exporter").setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(handler)


@asynccontextmanager
async def running(one: Place) -> AsyncIterator[tuple[Application, Callable[..., Awaitable[str]]]]:
    """Run the exporter until sessions are served and kept, and yield it with what fetches a page."""
    application = Application(load(one.file, {}), load=lambda: load(one.file, {}))
    stop = asyncio.Event()
    task = asyncio.create_task(application.run(stop))
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address

            async def get(path: str, method: str = "GET") -> str:
                async with session.request(method, address + path) as answer:
                    return f"{answer.raw_headers!r}\n{await answer.text()}"

            async with asyncio.timeout(WAIT):
                while not (one.has_counted() and is_ready(await get("/metrics"))):  # noqa: ASYNC110 - HTTP.
                    await asyncio.sleep(0.05)
            yield application, get
        finally:
            stop.set()
            await task


def is_ready(page: str) -> bool:
    """Say whether both of Coder's insights and of agent reports something is served."""
    return all(name in page for name in READY)


async def checked(file: Path) -> Found:
    """Return what ``check`` says in both forms, once with the poll that it can make."""
    found = {}
    for as_json in (False, True):
        with redirect_stdout(io.StringIO()) as printed:
            await check(file, json=as_json, poll=as_json)
        found["check --json" if as_json else "check"] = printed.getvalue()
    return found


def where(found: Found, words: list[str]) -> dict[str, list[str]]:
    """Return the words that each surface shows, where it shows any."""
    seen = {
        surface: [word for word in words if word.lower() in text.lower()] for surface, text in found.items()
    }
    return {surface: words for surface, words in seen.items() if words}
