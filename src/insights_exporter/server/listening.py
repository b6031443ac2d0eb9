"""A socket that the application listens at."""

from __future__ import annotations

import errno
import ssl
from types import TracebackType
from typing import Self

from aiohttp import web

from insights_exporter.errors import ConfigError

__all__ = ["Listening"]

GRACE = 5.0
"""Seconds that open requests get to end when the exporter stops."""


class Listening:
    """Serves an application while its context is open; raises ConfigError where it cannot listen."""

    def __init__(
        self, app: web.Application, *, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=GRACE,
            # A scraper comes back each quarter minute; a slow client must not hold a connection for long.
            keepalive_timeout=75.0,
            max_line_size=8190,
            max_field_size=8190,
        )
        self._host = host
        self._port = port
        self._tls = tls

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls, backlog=128)
        try:
            await site.start()
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
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """The address as a browser wants it, with the port that was found."""
        host, port = self._runner.addresses[0][:2]
        shown = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound.
        return f"{'https' if self._tls else 'http'}://{shown}:{port}"
