"""What the commands do."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from insights_exporter import check as checks
from insights_exporter import documentation, logs
from insights_exporter.application import Application
from insights_exporter.clock import SystemClock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config import load
from insights_exporter.errors import ConfigError
from insights_exporter.generation import may_name_people, redaction_of
from insights_exporter.interpreter import settle
from insights_exporter.poller import Poller
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    PollSettings,
    ServerSettings,
    Settings,
)
from insights_exporter.simulator.api.application import serve as serve_simulator
from insights_exporter.simulator.api.application import serve_metrics
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.postgres import report_tables
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import SilentTelemetry

__all__ = ["Crowd", "check", "demo", "docs", "run", "simulate"]


_DEMO_SAMPLING = 15.0
"""Seconds between samples of agent reports, short enough to see them arrive."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How large a made-up deployment is, and which of the many possible ones."""

    templates: int
    users: int
    seed: int

    def size(self) -> Size:
        """Return the size as the simulator wants it; raise ConfigError where nobody could live in it."""
        if self.templates < 1 or self.users < 1:
            raise ConfigError("--templates, --users: expected at least 1 of each, found less.")
        return Size(templates=self.templates, users=self.users)


async def run(config: Path | None, *, serve: bool = True) -> int:
    """Poll and serve until a signal comes."""
    settings = load(config, os.environ)
    _log(settings)
    application = Application(settings, load=lambda: load(config, os.environ), configured=_log, serve=serve)
    stop = asyncio.Event()
    application.listen_for_signals(stop)
    settle()
    await application.run(stop)
    return 0


async def check(config: Path | None, *, json: bool, poll: bool) -> int:
    """Write what is found; the worst finding is the exit code."""
    settings = load(config, os.environ)
    clock, found = SystemClock(), []
    async with CoderClient(settings.coder, clock=clock, quote=may_name_people(settings.privacy)) as client:

        async def snapshot() -> Snapshot:
            poller = Poller(
                client,
                settings,
                publish=_nowhere,
                clock=clock,
                random=Random(),
                telemetry=SilentTelemetry(),
            )
            return await poller.poll_once()

        async for finding in checks.findings(
            client,
            settings,
            clock=clock,
            redaction=redaction_of(settings.privacy),
            poll=snapshot if poll else None,
        ):
            found.append(finding)
            if not json:
                _say(checks.as_text(finding))
    if json:
        _say(checks.as_json(found))
    return int(checks.worst(found))


def _nowhere(_: Snapshot) -> Awaitable[None]:
    return asyncio.sleep(0)


async def demo(crowd: Crowd, options: argparse.Namespace) -> int:
    """Run the exporter against a simulated Coder until a signal comes."""
    async with AsyncExitStack() as stack:
        deployment = stage(crowd.size(), seed=crowd.seed)
        coder = await stack.enter_async_context(
            serve_simulator(deployment, host=options.host, port=options.coder_port)
        )
        metrics = await stack.enter_async_context(
            serve_metrics(deployment, host=options.host, port=options.metrics_port)
        )
        settings = Settings(
            coder=CoderSettings(url=coder, token=LiteralSecret(Secret(DEMO_TOKEN))),
            poll=PollSettings(interval=options.interval, offset=0, jitter=0, deadline=options.interval),
            agent_stats=AgentStatsSettings(
                source=AgentStatsSource.CODERD_METRICS,
                interval=min(_DEMO_SAMPLING, options.interval),
                metrics_url=f"{metrics}/metrics",
            ),
            server=ServerSettings(host=options.host, port=options.port),
        )
        _log(settings)
        application = Application(settings)
        stop = asyncio.Event()
        application.listen_for_signals(stop)
        running = asyncio.create_task(application.run(stop))
        waited: set[asyncio.Future[Any]] = {running, application.address}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            address = application.address.result()
            _say(f"Simulated Coder: {coder}")
            _say(f"Coder's metrics: {metrics}/metrics")
            _say(f"Session token:   {DEMO_TOKEN}")
            _say(f"Landing page:    {address}/")
            _say(f"Metrics:         {address}/metrics")
            _say("Stop with Ctrl-C.")
        await running
    return 0


async def simulate(crowd: Crowd, options: argparse.Namespace) -> int:
    """Run a simulated Coder until a signal comes."""
    deployment = stage(crowd.size(), seed=crowd.seed)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            serve_simulator(deployment, host=options.host, port=options.port)
        )
        metrics = await stack.enter_async_context(
            serve_metrics(deployment, host=options.host, port=options.metrics_port)
        )
        _say(f"Simulated Coder: {address}")
        _say(f"Coder's metrics: {metrics}/metrics")
        if options.postgres:
            counts = options.postgres_form == "session_counts"
            rows = await stack.enter_async_context(
                report_tables(options.postgres, deployment.world, counts=counts, now=deployment.now)
            )
            _say(f"Agent reports:   {rows} of the last day are in the database, and more follow.")
        _say(f"Session token:   {DEMO_TOKEN}")
        stop = asyncio.Event()
        for one in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(one, stop.set)
        _say("Stop with Ctrl-C.")
        await stop.wait()
    return 0


def docs(folder: Path, *, check: bool) -> int:
    """Write the generated pages, or say which differ."""
    differing = documentation.differing(folder) if check else documentation.write(folder)
    for file in differing:
        _say(f"{file} {'differs from the code; run insights-exporter docs' if check else 'was written'}.")
    return 1 if check and differing else 0


def _log(settings: Settings) -> None:
    logs.configure(settings.log, redact=logs.Redactor(logs.secrets_of(settings)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
