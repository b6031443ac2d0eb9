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
from insights_exporter import logging as exporter_logging
from insights_exporter.app.application import Application
from insights_exporter.app.poller import Poller
from insights_exporter.app.runtime import load_username_policy, shows_usernames
from insights_exporter.clock import SystemClock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config import load
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    PollSettings,
    ServerSettings,
    Settings,
)
from insights_exporter.errors import ConfigError
from insights_exporter.interpreter_tuning import tune_gc_and_gil
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.http_server import serve as serve_simulator
from insights_exporter.simulator.api.http_server import serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.postgres import populate_database
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import NullTelemetry

__all__ = ["DemoSize", "check", "demo", "run", "simulate"]


_DEMO_SCRAPE_INTERVAL = 15.0
"""Seconds between samples of agent reports, short enough to see them arrive."""


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How large a made-up deployment is, and which of the many possible ones."""

    templates: int
    users: int
    seed: int

    def to_simulator_size(self) -> Size:
        """Return the size as the simulator wants it; raise ConfigError where nobody could live in it."""
        if self.templates < 1 or self.users < 1:
            raise ConfigError("--templates, --users: expected at least 1 of each, found less.")
        return Size(templates=self.templates, users=self.users)


async def run(config: Path | None, *, serve_http: bool = True) -> int:
    """Poll and serve until a signal comes."""
    settings = load(config, os.environ)
    _configure_logging(settings)
    application = Application(
        settings, load=lambda: load(config, os.environ), on_reload=_configure_logging, serve_http=serve_http
    )
    stop = asyncio.Event()
    application.install_signal_handlers(stop)
    tune_gc_and_gil()
    await application.run(stop)
    return 0


async def check(config: Path | None, *, json: bool, poll: bool) -> int:
    """Write what is found; the worst finding is the exit code."""
    settings = load(config, os.environ)
    clock, findings = SystemClock(), []
    async with CoderClient(
        settings.coder, clock=clock, include_server_text=shows_usernames(settings.privacy)
    ) as client:

        async def snapshot() -> Snapshot:
            poller = Poller(
                client,
                settings,
                publish=_discard,
                clock=clock,
                random=Random(),
                telemetry=NullTelemetry(),
            )
            return await poller.poll_once()

        async for finding in checks.run_checks(
            client,
            settings,
            clock=clock,
            username_policy=load_username_policy(settings.privacy),
            poll=snapshot if poll else None,
        ):
            findings.append(finding)
            if not json:
                _print_line(checks.format_text(finding))
    if json:
        _print_line(checks.format_json(findings))
    return int(checks.worst(findings))


def _discard(_: Snapshot) -> Awaitable[None]:
    return asyncio.sleep(0)


async def demo(size: DemoSize, options: argparse.Namespace) -> int:
    """Run the exporter against a simulated Coder until a signal comes."""
    async with AsyncExitStack() as stack:
        deployment = demo_deployment(size.to_simulator_size(), seed=size.seed)
        coder_url = await stack.enter_async_context(
            serve_simulator(deployment, host=options.host, port=options.coder_port)
        )
        metrics_url = await stack.enter_async_context(
            serve_metrics(deployment, host=options.host, port=options.metrics_port)
        )
        settings = Settings(
            coder=CoderSettings(url=coder_url, token=LiteralSecret(Secret(DEMO_TOKEN))),
            poll=PollSettings(interval=options.interval, offset=0, jitter=0, deadline=options.interval),
            agent_stats=AgentStatsSettings(
                source=AgentStatsSource.CODERD_METRICS,
                interval=min(_DEMO_SCRAPE_INTERVAL, options.interval),
                metrics_url=f"{metrics_url}/metrics",
            ),
            server=ServerSettings(host=options.host, port=options.port),
        )
        _configure_logging(settings)
        application = Application(settings)
        stop = asyncio.Event()
        application.install_signal_handlers(stop)
        run_task = asyncio.create_task(application.run(stop))
        pending: set[asyncio.Future[Any]] = {run_task, application.address}
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if not run_task.done():
            address = application.address.result()
            _print_line(f"Simulated Coder: {coder_url}")
            _print_line(f"Coder's metrics: {metrics_url}/metrics")
            _print_line(f"Session token:   {DEMO_TOKEN}")
            _print_line(f"Landing page:    {address}/")
            _print_line(f"Metrics:         {address}/metrics")
            _print_line("Stop with Ctrl-C.")
        await run_task
    return 0


async def simulate(size: DemoSize, options: argparse.Namespace) -> int:
    """Run a simulated Coder until a signal comes."""
    deployment = demo_deployment(size.to_simulator_size(), seed=size.seed)
    async with AsyncExitStack() as stack:
        coder_url = await stack.enter_async_context(
            serve_simulator(deployment, host=options.host, port=options.port)
        )
        metrics_url = await stack.enter_async_context(
            serve_metrics(deployment, host=options.host, port=options.metrics_port)
        )
        _print_line(f"Simulated Coder: {coder_url}")
        _print_line(f"Coder's metrics: {metrics_url}/metrics")
        if options.postgres:
            use_session_counts = options.postgres_form == "session_counts"
            rows = await stack.enter_async_context(
                populate_database(
                    options.postgres,
                    deployment.world,
                    json_session_counts=use_session_counts,
                    now=deployment.now,
                )
            )
            _print_line(f"Agent reports:   {rows} of the last day are in the database, and more follow.")
        _print_line(f"Session token:   {DEMO_TOKEN}")
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        _print_line("Stop with Ctrl-C.")
        await stop.wait()
    return 0


def _configure_logging(settings: Settings) -> None:
    exporter_logging.configure(
        settings.log, redact=exporter_logging.Redactor(exporter_logging.secret_sources(settings))
    )


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
