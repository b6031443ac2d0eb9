"""From a request to a decoded answer, with all the manners in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from insights_exporter.clock import Clock
from insights_exporter.coder.decode import Decoded, UndecodableError, decode_slowly, decode_strictly
from insights_exporter.coder.faults import Answer
from insights_exporter.coder.observer import Observer
from insights_exporter.coder.retry import Retrier, RetryPolicy
from insights_exporter.coder.transport import Request, Transport
from insights_exporter.errors import DeadlineExceeded, UpstreamError

__all__ = ["Exchange"]

T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes from which slow decoding leaves the event loop; fast decoding takes less than a thread's start."""


@dataclass(frozen=True)
class Exchange:
    """Waits for its turn and the rate limit, sends, decodes, and tries again what can heal.

    ``turn`` bounds how many requests are under way. ``deadline``, a moment of the clock's ``monotonic``,
    bounds everything; copies made by ``until`` share all else.
    """

    transport: Transport
    clock: Clock
    random: Random
    observer: Observer
    turn: asyncio.Semaphore
    policy: RetryPolicy
    deadline: float | None = None

    def until(self, deadline: float) -> Exchange:
        """Return this exchange with a deadline."""
        return replace(self, deadline=deadline)

    async def ask(self, request: Request, expected: type[T]) -> Decoded[T]:
        """Return the answer as that type; raise a kind of UpstreamError where there is none."""

        async def attempt() -> Decoded[T]:
            answer = await self._send(request)
            return await _decode(answer, expected)

        decoded = await self._retry(request, attempt)
        if decoded.dropped:
            self.observer.rows_dropped(request.endpoint, decoded.dropped, decoded.example)
        return decoded

    async def text(self, request: Request) -> str:
        """Return the answer as text; raise a kind of UpstreamError where there is none."""

        async def attempt() -> str:
            answer = await self._send(request)
            return answer.body.decode("utf-8", "replace")

        return await self._retry(request, attempt)

    async def _retry(self, request: Request, attempt: Callable[[], Awaitable[T]]) -> T:
        def note(error: UpstreamError) -> None:
            self.observer.retried(request.endpoint, error.reason)

        retrier = Retrier(self.policy, self.clock, self.random)
        return await retrier.run(attempt, on_retry=note, deadline=self.deadline)

    async def _send(self, request: Request) -> Answer:
        if self.deadline is None:
            return await self._in_turn(request)
        left = self.deadline - self.clock.monotonic()
        if left <= 0:
            raise _late(request)
        try:
            async with asyncio.timeout(left):
                return await self._in_turn(request)
        except TimeoutError:
            raise _late(request) from None

    async def _in_turn(self, request: Request) -> Answer:
        await self.transport.limits.reserve(request.path, endpoint=request.endpoint, deadline=self.deadline)
        async with self.turn:
            return await self.transport.send(request)


def _late(request: Request) -> DeadlineExceeded:
    return DeadlineExceeded(
        "the poll's time is over; poll less, or grant it more time.", endpoint=request.endpoint
    )


async def _decode(answer: Answer, expected: type[T]) -> Decoded[T]:
    try:
        return Decoded(decode_strictly(answer.body, expected))
    except UndecodableError:
        if len(answer.body) < LARGE:
            return decode_slowly(answer.body, expected, endpoint=answer.endpoint)
    return await asyncio.to_thread(decode_slowly, answer.body, expected, endpoint=answer.endpoint)
