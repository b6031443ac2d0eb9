"""An exporter in this process with all outputs enabled, and the content of each output."""

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
from insights_exporter.config.loading import load
from insights_exporter.config.settings import LogFormat, UsernameMode
from insights_exporter.logging import Redactor, create_formatter
from insights_exporter.metrics import catalogue
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve, serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size
from tests.support.otlp_receiver import HttpReceiver, http_receiver
from tests.support.waiting import wait_until

__all__ = [
    "PUSHES",
    "STATE",
    "ExporterEnvironment",
    "Surfaces",
    "check_output",
    "exporter_environment",
    "run_exporter",
    "surfaces_containing",
]

STATE, PUSHES = "state file", "pushes"
REQUIRED_SERIES = (catalogue.TEMPLATE_UNIQUE_USERS.name, catalogue.APP_CONNECTION_LATENCY.name + "_bucket")
TIMEOUT = 60.0
WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)

Surfaces = dict[str, str]
"""Content of each output by its name."""


@dataclass
class ExporterEnvironment:
    """A simulated deployment, an OTLP receiver, and a directory with the configuration for both."""

    deployment: SimulatedDeployment
    receiver: HttpReceiver
    config_dir: Path
    url: str
    metrics_url: str
    users: UsernameMode

    @property
    def config_file(self) -> Path:
        """Path of the configuration file."""
        return self.config_dir / "exporter.yaml"

    def write_config(self, extra: str = "") -> None:
        """Write the configuration file."""
        self.config_file.write_text(
            f"coder: {{url: '{self.url}', token_file: token, retries: 0}}\n"
            f"privacy: {{users: {self.users}, hash_key_file: key}}\n"
            "insights: {windows: [7d], days: 2, weeks: 1}\n"
            "poll: {interval: 60, offset: 0, jitter: 0, deadline: 5}\n"
            f"agent_stats: {{source: coderd_metrics, metrics_url: '{self.metrics_url}/metrics', "
            "interval: 0.3, state_file: state}\n"
            f"otlp: {{enabled: true, endpoint: '{self.receiver.address}'}}\n"
            f"server: {{port: 0, enable_reload: true}}\nlog: {{level: debug}}\n{extra}"
        )

    def outputs(self) -> Surfaces:
        """Return the state file and the decoded OTLP exports."""
        # The text format of protobuf shows every field and every string.
        pushes = "".join(map(str, self.receiver.requests))
        return {STATE: (self.config_dir / "state").read_text(), PUSHES: pushes}

    def has_sessions(self) -> bool:
        """Return whether the state file contains a session."""
        file = self.config_dir / "state"
        return file.exists() and bool(json.loads(file.read_text().splitlines()[1])["app_latency"])


@asynccontextmanager
async def exporter_environment(
    folder: Path, world: GeneratedWorld, users: UsernameMode, *, key: str = "k" * 32
) -> AsyncIterator[ExporterEnvironment]:
    """Run the deployment and write the secrets.

    The agents' clock advances one minute of a workday per request, so each scrape contains new values.
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
    """Capture all log events with all keys."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(create_formatter(LogFormat.JSON, Redactor()))
    package = logging.getLogger("insights_exporter")
    level = package.level
    logging.getLogger().addHandler(handler)
    package.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        package.setLevel(level)
        logging.getLogger().removeHandler(handler)


@asynccontextmanager
async def run_exporter(
    environment: ExporterEnvironment,
) -> AsyncIterator[tuple[Application, Callable[..., Awaitable[str]]]]:
    """Run the exporter; yield it with a function that requests a path, once sessions are exported."""
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

            async def is_exported() -> bool:
                return environment.has_sessions() and is_ready(await get("/metrics"))

            await wait_until(is_exported, timeout=TIMEOUT)
            yield application, get
        finally:
            stop.set()
            await task


def is_ready(exposition: str) -> bool:
    """Return whether an exposition contains insights and agent statistics."""
    return all(name in exposition for name in REQUIRED_SERIES)


async def check_output(file: Path) -> Surfaces:
    """Return the output of ``check`` as text, and as JSON with a poll."""
    surfaces = {}
    for as_json in (False, True):
        with redirect_stdout(io.StringIO()) as stdout:
            await check(file, json=as_json, poll=as_json)
        surfaces["check --json" if as_json else "check"] = stdout.getvalue()
    return surfaces


def surfaces_containing(surfaces: Surfaces, words: list[str]) -> dict[str, list[str]]:
    """Return the words that each surface contains, for surfaces that contain any."""
    matches = {
        surface: [word for word in words if word.lower() in text.lower()]
        for surface, text in surfaces.items()
    }
    return {surface: words for surface, words in matches.items() if words}
