"""From a request to a decoded answer, with all the manners in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from insights_exporter.clock import Clock
from insights_exporter.coder.decode import DecodeResult, UndecodableError, decode_leniently, decode_strictly
from insights_exporter.coder.error_mapping import Response
from insights_exporter.coder.observer import Observer
from insights_exporter.coder.retry import Retrier, RetryPolicy
from insights_exporter.coder.transport import Request, Transport
from insights_exporter.errors import DeadlineExceeded, UpstreamError

__all__ = ["RequestPipeline"]

T = TypeVar("T")

MIN_THREADED_DECODE_BYTES = 64 * 1024
"""Bytes from which slow decoding leaves the event loop; fast decoding takes less than a thread's start."""


@dataclass(frozen=True)
class RequestPipeline:
    """Waits for its turn and the rate limit, sends, decodes, and tries again what can heal.

    ``turn`` bounds how many requests are under way. ``deadline``, a moment of the clock's ``monotonic``,
    bounds everything; copies made by ``until`` share all else.
    """

    transport: Transport
    clock: Clock
    random: Random
    observer: Observer
    semaphore: asyncio.Semaphore
    policy: RetryPolicy
    deadline: float | None = None

    def with_deadline(self, deadline: float) -> RequestPipeline:
        """Return this exchange with a deadline."""
        return replace(self, deadline=deadline)

    async def fetch(self, request: Request, expected: type[T]) -> DecodeResult[T]:
        """Return the answer as that type; raise a kind of UpstreamError where there is none."""

        async def attempt() -> DecodeResult[T]:
            response = await self._send_before_deadline(request)
            return await _decode(response, expected)

        result = await self._with_retries(request, attempt)
        if result.dropped:
            self.observer.rows_dropped(request.endpoint, result.dropped, result.example)
        return result

    async def fetch_text(self, request: Request) -> str:
        """Return the answer as text; raise a kind of UpstreamError where there is none."""

        async def attempt() -> str:
            response = await self._send_before_deadline(request)
            return response.body.decode("utf-8", "replace")

        return await self._with_retries(request, attempt)

    async def _with_retries(self, request: Request, attempt: Callable[[], Awaitable[T]]) -> T:
        def on_retry(error: UpstreamError) -> None:
            self.observer.request_retried(request.endpoint, error.reason)

        retrier = Retrier(self.policy, self.clock, self.random)
        return await retrier.run(attempt, on_retry=on_retry, deadline=self.deadline)

    async def _send_before_deadline(self, request: Request) -> Response:
        if self.deadline is None:
            return await self._send_rate_limited(request)
        remaining = self.deadline - self.clock.monotonic()
        if remaining <= 0:
            raise _deadline_exceeded(request)
        try:
            async with asyncio.timeout(remaining):
                return await self._send_rate_limited(request)
        except TimeoutError:
            raise _deadline_exceeded(request) from None

    async def _send_rate_limited(self, request: Request) -> Response:
        await self.transport.rate_limiter.acquire(
            request.path, endpoint=request.endpoint, deadline=self.deadline
        )
        async with self.semaphore:
            return await self.transport.send(request)


def _deadline_exceeded(request: Request) -> DeadlineExceeded:
    return DeadlineExceeded(
        "the poll's time is over; poll less, or grant it more time.", endpoint=request.endpoint
    )


async def _decode(response: Response, expected: type[T]) -> DecodeResult[T]:
    try:
        return DecodeResult(decode_strictly(response.body, expected))
    except UndecodableError:
        if len(response.body) < MIN_THREADED_DECODE_BYTES:
            return decode_leniently(response.body, expected, endpoint=response.endpoint)
    return await asyncio.to_thread(decode_leniently, response.body, expected, endpoint=response.endpoint)
