"""A session that hands requests to a simulated deployment without a socket, for tests of many thousand.

The client and the simulator are the real ones with all they do; only the network between them is left out,
and the threads, which cost more than what they would do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, cast

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from insights_exporter.simulator.api import application
from insights_exporter.simulator.api.deployment import SimulatedDeployment

__all__ = ["direct_session"]

BASE = "/api/v2"


@dataclass
class _Transport:
    """A connection that can break."""

    broken: bool = False

    def abort(self) -> None:
        self.broken = True


@dataclass(frozen=True)
class _Request:
    """What the simulator looks at in a request."""

    url: URL
    headers: Mapping[str, str]
    match_info: Mapping[str, str]
    body: bytes = b""
    remote: str = "test"
    transport: _Transport = field(default_factory=_Transport)
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.url.path

    @property
    def query(self) -> Any:
        return self.url.query

    async def read(self) -> bytes:
        return self.body


@dataclass(frozen=True)
class _Content:
    body: bytes

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self.body


@dataclass(frozen=True)
class _Answer:
    """What the client looks at in an answer."""

    status: int
    headers: Mapping[str, str]
    content: _Content


@dataclass
class _Exchange:
    session: _Session
    method: str
    request: _Request

    async def __aenter__(self) -> _Answer:
        response = await self.session.answer(self.method, self.request)
        if self.request.transport.broken:
            raise aiohttp.ServerDisconnectedError
        return _Answer(response.status, response.headers, _Content(cast("bytes", response.body or b"")))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class _Session:
    """Stands where aiohttp's session would."""

    def __init__(self, deployment: SimulatedDeployment) -> None:
        self._routes = [
            (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", BASE + route.path)), route.method, handler)
            for route in application.ROUTES
            for handler in (application.handler(deployment, route),)
        ]
        self._build_info = application.build_info(deployment)

    def request(
        self, method: str, url: URL, *, data: bytes | None, headers: Mapping[str, str], **_: Any
    ) -> _Exchange:
        return _Exchange(self, method, _Request(url, CIMultiDict(headers), {}, data or b""))

    async def answer(self, method: str, request: _Request) -> web.Response:
        if request.path == BASE + "/buildinfo":
            return cast("web.Response", await self._build_info(cast("web.Request", request)))
        for path, verb, handler in self._routes:
            if verb == method and (match := path.fullmatch(request.path)):
                found = replace(request, match_info=match.groupdict())
                return cast("web.Response", await handler(cast("web.Request", found)))
        raise AssertionError(f"Nobody answers {method} {request.path}.")


class _Here(ThreadPoolExecutor):
    """Does at once what a thread should do."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it.
            done.set_exception(error)
        return done


def direct_session(deployment: SimulatedDeployment) -> aiohttp.ClientSession:
    """Return a session whose every request goes to the deployment, whatever its address.

    From then on the running loop does itself what it would leave to threads.
    """
    asyncio.get_running_loop().set_default_executor(_Here())
    return cast("aiohttp.ClientSession", _Session(deployment))
