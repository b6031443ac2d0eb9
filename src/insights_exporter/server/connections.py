"""Connections of clients: how many there may be, and how long each may keep us waiting."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web

from insights_exporter.server.safety import make_safe

__all__ = ["Connection", "Connections", "Patience"]

logger = logging.getLogger(__name__)

_Server: TypeAlias = web.Server
_LARGEST_FIELD = 8190


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a client gets, and how many clients there may be at once.

    ``headers`` runs from the first byte of a request to its last header, ``writing`` from the first byte of
    an answer until the client has nearly all of it, ``idle`` between requests: a scraper comes back each
    quarter minute or so.
    """

    headers: float = 10.0
    writing: float = 60.0
    idle: float = 75.0
    connections: int = 512


class Connections:
    """Makes the connections of a server.

    Where there would be too many, the one that has asked nothing for longest makes room: who holds
    connections open without a request cannot keep a scraper out.
    """

    def __init__(self, server: _Server, patience: Patience) -> None:
        self._server = server
        self.patience = patience
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self._server, self)

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def waits(self, one: Connection) -> None:
        """Note that a connection has no request under way."""
        self._waiting.pop(one, None)
        self._waiting[one] = None
        self._open.add(one)
        if len(self._open) > self.patience.connections:
            oldest = next(iter(self._waiting))
            self.closed(oldest)
            oldest.abort()

    def asks(self, one: Connection) -> None:
        """Note that a connection's request is being answered."""
        self._waiting.pop(one, None)

    def closed(self, one: Connection) -> None:
        """Forget a connection."""
        self._waiting.pop(one, None)
        self._open.discard(one)


class Connection(web.RequestHandler):
    """One client's connection; it is broken off where the client takes too long."""

    __slots__ = ("_all", "_deadline", "_idle", "_raw")

    def __init__(self, server: _Server, everyone: Connections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # It means none, as the runner does it.
            keepalive_timeout=everyone.patience.idle,
            max_line_size=_LARGEST_FIELD,
            max_field_size=_LARGEST_FIELD,
            # No handler reads a body, so it is skimmed at most, and never inflated.
            lingering_time=everyone.patience.headers / 2,
            auto_decompress=False,
        )
        self._all = everyone
        self._deadline: asyncio.TimerHandle | None = None
        self._idle = False
        self._raw: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._raw = transport
        super().connection_made(transport)
        self._expect(self._all.patience.headers)
        self._all.waits(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._expect(None)
        self._all.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request in; the first part begins the time that its headers may take."""
        if self._idle:
            self._idle = False
            self._expect(self._all.patience.headers)
        super().data_received(data)

    def begun(self) -> None:
        """Note that a request has arrived and is answered now, which may take its time."""
        self._idle = False
        self._expect(None)
        self._all.asks(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer, then wait for the next request."""
        self._expect(self._all.patience.writing)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            if self.transport is not None:
                self._idle = True
                # Unlike aiohttp's own limit this one holds as well where a closing client reads no more.
                self._expect(self._all.patience.idle)
                self._all.waits(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request.
    ) -> web.StreamResponse:
        """Answer what is no HTTP in a line, without a word of what is inside."""
        if request.writer.output_size > 0:
            raise ConnectionError("A part of the answer is sent already.")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("A request failed.", exc_info=exc)
        else:
            logger.debug(
                "A request could not be read.", extra={"from": request.remote, "why": type(exc).__name__}
            )
        response = web.Response(text=f"{status} {HTTPStatus(status).phrase}\n", status=status)
        make_safe(response)
        response.force_close()
        return response

    def abort(self) -> None:
        """Break the connection off, whatever it still had to send."""
        self._expect(None)
        if isinstance(self._raw, asyncio.WriteTransport):
            self._raw.abort()

    def _expect(self, seconds: float | None) -> None:
        """Break the connection off after so many seconds, unless something is expected anew."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.abort)
        )
