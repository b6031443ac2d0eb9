from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.clock import Deadline
from insights_exporter.coder.rate_limit import RateLimiter
from insights_exporter.errors import RateLimited
from insights_exporter.simulator.api.rate_limiter import RateLimiter as SlidingWindow
from insights_exporter.telemetry import Telemetry
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

PATH = "/insights/templates"
NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)


def rate_limit_headers(remaining: int, seconds: float) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "512",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(NOW.timestamp() + seconds)),
    }


async def test_requests_wait_when_budget_is_exhausted() -> None:
    clock, telemetry = FakeClock(), RecordingTelemetry()
    limits = RateLimiter(clock=clock, telemetry=telemetry)
    limits.update(PATH, rate_limit_headers(remaining=2, seconds=40), server_time=NOW)
    await limits.acquire(PATH, endpoint=PATH)
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == []

    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]
    assert telemetry.rate_limit_waits == [40]


async def test_each_path_has_its_own_budget() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40), server_time=NOW)
    await limits.acquire("/users", endpoint="/users")

    assert clock.sleeps == []


async def test_reset_after_deadline_raises_immediately() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40), server_time=NOW)

    with pytest.raises(RateLimited) as caught:
        await limits.acquire(PATH, endpoint=PATH, deadline=Deadline.after(clock, 30.0))

    assert caught.value.retry_after == 40
    assert clock.sleeps == []


async def test_out_of_order_response_restores_no_budget() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40), server_time=NOW)
    limits.update(PATH, rate_limit_headers(remaining=1, seconds=40), server_time=NOW)
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_newer_response_raises_the_budget_of_a_sliding_window() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40), server_time=NOW)
    limits.update(PATH, rate_limit_headers(remaining=1, seconds=40), server_time=NOW + timedelta(seconds=1))
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == []


async def test_no_response_raises_the_budget_after_a_429() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    limits.back_off(PATH, 40)
    limits.update(PATH, rate_limit_headers(remaining=5, seconds=40), server_time=NOW + timedelta(seconds=1))
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_a_steady_rate_below_the_limit_of_a_sliding_window_never_waits() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    server = SlidingWindow(512, clock.now)
    for _ in range(4 * 450):
        await limits.acquire(PATH, endpoint=PATH)
        status = server.acquire(PATH, "exporter")

        assert status is not None
        assert status.allowed

        limits.update(PATH, status.headers(), server_time=clock.now().replace(microsecond=0))
        clock.advance(60 / 450)

    assert clock.sleeps == []


async def test_reset_uses_server_clock() -> None:
    """A server one hour ahead resets in 40 seconds, not in an hour and 40 seconds."""
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    server_time = NOW + timedelta(hours=1)
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=3640), server_time=server_time)
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_reset_time_is_capped() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=10**9), server_time=NOW)
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [300]


@pytest.mark.parametrize(
    ("headers", "invalid"),
    [
        ({}, []),
        ({"X-RateLimit-Remaining": "0"}, []),
        ({"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "1"}, ["X-RateLimit-Remaining"]),
        ({"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "1"}, ["X-RateLimit-Remaining"]),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "nan"}, ["X-RateLimit-Reset"]),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "inf"}, ["X-RateLimit-Reset"]),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1e999"}, ["X-RateLimit-Reset"]),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 5000}, ["X-RateLimit-Reset"]),
    ],
)
async def test_invalid_headers_set_no_budget_and_are_reported(
    headers: dict[str, str], invalid: list[str]
) -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())

    assert limits.update(PATH, headers, server_time=NOW) == invalid

    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == []


async def test_budgets_are_evicted() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, telemetry=Telemetry())
    for number in range(3000):
        limits.update(
            f"/templateversions/{number}/rich-parameters", rate_limit_headers(511, 60), server_time=NOW
        )
        clock.advance(1)

    assert len(limits._budgets) <= 1001
