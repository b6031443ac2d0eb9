"""Client of coderd's Prometheus endpoint (``CODER_PROMETHEUS_ADDRESS``), which is not part of the API."""

from __future__ import annotations

from random import Random
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from insights_exporter.clock import Clock
from insights_exporter.coder.pipeline import RequestPipeline
from insights_exporter.coder.session import open_session
from insights_exporter.coder.transport import Request
from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import AuthError, Forbidden
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.telemetry import Telemetry

__all__ = ["METRICS_ENDPOINT", "MetricsClient"]

METRICS_ENDPOINT: Final = "agent_stats.metrics_url"
"""Value of the endpoint in errors and metrics."""

_NO_TOKEN: Final = LiteralSecret(Secret(""))


class MetricsClient:
    """Fetches the metrics with the policies of the API client; an asynchronous context manager.

    The endpoint needs no authentication, and the session token is not sent.
    """

    def __init__(
        self, settings: CoderSettings, metrics_url: str, *, clock: Clock, telemetry: Telemetry, random: Random
    ) -> None:
        self._settings = settings.model_copy(update={"token": _NO_TOKEN, "concurrency": 1})
        url = URL(metrics_url)
        self._base = url.origin()
        self._request = Request(path=url.raw_path, query=dict(url.query), endpoint=METRICS_ENDPOINT)
        self._clock = clock
        self._telemetry = telemetry
        self._random = random
        self._session: aiohttp.ClientSession | None = None
        self._pipeline: RequestPipeline | None = None

    async def __aenter__(self) -> Self:
        """Open the session; raise ConfigError if a certificate file cannot be used."""
        self._session = await open_session(self._settings, self._base)
        self._pipeline = RequestPipeline.create(
            self._settings,
            session=self._session,
            clock=self._clock,
            random=self._random,
            telemetry=self._telemetry,
            base=self._base,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        self._pipeline = None
        if self._session is not None:
            await self._session.close()

    async def fetch(self, *, timeout: float) -> str:
        """Return the metrics as text within ``timeout`` seconds; raise a subclass of UpstreamError."""
        if self._pipeline is None:
            raise RuntimeError("Open the client with `async with` before requests.")
        try:
            return await self._pipeline.with_timeout(timeout).fetch_text(self._request)
        except (AuthError, Forbidden) as error:
            raise Forbidden(
                "a proxy before coderd's metrics endpoint requires authentication; coderd itself does not",
                endpoint=METRICS_ENDPOINT,
                status=error.status,
            ) from None
