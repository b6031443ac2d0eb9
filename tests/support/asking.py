"""Asks a simulated deployment over HTTP, as any program would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.stage import DEMO_TOKEN

__all__ = ["Asker", "Told", "asking"]


@dataclass(frozen=True)
class Told:
    """An answer; ``body`` is its JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def refusal(self) -> tuple[int, str, str]:
        """The status, the message and the detail of a refusal."""
        return self.status, self.body["message"], self.body.get("detail", "")

    @property
    def validations(self) -> dict[str, str]:
        """What is wrong with which field."""
        return {one["field"]: one["detail"] for one in self.body["validations"]}


@dataclass(frozen=True)
class Asker:
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
    ) -> Told:
        """Return the answer of a path below ``/api/v2``; with a body the request is a POST."""
        sent = {"Coder-Session-Token": token} if token else {}
        async with self.session.request(
            "GET" if body is None else "POST",
            f"{self.address}/api/v2{path}",
            params=query,
            data=None if body is None else msgspec.json.encode(body),
            headers=sent | dict(headers or {}),
        ) as answer:
            return Told(answer.status, msgspec.json.decode(await answer.read()), answer.headers)


@asynccontextmanager
async def asking(deployment: SimulatedDeployment) -> AsyncIterator[Asker]:
    """Serve the deployment while the context lasts."""
    async with serve(deployment) as address, aiohttp.ClientSession() as session:
        yield Asker(address, session)
