"""coderd's own address for Prometheus, beside the API."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from insights_exporter.clock import Clock
from insights_exporter.coder.client import open_session
from insights_exporter.coder.observer import Observer
from insights_exporter.coder.pipeline import RequestPipeline
from insights_exporter.coder.retry import RetryPolicy
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.coder.transport import Request, Transport
from insights_exporter.errors import AuthError, Forbidden
from insights_exporter.secrets import LiteralSecret, Secret

__all__ = ["METRICS_ENDPOINT", "MetricsClient"]

METRICS_ENDPOINT: Final = "agent_stats.metrics_url"
"""What the address is called in errors and in metrics."""

_NO_TOKEN: Final = LiteralSecret(Secret(""))


class MetricsClient:
    """Reads one page, with the manners and bounds of the API's client; an asynchronous context manager.

    The address asks for no token, and the session token is not sent there.
    """

    def __init__(
        self, settings: CoderSettings, metrics_url: str, *, clock: Clock, observer: Observer, random: Random
    ) -> None:
        self._settings = replace(settings, token=_NO_TOKEN)
        url = URL(metrics_url)
        self._base = url.origin()
        self._request = Request(path=url.raw_path, query=dict(url.query), endpoint=METRICS_ENDPOINT)
        self._clock = clock
        self._observer = observer
        self._random = random
        self._session: aiohttp.ClientSession | None = None
        self._pipeline: RequestPipeline | None = None

    async def __aenter__(self) -> Self:
        """Open the connections; raise ConfigError where a certificate cannot be used."""
        self._session = await open_session(self._settings, self._base)
        self._pipeline = RequestPipeline(
            transport=Transport(
                self._settings,
                session=self._session,
                clock=self._clock,
                observer=self._observer,
                base=self._base,
            ),
            clock=self._clock,
            random=self._random,
            observer=self._observer,
            semaphore=asyncio.Semaphore(1),
            policy=RetryPolicy(self._settings.retries),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._pipeline = None
        if self._session is not None:
            await self._session.close()

    async def fetch(self, *, timeout: float) -> str:
        """Return the page; raise a kind of UpstreamError where there is none in so many seconds."""
        if self._pipeline is None:
            raise RuntimeError("Open the client with `async with` before you ask.")
        try:
            return await self._pipeline.with_deadline(self._clock.monotonic() + timeout).fetch_text(
                self._request
            )
        except (AuthError, Forbidden) as error:
            raise Forbidden(
                "something before coderd's metrics asks for a login, which they themselves never do.",
                endpoint=METRICS_ENDPOINT,
                status=error.status,
            ) from None
