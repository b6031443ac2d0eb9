"""Asks a simulated deployment over HTTP, as any program would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN

__all__ = ["ApiClient", "ApiResponse", "api_client"]


@dataclass(frozen=True)
class ApiResponse:
    """An answer; ``body`` is its JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, str, str]:
        """The status, the message and the detail of a refusal."""
        return self.status, self.body["message"], self.body.get("detail", "")

    @property
    def field_errors(self) -> dict[str, str]:
        """What is wrong with which field."""
        return {validation["field"]: validation["detail"] for validation in self.body["validations"]}


@dataclass(frozen=True)
class ApiClient:
    """Sends requests to one address."""

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
    ) -> ApiResponse:
        """Return the answer of a path below ``/api/v2``; with a body the request is a POST."""
        request_headers = {"Coder-Session-Token": token} if token else {}
        async with self.session.request(
            "GET" if body is None else "POST",
            f"{self.address}/api/v2{path}",
            params=query,
            data=None if body is None else msgspec.json.encode(body),
            headers=request_headers | dict(headers or {}),
        ) as response:
            return ApiResponse(response.status, msgspec.json.decode(await response.read()), response.headers)


@asynccontextmanager
async def api_client(deployment: SimulatedDeployment) -> AsyncIterator[ApiClient]:
    """Serve the deployment while the context lasts."""
    async with serve(deployment) as address, aiohttp.ClientSession() as session:
        yield ApiClient(address, session)
