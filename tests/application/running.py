"""The whole exporter in this process, against a simulated Coder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession

from insights_exporter.application import Application
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.errors import ConfigError
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import PollSettings, ServerSettings, Settings
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage

WAIT = 20.0


@dataclass
class Exporter:
    """An exporter that runs, and what its configuration says when it is read anew."""

    application: Application
    address: str
    session: ClientSession
    coder: SimulatedDeployment
    told: list[Settings | ConfigError] = field(default_factory=list)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return an answer's status and text."""
        async with self.session.get(self.address + path, headers=headers) as response:
            return response.status, await response.text()

    async def metrics(self, path: str = "/metrics") -> str:
        """Return a scrape."""
        status, text = await self.get(path)
        assert status == 200
        return text

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT):
            while not await holds():  # noqa: ASYNC110 - what is waited for is behind HTTP.
                await asyncio.sleep(0.01)

    async def ready(self) -> bool:
        """Say whether fresh numbers are served."""
        return (await self.get("/-/ready"))[0] == 200


def settings_of(url: str) -> Settings:
    return Settings(
        coder=CoderSettings(url=url, token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0),
        poll=PollSettings(interval=3600, offset=0, jitter=0, deadline=60, max_staleness=7200),
        server=ServerSettings(port=0, enable_reload=True),
    )


@asynccontextmanager
async def running(
    change: Callable[[Settings], Settings] = lambda settings: settings,
    *,
    prepare: Callable[[SimulatedDeployment], None] = lambda _: None,
) -> AsyncIterator[Exporter]:
    """Run an exporter against a deployment of three templates."""
    async with AsyncExitStack() as stack:
        coder = stage(Size(templates=3, users=10))
        prepare(coder)
        settings = change(settings_of(await stack.enter_async_context(serve(coder))))
        session = await stack.enter_async_context(ClientSession())
        told: list[Settings | ConfigError] = [settings]

        def load() -> Settings:
            if isinstance(told[-1], ConfigError):
                raise told[-1]
            return told[-1]

        application = Application(settings, load=load)
        stop = asyncio.Event()
        task = asyncio.create_task(application.run(stop))
        try:
            async with asyncio.timeout(WAIT):
                address = await application.address
            yield Exporter(application, address, session, coder, told)
        finally:
            stop.set()
            await task
