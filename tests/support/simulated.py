"""A client that talks to a simulated deployment at a time of the test's choosing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.observer import Observer
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN

__all__ = ["simulator_client"]


@asynccontextmanager
async def simulator_client(
    deployment: SimulatedDeployment,
    *,
    clock: Clock,
    token: str = DEMO_TOKEN,
    retries: int = 0,
    observer: Observer | None = None,
) -> AsyncIterator[CoderClient]:
    """Serve the deployment and yield a client of it; both live at the clock's time."""
    deployment.now = clock.now
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(deployment))
        # Nobody looks for proxies on the way to this machine itself, which would take a third of the time.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        )
        settings = CoderSettings(url=url, token=LiteralSecret(Secret(token)), retries=retries)
        yield await stack.enter_async_context(
            CoderClient(settings, clock=clock, rng=random.Random(1), observer=observer, session=session)
        )
