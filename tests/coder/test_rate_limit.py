from __future__ import annotations

from datetime import UTC, datetime

import pytest

from insights_exporter.coder.observer import NullObserver
from insights_exporter.coder.rate_limit import RateLimiter, parse_http_date, parse_retry_after
from insights_exporter.errors import RateLimited
from tests.support.clock import FakeClock

PATH = "/insights/templates"
NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
DATE = "Wed, 14 Jan 2026 10:20:00 GMT"


class RecordingObserver(NullObserver):
    """Remembers how long requests waited."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def rate_limit_waited(self, seconds: float) -> None:
        """Remember the wait."""
        self.waits.append(seconds)


def rate_limit_headers(remaining: int, seconds: float, date: str = DATE) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "512",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(NOW.timestamp() + seconds)),
        "Date": date,
    }


async def test_requests_wait_when_budget_is_exhausted() -> None:
    clock, waits = FakeClock(), RecordingObserver()
    limits = RateLimiter(clock=clock, observer=waits)
    limits.update(PATH, rate_limit_headers(remaining=2, seconds=40))
    await limits.acquire(PATH, endpoint=PATH)
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == []

    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]
    assert waits.waits == [40]


async def test_each_path_has_its_own_budget() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40))
    await limits.acquire("/users", endpoint="/users")

    assert clock.sleeps == []


async def test_reset_after_deadline_raises_immediately() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40))

    with pytest.raises(RateLimited) as caught:
        await limits.acquire(PATH, endpoint=PATH, deadline=30.0)

    assert caught.value.retry_after == 40
    assert clock.sleeps == []


async def test_out_of_order_response_restores_no_budget() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=40))
    limits.update(PATH, rate_limit_headers(remaining=1, seconds=40))
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_reset_uses_server_clock() -> None:
    """A server one hour ahead resets in 40 seconds, not in an hour and 40 seconds."""
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=3640, date="Wed, 14 Jan 2026 11:20:00 GMT"))
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_reset_time_is_capped() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    limits.update(PATH, rate_limit_headers(remaining=0, seconds=10**9))
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == [300]


@pytest.mark.parametrize(
    "broken",
    [{}, {"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "1"}, {"X-RateLimit-Remaining": "0"}],
)
async def test_invalid_headers_are_ignored(broken: dict[str, str]) -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    limits.update(PATH, broken)
    await limits.acquire(PATH, endpoint=PATH)

    assert clock.sleeps == []


async def test_budgets_are_evicted() -> None:
    clock = FakeClock()
    limits = RateLimiter(clock=clock, observer=NullObserver())
    for number in range(3000):
        limits.update(f"/templateversions/{number}/rich-parameters", rate_limit_headers(511, 60))
        clock.advance(1)

    assert len(limits._budgets) <= 1001


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Wed, 14 Jan 2026 10:20:30 GMT", 30.0),
        ("Wed, 14 Jan 2026 10:19:00 GMT", 0.0),
        ("", 60.0),
        ("soon", 60.0),
        ("-5", 60.0),
        ("999999999", 300.0),
    ],
)
def test_retry_after_holds_seconds_or_a_date(text: str, seconds: float) -> None:
    assert parse_retry_after({"Retry-After": text}, now=NOW) == seconds


def test_http_date_without_zone_is_utc() -> None:
    assert parse_http_date("Wed, 14 Jan 2026 10:20:00 -0000") == NOW
