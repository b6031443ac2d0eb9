"""An HTTP session that passes requests to a simulated deployment without sockets and threads.

Client and simulator are unchanged. Tests with thousands of requests save most of their time.
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

from insights_exporter.simulator.api import http_server
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.routes import ROUTES

__all__ = ["in_process_session"]

API_PREFIX = "/api/v2"


@dataclass
class _Transport:
    """A connection that can be aborted."""

    broken: bool = False

    def abort(self) -> None:
        self.broken = True


@dataclass(frozen=True)
class _Request:
    """The part of a request that the simulator reads."""

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
class _Response:
    """The part of a response that the client reads."""

    status: int
    headers: Mapping[str, str]
    content: _Content


@dataclass
class _ResponseContext:
    session: _Session
    method: str
    request: _Request

    async def __aenter__(self) -> _Response:
        response = await self.session.respond(self.method, self.request)
        if self.request.transport.broken:
            raise aiohttp.ServerDisconnectedError
        return _Response(response.status, response.headers, _Content(cast("bytes", response.body or b"")))

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class _Session:
    """Replaces aiohttp's session."""

    def __init__(self, deployment: SimulatedDeployment) -> None:
        self._routes = [
            (
                re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", API_PREFIX + route.path)),
                route.method,
                handler,
            )
            for route in ROUTES
            for handler in (http_server.route_handler(deployment, route),)
        ]
        self._build_info = http_server.build_info_handler(deployment)

    def request(
        self, method: str, url: URL, *, data: bytes | None, headers: Mapping[str, str], **_: Any
    ) -> _ResponseContext:
        return _ResponseContext(self, method, _Request(url, CIMultiDict(headers), {}, data or b""))

    async def respond(self, method: str, request: _Request) -> web.Response:
        if request.path == API_PREFIX + "/buildinfo":
            return cast("web.Response", await self._build_info(cast("web.Request", request)))
        for path, route_method, handler in self._routes:
            if route_method == method and (match := path.fullmatch(request.path)):
                matched_request = replace(request, match_info=match.groupdict())
                return cast("web.Response", await handler(cast("web.Request", matched_request)))
        raise AssertionError(f"There is no route for {method} {request.path}.")


class _InlineExecutor(ThreadPoolExecutor):
    """Runs functions in the calling thread."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 # The caller of the future gets it.
            future.set_exception(error)
        return future


def in_process_session(deployment: SimulatedDeployment) -> aiohttp.ClientSession:
    """Return a session whose requests all go to the deployment, regardless of the URL.

    The running event loop then executes the work of threads itself.
    """
    asyncio.get_running_loop().set_default_executor(_InlineExecutor())
    return cast("aiohttp.ClientSession", _Session(deployment))
