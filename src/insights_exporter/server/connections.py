"""Connections of clients: their number, their deadlines, and what one client may have pending.

Limits protect scrapes from clients that are slow, silent or many: a connection counts from the moment it is
accepted, so also during the TLS handshake.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeAlias

import structlog
from aiohttp import web

from insights_exporter.server.security_headers import apply_security_headers

__all__ = ["Connection", "ConnectionLimits", "ConnectionManager", "default_max_connections"]

logger = structlog.stdlib.get_logger(__name__)

_Server: TypeAlias = web.Server
_MAX_FIELD_SIZE: Final = 8190
"""Bytes of the request line, and of one header."""
_MAX_CONNECTIONS: Final = 512


def default_max_connections() -> int:
    """Return the default connection limit: 512, or half of the file descriptors if that is less.

    The other half is for connections to Coder and the database, for files, and for connections that are
    being closed.
    """
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(1, min(_MAX_CONNECTIONS, soft_limit // 2))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Timeouts in seconds and the number of connections.

    ``handshake_timeout`` limits the TLS handshake. ``header_timeout`` runs from the first byte of a request
    to its last header, ``write_timeout`` from the first byte of a response until nearly all of it is sent,
    ``idle_timeout`` between requests: longer than common scrape intervals.
    """

    handshake_timeout: float = 10.0
    header_timeout: float = 10.0
    write_timeout: float = 60.0
    idle_timeout: float = 75.0
    max_connections: int = field(default_factory=default_max_connections)


class ConnectionManager:
    """Creates and counts the connections of a server.

    Above the limit it aborts the connection that has been idle longest, so clients that hold connections
    without a request cannot lock out a scraper.
    """

    def __init__(self, server: _Server, limits: ConnectionLimits) -> None:
        self._server = server
        self.limits = limits
        self.pipelining_lock = asyncio.Lock()
        self._connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._aborting: set[Connection] = set()

    def add(self, handshake: Callable[[Connection], asyncio.Task[None]]) -> Connection:
        """Count a new connection from now on; ``handshake`` starts the task that sets it up."""
        connection = Connection(self._server, self)
        connection.handshake = handshake(connection)
        self._connections.add(connection)
        self.mark_idle(connection)
        return connection

    @property
    def aborting(self) -> int:
        """Number of aborted connections whose file descriptor is still open."""
        return len(self._aborting)

    def mark_idle(self, connection: Connection) -> None:
        """Record that a connection has no active request; above the limit abort the longest idle one."""
        if connection not in self._connections:
            return
        self._idle.pop(connection, None)
        self._idle[connection] = None
        if len(self._connections) > self.limits.max_connections:
            self.abort_longest_idle()

    def mark_busy(self, connection: Connection) -> None:
        """Record that a connection has an active request."""
        self._idle.pop(connection, None)

    def abort_longest_idle(self) -> None:
        """Abort the connection that has been idle longest, if any connection is idle."""
        if connection := next(iter(self._idle), None):
            self.mark_busy(connection)
            self._connections.discard(connection)
            self._aborting.add(connection)
            connection.abort()

    def discard(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._idle.pop(connection, None)
        self._connections.discard(connection)
        self._aborting.discard(connection)


class Connection(web.RequestHandler):
    """The protocol of one client's connection; aborts the connection at each deadline."""

    __slots__ = ("_connection_manager", "_deadline", "_idle", "_raw_transport", "handshake")

    def __init__(self, server: _Server, manager: ConnectionManager) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's runner passes None as well.
            keepalive_timeout=manager.limits.idle_timeout,
            max_line_size=_MAX_FIELD_SIZE,
            max_field_size=_MAX_FIELD_SIZE,
            # No handler reads request bodies: aiohttp discards them for a short time, and does not inflate.
            lingering_time=manager.limits.header_timeout / 2,
            auto_decompress=False,
        )
        self._connection_manager = manager
        self._deadline: asyncio.TimerHandle | None = None
        self._idle = False
        self._raw_transport: asyncio.BaseTransport | None = None
        self.handshake: asyncio.Task[None] | None = None
        """The task that sets the connection up, with TLS its handshake."""

    @property
    def is_established(self) -> bool:
        """Whether the connection was set up, with TLS whether the handshake succeeded."""
        return self._raw_transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self._raw_transport = transport
        super().connection_made(transport)
        self._set_deadline(self._connection_manager.limits.header_timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection from the manager."""
        self._set_deadline(None)
        self._connection_manager.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; the first byte of a request starts the header timeout."""
        if self._idle:
            self._idle = False
            self._set_deadline(self._connection_manager.limits.header_timeout)
        super().data_received(data)

    def request_started(self) -> None:
        """Stop the header timeout when the application handles a request."""
        self._idle = False
        self._set_deadline(None)
        self._connection_manager.mark_busy(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response, then wait for the next request."""
        self._set_deadline(self._connection_manager.limits.write_timeout)
        try:
            result = await super().finish_response(request, resp, start_time)
            if self._messages:
                # The client pipelines. One such request per loop iteration of the whole server leaves the
                # loop to scrapers; aiohttp bounds the parsed requests of each client.
                async with self._connection_manager.pipelining_lock:
                    await asyncio.sleep(0)
            return result
        finally:
            if self.transport is not None:
                self._idle = True
                # aiohttp's own keep-alive timeout ends when a connection is closing but the client does not
                # read; this one aborts the connection then as well.
                self._set_deadline(self._connection_manager.limits.idle_timeout)
                self._connection_manager.mark_idle(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # The parser's text, which quotes the request.
    ) -> web.StreamResponse:
        """Return one line of text for a request that cannot be parsed or handled."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response is sent already")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request failed", exc_info=exc)
        else:
            logger.debug("request rejected", client=request.remote, error=type(exc).__name__)
        response = web.Response(text=f"{status} {HTTPStatus(status).phrase}\n", status=status)
        apply_security_headers(response)
        response.force_close()
        return response

    def abort(self) -> None:
        """Close the connection and discard unsent data."""
        self._set_deadline(None)
        if isinstance(self._raw_transport, asyncio.WriteTransport):
            self._raw_transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def _set_deadline(self, seconds: float | None) -> None:
        """Abort the connection after ``seconds``; None removes the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.abort)
        )
