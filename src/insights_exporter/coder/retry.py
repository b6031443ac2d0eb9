"""Trying again what can heal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from insights_exporter.clock import Clock
from insights_exporter.errors import RateLimited, UpstreamError

__all__ = ["Retrier", "RetryPolicy"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and with which pauses, in seconds; ``retries`` counts tries after the first."""

    retries: int = 3
    base_delay: float = 0.5
    max_delay: float = 15.0

    def delay(self, failures: int, error: UpstreamError, random: Random) -> float:
        """Return how long to wait after so many failures.

        The whole pause is drawn at random, so that exporters which failed together do not return together. A
        wait that the server asked for is kept in full and a little is added to it.
        """
        ceiling = min(self.max_delay, self.base_delay * 2 ** (failures - 1))
        jittered = random.uniform(0, ceiling)
        return error.retry_after + jittered if isinstance(error, RateLimited) else jittered


@dataclass(frozen=True, slots=True)
class Retrier:
    """Repeats attempts by a policy."""

    policy: RetryPolicy
    clock: Clock
    random: Random

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        on_retry: Callable[[UpstreamError], None],
        deadline: float | None = None,
    ) -> T:
        """Return what an attempt returns; raise its last error where it does not heal in time.

        ``deadline`` is a moment of the clock's ``monotonic``: a pause that would reach it is not begun.
        """
        failures = 0
        while True:
            try:
                return await attempt()
            except UpstreamError as error:
                failures += 1
                if not error.retryable or failures > self.policy.retries:
                    raise
                delay = self.policy.delay(failures, error, self.random)
                if deadline is not None and self.clock.monotonic() + delay >= deadline:
                    raise
                on_retry(error)
            await self.clock.sleep(delay)
