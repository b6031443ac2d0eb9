"""The whole exporter in this process, against a simulated Coder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession

from insights_exporter.app.application import Application
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config.settings import PollSettings, ServerSettings, Settings
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size

WAIT = 20.0


@dataclass
class Exporter:
    """An exporter that runs, and what its configuration says when it is read anew."""

    application: Application
    address: str
    session: ClientSession
    deployment: SimulatedDeployment
    configurations: list[Settings | ConfigError] = field(default_factory=list)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return an answer's status and text."""
        async with self.session.get(self.address + path, headers=headers) as response:
            return response.status, await response.text()

    async def metrics(self, path: str = "/metrics") -> str:
        """Return a scrape."""
        status, text = await self.get(path)
        assert status == 200
        return text

    async def wait_until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT):
            while not await condition():
                await asyncio.sleep(0.01)

    async def is_ready(self) -> bool:
        """Say whether fresh numbers are served."""
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
) -> AsyncIterator[Exporter]:
    """Run an exporter against a deployment of three templates."""
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

        application = Application(settings, load=load)
        stop = asyncio.Event()
        task = asyncio.create_task(application.run(stop))
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address
            yield Exporter(application, address, session, deployment, configurations)
        finally:
            stop.set()
            await task
