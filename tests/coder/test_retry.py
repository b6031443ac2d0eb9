from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

import pytest

from insights_exporter.clock import Deadline
from insights_exporter.coder.retry import Retrier, RetryPolicy
from insights_exporter.errors import (
    BadResponse,
    Forbidden,
    RateLimited,
    RequestTimeout,
    ServerError,
    Unreachable,
    UpstreamError,
)
from tests.support.clock import FakeClock

ENDPOINT = "/insights/templates"


class Script:
    """Raises each error in turn, then succeeds."""

    def __init__(self, *errors: UpstreamError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        """Raise the next error, or return a result."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def retryable_errors() -> list[UpstreamError]:
    return [
        Unreachable("gone", endpoint=ENDPOINT),
        RequestTimeout("slow", endpoint=ENDPOINT),
        ServerError("broken", endpoint=ENDPOINT, status=502),
        BadResponse("cut", endpoint=ENDPOINT, truncated=True),
        RateLimited("wait", endpoint=ENDPOINT, retry_after=7),
    ]


async def retry(
    script: Script,
    clock: FakeClock,
    *,
    retries: int = 3,
    timeout: float = inf,
    on_retry: Callable[[UpstreamError], None] = lambda _: None,
) -> str:
    retrier = Retrier(RetryPolicy(retries), Random(1))
    return await retrier.run(script, on_retry=on_retry, deadline=Deadline.after(clock, timeout))


@pytest.mark.parametrize("error", retryable_errors(), ids=lambda error: error.reason)
async def test_retryable_error_is_retried(error: UpstreamError) -> None:
    script = Script(error)
    seen: list[str] = []
    result = await retry(script, FakeClock(), on_retry=lambda one: seen.append(one.reason))

    assert result == "answer"
    assert seen == [error.reason]


@pytest.mark.parametrize(
    "error", [Forbidden("no", endpoint=ENDPOINT, status=403), BadResponse("odd", endpoint=ENDPOINT)]
)
async def test_permanent_error_is_not_retried(error: UpstreamError) -> None:
    script = Script(error)
    clock = FakeClock()

    with pytest.raises(type(error)):
        await retry(script, clock)

    assert script.calls == 1
    assert clock.sleeps == []


async def test_retries_are_limited() -> None:
    script = Script(*(Unreachable("gone", endpoint=ENDPOINT) for _ in range(9)))

    with pytest.raises(Unreachable):
        await retry(script, FakeClock(), retries=3)

    assert script.calls == 4


async def test_exponential_backoff_with_full_jitter() -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=3.0)
    error = Unreachable("gone", endpoint=ENDPOINT)
    random = Random(7)
    for failures, ceiling in ((1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (50, 3.0)):
        delays = [policy.delay(failures, error, random) for _ in range(300)]

        assert 0 <= min(delays) < 0.1 * ceiling
        assert 0.9 * ceiling < max(delays) <= ceiling


async def test_retry_after_is_respected() -> None:
    clock = FakeClock()
    script = Script(RateLimited("wait", endpoint=ENDPOINT, retry_after=60))
    await retry(script, clock)

    assert 60 <= clock.elapsed <= 60.5


async def test_no_retry_past_deadline() -> None:
    """The rate limit is raised, not the deadline, because it is the cause."""
    clock = FakeClock()
    script = Script(RateLimited("wait", endpoint=ENDPOINT, retry_after=60))

    with pytest.raises(RateLimited):
        await retry(script, clock, timeout=59.0)

    assert clock.sleeps == []
