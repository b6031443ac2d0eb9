"""Connections of clients: how many there may be, and how long each may keep us waiting."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web

from insights_exporter.server.security_headers import apply_security_headers

__all__ = ["Connection", "ConnectionLimits", "ConnectionManager"]

logger = logging.getLogger(__name__)

_Server: TypeAlias = web.Server
_MAX_FIELD_SIZE = 8190


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds that a client gets, and how many clients there may be at once.

    ``headers`` runs from the first byte of a request to its last header, ``writing`` from the first byte of
    an answer until the client has nearly all of it, ``idle`` between requests: a scraper comes back each
    quarter minute or so.
    """

    header_timeout: float = 10.0
    write_timeout: float = 60.0
    idle_timeout: float = 75.0
    max_connections: int = 512


class ConnectionManager:
    """Makes the connections of a server.

    Where there would be too many, the one that has asked nothing for longest makes room: who holds
    connections open without a request cannot keep a scraper out.
    """

    def __init__(self, server: _Server, limits: ConnectionLimits) -> None:
        self._server = server
        self.limits = limits
        self._connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self._server, self)

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def mark_idle(self, connection: Connection) -> None:
        """Note that a connection has no request under way."""
        self._idle.pop(connection, None)
        self._idle[connection] = None
        self._connections.add(connection)
        if len(self._connections) > self.limits.max_connections:
            longest_idle = next(iter(self._idle))
            self.discard(longest_idle)
            longest_idle.abort()

    def mark_busy(self, connection: Connection) -> None:
        """Note that a connection's request is being answered."""
        self._idle.pop(connection, None)

    def discard(self, connection: Connection) -> None:
        """Forget a connection."""
        self._idle.pop(connection, None)
        self._connections.discard(connection)


class Connection(web.RequestHandler):
    """One client's connection; it is broken off where the client takes too long."""

    __slots__ = ("_connection_manager", "_deadline", "_idle", "_raw_transport")

    def __init__(self, server: _Server, manager: ConnectionManager) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # It means none, as the runner does it.
            keepalive_timeout=manager.limits.idle_timeout,
            max_line_size=_MAX_FIELD_SIZE,
            max_field_size=_MAX_FIELD_SIZE,
            # No handler reads a body, so it is skimmed at most, and never inflated.
            lingering_time=manager.limits.header_timeout / 2,
            auto_decompress=False,
        )
        self._connection_manager = manager
        self._deadline: asyncio.TimerHandle | None = None
        self._idle = False
        self._raw_transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._raw_transport = transport
        super().connection_made(transport)
        self._set_deadline(self._connection_manager.limits.header_timeout)
        self._connection_manager.mark_idle(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._set_deadline(None)
        self._connection_manager.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request in; the first part begins the time that its headers may take."""
        if self._idle:
            self._idle = False
            self._set_deadline(self._connection_manager.limits.header_timeout)
        super().data_received(data)

    def request_started(self) -> None:
        """Note that a request has arrived and is answered now, which may take its time."""
        self._idle = False
        self._set_deadline(None)
        self._connection_manager.mark_busy(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer, then wait for the next request."""
        self._set_deadline(self._connection_manager.limits.write_timeout)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            if self.transport is not None:
                self._idle = True
                # Unlike aiohttp's own limit this one holds as well where a closing client reads no more.
                self._set_deadline(self._connection_manager.limits.idle_timeout)
                self._connection_manager.mark_idle(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
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
        apply_security_headers(response)
        response.force_close()
        return response

    def abort(self) -> None:
        """Break the connection off, whatever it still had to send."""
        self._set_deadline(None)
        if isinstance(self._raw_transport, asyncio.WriteTransport):
            self._raw_transport.abort()

    def _set_deadline(self, seconds: float | None) -> None:
        """Break the connection off after so many seconds, unless something is expected anew."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.abort)
        )
