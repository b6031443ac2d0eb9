"""A socket that the application listens at."""

from __future__ import annotations

import asyncio
import errno
import ssl
from types import TracebackType
from typing import Self

from aiohttp import web

from insights_exporter.errors import ConfigError
from insights_exporter.server.connections import Connections, Patience

__all__ = ["Listening"]

GRACE = 5.0
"""Seconds that open requests get to end when the exporter stops."""


_HANDSHAKE = 10.0
"""Seconds that TLS may take until a connection is encrypted."""
_BACKLOG = 128


class Listening:
    """Serves an application while its context is open; raises ConfigError where it cannot listen."""

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=GRACE)
        self._host = host
        self._port = port
        self._tls = tls
        self._patience = patience or Patience()
        self._socket: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101 - it was set up.
        try:
            self._socket = await asyncio.get_running_loop().create_server(
                Connections(server, self._patience),
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE if self._tls else None,
                ssl_shutdown_timeout=GRACE if self._tls else None,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self._runner.cleanup()
            why = "Address in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise ConfigError(
                f"server.host, server.port: expected a free address, found {self._host}:{self._port}: {why}."
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening and let open requests end."""
        if self._socket is not None:
            self._socket.close()
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """The address as a browser wants it, with the port that was found."""
        if self._socket is None:
            raise RuntimeError("Nothing listens yet.")
        host, port = self._socket.sockets[0].getsockname()[:2]
        shown = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound.
        return f"{'https' if self._tls else 'http'}://{shown}:{port}"
