"""The commands `demo` and `simulate`: the only modules outside of tests that load the simulator."""

from __future__ import annotations

import argparse
import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from insights_exporter.app.application import Application
from insights_exporter.commands import configure_logging, print_line
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    CoderSettings,
    CostSettings,
    LogSettings,
    PollSettings,
    ServerSettings,
    Settings,
)
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor, configure
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve as serve_simulator
from insights_exporter.simulator.api.http_server import serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.postgres import populate_database

__all__ = ["DemoSize", "demo", "simulate"]

_AGENT_STATS_INTERVAL = 15.0
"""Seconds between scrapes of the simulated coderd; shorter than in production, to show data sooner."""


@dataclass(frozen=True, slots=True)
class DemoSize:
    """Size of the simulated deployment, and the seed that generates it."""

    templates: int
    users: int
    seed: int

    def create_deployment(self) -> SimulatedDeployment:
        """Return the simulated deployment; raise ConfigError for a size below 1."""
        for flag, value in (("--templates", self.templates), ("--users", self.users)):
            if value < 1:
                raise ConfigError(f"{flag}: expected at least 1, got {value}")
        size = Size(templates=self.templates, users=self.users)
        world = generate_world(
            size,
            seed=self.seed,
            today=datetime.now(UTC).date(),
            joined=self.users // 8,
            left=self.users // 20,
        )
        return demo_deployment(size, world=world)


async def demo(size: DemoSize, options: argparse.Namespace) -> int:
    """Run the exporter against a simulated Coder until SIGTERM or SIGINT; return the exit code."""
    deployment = size.create_deployment()
    async with AsyncExitStack() as stack:
        coder_url = await stack.enter_async_context(
            serve_simulator(deployment, host=options.host, port=options.coder_port)
        )
        metrics_url = await stack.enter_async_context(
            serve_metrics(deployment, host=options.host, port=options.metrics_port)
        )
        settings = _demo_settings(coder_url, metrics_url, options)
        configure_logging(settings)
        application = Application(settings)
        stop = asyncio.Event()
        application.install_signal_handlers(stop)
        run_task = asyncio.create_task(application.run(stop))
        pending: set[asyncio.Future[Any]] = {run_task, application.address}
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if not run_task.done():
            address = application.address.result()
            _print_simulated_urls(coder_url, metrics_url)
            print_line(f"Landing page:    {address}/")
            print_line(f"Metrics:         {address}/metrics")
            print_line("Press Ctrl-C to stop.")
        await run_task
    return 0


_MAX_STALENESS: Final = 1800.0
"""Seconds for which the demo serves old data, or the interval if it is longer."""


_DEMO_COST: Final = CostSettings(price_per_unit=0.04, currency="EUR")


def _demo_settings(coder_url: str, metrics_url: str, options: argparse.Namespace) -> Settings:
    return Settings(
        coder=CoderSettings(url=coder_url, token=LiteralSecret(Secret(DEMO_TOKEN))),
        poll=PollSettings(
            interval=options.interval,
            offset=0,
            jitter=0,
            deadline=options.interval,
            max_staleness=max(_MAX_STALENESS, options.interval),
        ),
        agent_stats=AgentStatsSettings(
            source=AgentStatsSource.CODERD_METRICS,
            interval=min(_AGENT_STATS_INTERVAL, options.interval),
            metrics_url=f"{metrics_url}/metrics",
        ),
        cost=_DEMO_COST,
        server=ServerSettings(host=options.host, port=options.port),
    )


async def simulate(size: DemoSize, options: argparse.Namespace) -> int:
    """Run a simulated Coder until SIGTERM or SIGINT; return the exit code."""
    configure(LogSettings(), redact=Redactor())
    deployment = size.create_deployment()
    async with AsyncExitStack() as stack:
        coder_url = await stack.enter_async_context(
            serve_simulator(deployment, host=options.host, port=options.port)
        )
        metrics_url = await stack.enter_async_context(
            serve_metrics(deployment, host=options.host, port=options.metrics_port)
        )
        _print_simulated_urls(coder_url, metrics_url)
        if options.postgres:
            rows = await stack.enter_async_context(
                populate_database(
                    options.postgres,
                    deployment.world,
                    json_session_counts=options.postgres_form == "session_counts",
                    now=deployment.now,
                )
            )
            print_line(f"Agent reports:   {rows} rows of the last 24 hours inserted, more are added live")
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        print_line("Press Ctrl-C to stop.")
        await stop.wait()
    return 0


def _print_simulated_urls(coder_url: str, metrics_url: str) -> None:
    print_line(f"Simulated Coder: {coder_url}")
    print_line(f"Coder metrics:   {metrics_url}/metrics")
    print_line(f"Session token:   {DEMO_TOKEN}")
