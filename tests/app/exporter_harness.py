"""The application in this process, against a simulated Coder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession

from insights_exporter.app.application import Application
from insights_exporter.config.settings import CoderSettings, PollSettings, ServerSettings, Settings
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size

WAIT = 20.0


@dataclass
class Exporter:
    """A running exporter; a reload loads the last of ``configurations``."""

    application: Application
    address: str
    session: ClientSession
    deployment: SimulatedDeployment
    configurations: list[Settings | ConfigError] = field(default_factory=list)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and text of a page."""
        async with self.session.get(self.address + path, headers=headers) as response:
            return response.status, await response.text()

    async def metrics(self, path: str = "/metrics") -> str:
        """Return the metrics."""
        status, text = await self.get(path)
        assert status == 200
        return text

    async def is_ready(self) -> bool:
        """Return whether the exporter is ready."""
        return (await self.get("/-/ready"))[0] == 200


def make_settings(url: str) -> Settings:
    return Settings(
        coder=CoderSettings(url=url, token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0),
        poll=PollSettings(interval=3600, offset=0, jitter=0, deadline=60, max_staleness=7200),
        server=ServerSettings(port=0, enable_reload=True),
    )


@asynccontextmanager
async def run_exporter(
    customize: Callable[[Settings], Settings] = lambda settings: settings,
    *,
    prepare: Callable[[SimulatedDeployment], None] = lambda _: None,
    metrics_path: str = "/metrics",
) -> AsyncIterator[Exporter]:
    """Run an exporter against a simulated deployment with three templates."""
    async with AsyncExitStack() as stack:
        deployment = demo_deployment(Size(templates=3, users=10))
        prepare(deployment)
        settings = customize(make_settings(await stack.enter_async_context(serve(deployment))))
        session = await stack.enter_async_context(ClientSession())
        configurations: list[Settings | ConfigError] = [settings]

        def load() -> Settings:
            if isinstance(configurations[-1], ConfigError):
                raise configurations[-1]
            return configurations[-1]

        application = Application(settings, load=load, metrics_path=metrics_path)
        stop = asyncio.Event()
        task = asyncio.create_task(application.run(stop))
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address
            yield Exporter(application, address, session, deployment, configurations)
        finally:
            stop.set()
            await task
