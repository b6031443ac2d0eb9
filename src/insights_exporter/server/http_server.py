"""The listening sockets and the life cycle of the HTTP server."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from functools import partial
from types import TracebackType
from typing import Final, Self

import structlog
from aiohttp import web

from insights_exporter.errors import ConfigError
from insights_exporter.server.connections import Connection, ConnectionLimits, ConnectionManager

__all__ = ["HttpServer"]

logger = structlog.stdlib.get_logger(__name__)

SHUTDOWN_TIMEOUT: Final = 5.0
"""Seconds that active requests may take when the exporter stops."""

_BACKLOG: Final = 1024
"""Connections that the kernel queues; when the queue is full, a client retries only after a second."""
_ACCEPTS_PER_EVENT: Final = 16
"""Connections that are accepted before the event loop continues, and that may be closing meanwhile."""
_ACCEPT_RETRY_DELAY: Final = 0.5
_ACCEPT_LOG_INTERVAL: Final = 60.0


class HttpServer:
    """Serves an application while its context is open; raises ConfigError if it cannot listen."""

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT
        )
        self._host = host
        self._port = port
        self._tls = tls
        self._limits = limits or ConnectionLimits()
        self._listeners: list[_Listener] = []

    async def __aenter__(self) -> Self:
        """Start to listen."""
        await self._runner.setup()
        if self._runner.server is None:
            raise RuntimeError("expected a server after the runner's setup")
        manager = ConnectionManager(self._runner.server, self._limits)
        try:
            for listening_socket in await _listening_sockets(self._host, self._port):
                self._listeners.append(_Listener(listening_socket, manager, self._tls))
        except OSError as error:
            await self._runner.cleanup()
            reason = "address in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise ConfigError(
                f"server.host, server.port: expected a free address, got {self._host}:{self._port} ({reason})"
            ) from error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop to listen, and wait for active requests."""
        for listener in self._listeners:
            await listener.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """URL of the server, with the actual port; a wildcard address becomes ``localhost``."""
        if not self._listeners:
            raise RuntimeError("expected a started server")
        host, port = self._listeners[0].address
        wildcards = {"0.0.0.0", "::"}  # noqa: S104  # Compared, not bound.
        display_host = "localhost" if host in wildcards else f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{display_host}:{port}"


async def _listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of a host. Raises OSError."""
    # asyncio resolves and binds as servers usually do; its own accept loop is replaced by `_Listener`.
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    sockets = [bound_socket.dup() for bound_socket in server.sockets]
    server.close()
    try:
        for listening_socket in sockets:
            listening_socket.setblocking(False)
            listening_socket.listen(_BACKLOG)
    except OSError:
        for listening_socket in sockets:
            listening_socket.close()
        raise
    return sockets


class _Listener:
    """Accepts the connections of one listening socket.

    asyncio's own accept loop hands out a connection only after the TLS handshake, so unfinished handshakes
    escape the connection limit, and it logs a traceback for each failed accept. This one counts connections
    from the start. If accepting fails, usually for want of file descriptors, it aborts an idle connection,
    retries after a pause, and logs at most once a minute.
    """

    def __init__(
        self, listening_socket: socket.socket, manager: ConnectionManager, tls: ssl.SSLContext | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = listening_socket
        self._manager = manager
        self._tls = tls
        self._handshakes: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._logged_at = float("-inf")
        self.address: tuple[str, int] = listening_socket.getsockname()[:2]
        self._start()

    async def close(self) -> None:
        """Stop accepting, and abort connections that are not established yet."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for handshake in self._handshakes:
            handshake.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _start(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket, self._accept_pending)

    def _accept_pending(self) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            if self._manager.aborting >= _ACCEPTS_PER_EVENT:
                # The next iterations of the loop close their file descriptors.
                return
            try:
                client_socket, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._back_off(error)
                return
            self._connect(client_socket)

    def _back_off(self, error: OSError) -> None:
        self._loop.remove_reader(self._socket)
        self._retry = self._loop.call_later(_ACCEPT_RETRY_DELAY, self._start)
        self._manager.abort_longest_idle()
        now = self._loop.time()
        if now - self._logged_at >= _ACCEPT_LOG_INTERVAL:
            self._logged_at = now
            logger.warning("accept failed", error=error.strerror, retry_seconds=_ACCEPT_RETRY_DELAY)

    def _connect(self, client_socket: socket.socket) -> None:
        """Set an accepted connection up in a task; with TLS that is the handshake."""
        client_socket.setblocking(False)

        def start_handshake(connection: Connection) -> asyncio.Task[None]:
            task = self._loop.create_task(self._handshake(connection, client_socket))
            self._handshakes.add(task)
            task.add_done_callback(partial(self._on_handshake_done, connection, client_socket))
            return task

        self._manager.add(start_handshake)

    def _on_handshake_done(
        self, connection: Connection, client_socket: socket.socket, task: asyncio.Task[None]
    ) -> None:
        self._handshakes.discard(task)
        if not connection.is_established:
            # A task that is cancelled before its first step has not given the socket to a transport.
            client_socket.close()
            self._manager.discard(connection)

    async def _handshake(self, connection: Connection, client_socket: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                client_socket,
                ssl=self._tls,
                ssl_handshake_timeout=self._manager.limits.handshake_timeout if self._tls else None,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT if self._tls else None,
            )
        except OSError as error:
            # Includes ssl.SSLError and TimeoutError.
            logger.debug("handshake failed", error=str(error) or type(error).__name__)
