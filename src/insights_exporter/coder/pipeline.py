"""The request pipeline: rate limit, concurrency limit, transport, decoding and retries, before a deadline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

import aiohttp
from yarl import URL

from insights_exporter.clock import Clock, Deadline
from insights_exporter.coder.decode import (
    DecodeResult,
    UndecodableError,
    check_row_count,
    decode_leniently,
    decode_strictly,
)
from insights_exporter.coder.error_mapping import Response, deadline_exceeded
from insights_exporter.coder.retry import Retrier, RetryPolicy
from insights_exporter.coder.transport import Request, Transport
from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import UpstreamError
from insights_exporter.telemetry import Telemetry

__all__ = ["RequestPipeline"]

T = TypeVar("T")

MIN_THREADED_DECODE_BYTES = 64 * 1024
"""Size from which lenient decoding runs in a thread; smaller bodies decode faster than a thread starts."""


@dataclass(frozen=True)
class RequestPipeline:
    """Sends requests through all policies; a semaphore limits concurrent requests.

    The deadline bounds waiting, sending, decoding and retries. ``with_deadline`` shares everything else.
    """

    transport: Transport
    random: Random
    telemetry: Telemetry
    semaphore: asyncio.Semaphore
    policy: RetryPolicy
    deadline: Deadline

    @classmethod
    def create(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        cls,
        settings: CoderSettings,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        random: Random,
        telemetry: Telemetry,
        base: URL | None = None,
        include_server_text: bool = True,
    ) -> RequestPipeline:
        """Return a pipeline of the settings; ``base`` replaces the API's base URL."""
        transport = Transport(
            settings,
            session=session,
            clock=clock,
            telemetry=telemetry,
            base=base,
            include_server_text=include_server_text,
        )
        return cls(
            transport=transport,
            random=random,
            telemetry=telemetry,
            semaphore=asyncio.Semaphore(settings.concurrency),
            policy=RetryPolicy(settings.retries),
            deadline=Deadline(clock),
        )

    def with_timeout(self, seconds: float) -> RequestPipeline:
        """Return a pipeline whose requests together may take that many seconds from now."""
        return replace(self, deadline=Deadline.after(self.deadline.clock, seconds))

    async def fetch(self, request: Request, expected: type[T]) -> DecodeResult[T]:
        """Return the decoded response; raise a subclass of UpstreamError without a usable one."""

        async def attempt() -> DecodeResult[T]:
            response = await self._send(request)
            return await self._before_deadline(request, lambda: self._decode(response, expected))

        result = await self._with_retries(request, attempt)
        if result.dropped:
            self.telemetry.rows_dropped(request.endpoint, result.dropped, result.example)
        return result

    async def fetch_text(self, request: Request) -> str:
        """Return the response body as text; raise a subclass of UpstreamError without a usable one."""

        async def attempt() -> str:
            response = await self._send(request)
            return response.body.decode("utf-8", "replace")

        return await self._with_retries(request, attempt)

    async def _with_retries(self, request: Request, attempt: Callable[[], Awaitable[T]]) -> T:
        def on_retry(error: UpstreamError) -> None:
            self.telemetry.request_retried(request.endpoint, error.reason)

        policy = self.policy if request.retryable else RetryPolicy(retries=0)
        return await Retrier(policy, self.random).run(attempt, on_retry=on_retry, deadline=self.deadline)

    async def _send(self, request: Request) -> Response:
        return await self._before_deadline(request, lambda: self._send_rate_limited(request))

    async def _send_rate_limited(self, request: Request) -> Response:
        await self.transport.rate_limiter.acquire(
            request.path, endpoint=request.endpoint, deadline=self.deadline
        )
        async with self.semaphore:
            return await self.transport.send(request)

    async def _before_deadline(self, request: Request, work: Callable[[], Awaitable[T]]) -> T:
        remaining = self.deadline.remaining
        if remaining <= 0:
            raise deadline_exceeded(request.endpoint)
        try:
            async with asyncio.timeout(None if math.isinf(remaining) else remaining):
                return await work()
        except TimeoutError:
            raise deadline_exceeded(request.endpoint) from None

    async def _decode(self, response: Response, expected: type[T]) -> DecodeResult[T]:
        # msgspec and json hold the GIL while they parse, also in a thread; only a bound keeps the loop free.
        check_row_count(response.body, endpoint=response.endpoint)
        try:
            return DecodeResult(decode_strictly(response.body, expected))
        except UndecodableError:
            pass

        def decode() -> DecodeResult[T]:
            return decode_leniently(
                response.body, expected, endpoint=response.endpoint, deadline=self.deadline
            )

        if len(response.body) < MIN_THREADED_DECODE_BYTES:
            return decode()
        return await asyncio.to_thread(decode)
