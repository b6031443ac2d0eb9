"""HTTP clients of a simulated deployment: a plain one for the API, and the exporter's own."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec

from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import CoderSettings
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.telemetry import Telemetry

__all__ = [
    "NOW",
    "WEEK",
    "ApiClient",
    "ApiResponse",
    "api_client",
    "simulated_deployment",
    "simulator_client",
]

NOW: Final = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
"""The time of simulated deployments: a Tuesday afternoon."""

SMALL_SIZE: Final = Size(templates=6, users=20)

WEEK: Final = {"start_time": "2026-11-18T00:00:00Z", "end_time": "2026-11-24T15:00:00Z"}
"""Query parameters of the seven days up to ``NOW``."""


def simulated_deployment(
    size: Size = SMALL_SIZE, *, world: GeneratedWorld | None = None, **options: Any
) -> SimulatedDeployment:
    """Return a deployment of that size at ``NOW``; the options are those of ``ApiOptions``."""
    return demo_deployment(size, now=lambda: NOW, world=world, options=ApiOptions(**options))


@dataclass(frozen=True)
class ApiResponse:
    """A response; ``body`` is its decoded JSON, None for an empty body."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, message and detail of an error."""
        return self.status, self.body["message"], self.body.get("detail", "")

    @property
    def field_errors(self) -> dict[str, str]:
        """Validation details by field."""
        return {validation["field"]: validation["detail"] for validation in self.body["validations"]}


@dataclass(frozen=True)
class ApiClient:
    """Sends requests to the API below one address."""

    address: str
    session: aiohttp.ClientSession

    async def __call__(
        self,
        path: str,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        *,
        token: str = DEMO_TOKEN,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        method: str = "",
        follow_redirects: bool = True,
    ) -> ApiResponse:
        """Return the response of a path below ``/api/v2``; a request with a body is a POST by default."""
        request_headers = {"Coder-Session-Token": token} if token else {}
        async with self.session.request(
            method or ("GET" if body is None else "POST"),
            f"{self.address}/api/v2{path}",
            params=query,
            data=None if body is None else msgspec.json.encode(body),
            headers=request_headers | dict(headers or {}),
            allow_redirects=follow_redirects,
        ) as response:
            text = await response.read()
            decoded = msgspec.json.decode(text) if response.content_type == "application/json" else None
            return ApiResponse(response.status, decoded, response.headers)


@asynccontextmanager
async def api_client(deployment: SimulatedDeployment) -> AsyncIterator[ApiClient]:
    """Serve the deployment and yield a client of it."""
    async with serve(deployment) as address, aiohttp.ClientSession() as session:
        yield ApiClient(address, session)


@asynccontextmanager
async def simulator_client(
    deployment: SimulatedDeployment,
    *,
    clock: Clock,
    token: str = DEMO_TOKEN,
    retries: int = 0,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[CoderClient]:
    """Serve the deployment and yield the exporter's client of it; both use the clock."""
    deployment.now = clock.now
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(deployment))
        # A plain session skips the proxy look-up, which takes a third of the time of a local request.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        )
        settings = CoderSettings(url=url, token=LiteralSecret(Secret(token)), retries=retries)
        yield await stack.enter_async_context(
            CoderClient(settings, clock=clock, rng=random.Random(1), telemetry=telemetry, session=session)
        )
