"""A socket that the application listens at."""

from __future__ import annotations

import asyncio
import errno
import ssl
from types import TracebackType
from typing import Self

from aiohttp import web

from insights_exporter.errors import ConfigError
from insights_exporter.server.connections import ConnectionLimits, ConnectionManager

__all__ = ["HttpServer"]

SHUTDOWN_TIMEOUT = 5.0
"""Seconds that open requests get to end when the exporter stops."""


_TLS_HANDSHAKE_TIMEOUT = 10.0
"""Seconds that TLS may take until a connection is encrypted."""
_BACKLOG = 128


class HttpServer:
    """Serves an application while its context is open; raises ConfigError where it cannot listen."""

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
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                ConnectionManager(server, self._limits),
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=_TLS_HANDSHAKE_TIMEOUT if self._tls else None,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT if self._tls else None,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self._runner.cleanup()
            reason = "Address in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise ConfigError(
                f"server.host, server.port: expected a free address, found {self._host}:{self._port}: {reason}."
            ) from error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening and let open requests end."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The address as a browser wants it, with the port that was found."""
        if self._server is None:
            raise RuntimeError("Nothing listens yet.")
        host, port = self._server.sockets[0].getsockname()[:2]
        display_host = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{display_host}:{port}"
