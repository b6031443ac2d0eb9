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

from insights_exporter.app.application import Application
from insights_exporter.commands import check
from insights_exporter.config import load
from insights_exporter.config.settings import UsernameMode
from insights_exporter.logging import JsonFormatter, Redactor
from insights_exporter.metrics import catalogue
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve, serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size
from tests.support.otlp_receiver import HttpReceiver, http_receiver

__all__ = [
    "PATHS",
    "PUSHES",
    "STATE",
    "ExporterEnvironment",
    "Surfaces",
    "check_output",
    "exporter_environment",
    "run_exporter",
    "surfaces_containing",
]

PATHS = ("/metrics", "/metrics?collect[]=insights", "/", "/config", "/-/healthy", "/-/ready", "/nothing")
STATE, PUSHES = "state file", "pushes"
REQUIRED_SERIES = (catalogue.TEMPLATE_UNIQUE_USERS.name, catalogue.APP_CONNECTION_LATENCY.name + "_bucket")
TIMEOUT = 60.0
WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)

Surfaces = dict[str, str]
"""What each surface shows."""


@dataclass
class ExporterEnvironment:
    """A deployment, a receiver of pushes, and a folder with the configuration for both."""

    deployment: SimulatedDeployment
    receiver: HttpReceiver
    config_dir: Path
    url: str
    metrics_url: str
    users: UsernameMode

    @property
    def config_file(self) -> Path:
        """The configuration's path."""
        return self.config_dir / "exporter.yaml"

    def write_config(self, extra: str = "") -> None:
        """Write the configuration."""
        self.config_file.write_text(
            f"coder: {{url: '{self.url}', token_file: token, retries: 0}}\n"
            f"privacy: {{users: {self.users}, hash_key_file: key}}\n"
            "insights: {windows: [7d], days: 2, weeks: 1}\n"
            "poll: {interval: 60, offset: 0, jitter: 0, deadline: 5}\n"
            f"agent_stats: {{source: coderd_metrics, metrics_url: '{self.metrics_url}/metrics', interval: 0.3, "
            "state_file: state}\n"
            f"otlp: {{enabled: true, endpoint: '{self.receiver.address}'}}\n"
            f"server: {{port: 0, enable_reload: true}}\nlog: {{level: debug}}\n{extra}"
        )

    def outputs(self) -> Surfaces:
        """Return what left the exporter by other ways than its port: the state file and decoded pushes."""
        # The protobuf's own text form has every field, each string in plain sight.
        pushes = "".join(map(str, self.receiver.requests))
        return {STATE: (self.config_dir / "state").read_text(), PUSHES: pushes}

    def has_sessions(self) -> bool:
        """Say whether a session is in the state file."""
        file = self.config_dir / "state"
        return file.exists() and bool(json.loads(file.read_text().splitlines()[1])["app_latency"])


@asynccontextmanager
async def exporter_environment(
    folder: Path, world: GeneratedWorld, users: UsernameMode, *, key: str = "k" * 32
) -> AsyncIterator[ExporterEnvironment]:
    """Serve the deployment and write its secrets.

    Its agents live through a workday, a minute of it whenever somebody looks, so that there is always news.
    """
    (folder / "token").write_text(DEMO_TOKEN)
    (folder / "key").write_text(key)
    size, minutes = Size(), count()
    deployment = demo_deployment(size, world=world)
    agent_deployment = demo_deployment(
        size, world=world, now=lambda: WORKDAY + timedelta(minutes=next(minutes))
    )
    async with (
        serve(deployment) as url,
        serve_metrics(agent_deployment) as metrics,
        http_receiver() as otlp_receiver,
    ):
        yield ExporterEnvironment(deployment, otlp_receiver, folder, url, metrics, users)


@contextmanager
def capture_log() -> Iterator[io.StringIO]:
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
async def run_exporter(
    environment: ExporterEnvironment,
) -> AsyncIterator[tuple[Application, Callable[..., Awaitable[str]]]]:
    """Run the exporter until sessions are served and kept, and yield it with what fetches a page."""
    application = Application(
        load(environment.config_file, {}), load=lambda: load(environment.config_file, {})
    )
    stop = asyncio.Event()
    task = asyncio.create_task(application.run(stop))
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(TIMEOUT):
                address = await application.address

            async def get(path: str, method: str = "GET") -> str:
                async with session.request(method, address + path) as response:
                    return f"{response.raw_headers!r}\n{await response.text()}"

            async with asyncio.timeout(TIMEOUT):
                while not (environment.has_sessions() and is_ready(await get("/metrics"))):
                    await asyncio.sleep(0.05)
            yield application, get
        finally:
            stop.set()
            await task


def is_ready(exposition: str) -> bool:
    """Say whether both of Coder's insights and of agent reports something is served."""
    return all(name in exposition for name in REQUIRED_SERIES)


async def check_output(file: Path) -> Surfaces:
    """Return what ``check`` says in both forms, once with the poll that it can make."""
    surfaces = {}
    for as_json in (False, True):
        with redirect_stdout(io.StringIO()) as stdout:
            await check(file, json=as_json, poll=as_json)
        surfaces["check --json" if as_json else "check"] = stdout.getvalue()
    return surfaces


def surfaces_containing(surfaces: Surfaces, words: list[str]) -> dict[str, list[str]]:
    """Return the words that each surface shows, where it shows any."""
    matches = {
        surface: [word for word in words if word.lower() in text.lower()]
        for surface, text in surfaces.items()
    }
    return {surface: words for surface, words in matches.items() if words}
