"""Retries of transient errors with exponential backoff and full jitter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from insights_exporter.clock import Deadline
from insights_exporter.errors import RateLimited, UpstreamError

__all__ = ["Retrier", "RetryPolicy"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Number of retries after the first attempt, and the bounds of their delays in seconds."""

    retries: int = 3
    base_delay: float = 0.5
    max_delay: float = 15.0

    def delay(self, failures: int, error: UpstreamError, random: Random) -> float:
        """Return the delay before the next attempt, after that many failures.

        The delay is fully random, so that exporters that failed together do not retry together. A
        ``Retry-After`` of the server is respected and the random delay is added to it.
        """
        ceiling = min(self.max_delay, self.base_delay * 2 ** (failures - 1))
        jittered = random.uniform(0, ceiling)
        return error.retry_after + jittered if isinstance(error, RateLimited) else jittered


@dataclass(frozen=True, slots=True)
class Retrier:
    """Repeats attempts according to a policy."""

    policy: RetryPolicy
    random: Random

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        on_retry: Callable[[UpstreamError], None],
        deadline: Deadline,
    ) -> T:
        """Return the first result; raise the last error if it is permanent or no retry is left.

        An error whose delay would reach the deadline is raised at once.
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
                if not deadline.allows(delay):
                    raise
                on_retry(error)
            await deadline.clock.sleep(delay)
