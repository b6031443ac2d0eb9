from __future__ import annotations

from datetime import UTC, datetime

import pytest

from insights_exporter.coder.limits import RateLimits, parse_http_date, retry_after
from insights_exporter.coder.observer import SilentObserver
from insights_exporter.errors import RateLimited
from tests.support.clock import FakeClock

PATH = "/insights/templates"
NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
DATE = "Wed, 14 Jan 2026 10:20:00 GMT"


class Waits(SilentObserver):
    """Remembers how long requests waited."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def rate_limit_waited(self, seconds: float) -> None:
        """Remember the wait."""
        self.seconds.append(seconds)


def headers(remaining: int, seconds: float, date: str = DATE) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "512",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(NOW.timestamp() + seconds)),
        "Date": date,
    }


async def test_requests_flow_while_the_budget_lasts_and_then_wait_for_its_renewal() -> None:
    clock, waits = FakeClock(), Waits()
    limits = RateLimits(clock=clock, observer=waits)
    limits.observe(PATH, headers(remaining=2, seconds=40))
    await limits.reserve(PATH, endpoint=PATH)
    await limits.reserve(PATH, endpoint=PATH)

    assert clock.sleeps == []

    await limits.reserve(PATH, endpoint=PATH)

    assert clock.sleeps == [40]
    assert waits.seconds == [40]


async def test_each_path_has_its_own_budget() -> None:
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    limits.observe(PATH, headers(remaining=0, seconds=40))
    await limits.reserve("/users", endpoint="/users")

    assert clock.sleeps == []


async def test_a_renewal_after_the_deadline_fails_at_once() -> None:
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    limits.observe(PATH, headers(remaining=0, seconds=40))

    with pytest.raises(RateLimited) as caught:
        await limits.reserve(PATH, endpoint=PATH, deadline=30.0)

    assert caught.value.retry_after == 40
    assert clock.sleeps == []


async def test_an_answer_that_was_overtaken_gives_no_budget_back() -> None:
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    limits.observe(PATH, headers(remaining=0, seconds=40))
    limits.observe(PATH, headers(remaining=1, seconds=40))
    await limits.reserve(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_the_servers_clock_counts_and_not_ours() -> None:
    """A server one hour ahead resets in 40 seconds, not in an hour and 40 seconds."""
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    limits.observe(PATH, headers(remaining=0, seconds=3640, date="Wed, 14 Jan 2026 11:20:00 GMT"))
    await limits.reserve(PATH, endpoint=PATH)

    assert clock.sleeps == [40]


async def test_an_absurd_wish_is_cut() -> None:
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    limits.observe(PATH, headers(remaining=0, seconds=10**9))
    await limits.reserve(PATH, endpoint=PATH)

    assert clock.sleeps == [300]


@pytest.mark.parametrize(
    "broken",
    [{}, {"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "1"}, {"X-RateLimit-Remaining": "0"}],
)
async def test_strange_headers_limit_nothing(broken: dict[str, str]) -> None:
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    limits.observe(PATH, broken)
    await limits.reserve(PATH, endpoint=PATH)

    assert clock.sleeps == []


async def test_budgets_of_paths_with_ids_are_forgotten() -> None:
    clock = FakeClock()
    limits = RateLimits(clock=clock, observer=SilentObserver())
    for number in range(3000):
        limits.observe(f"/templateversions/{number}/rich-parameters", headers(511, 60))
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
    assert retry_after({"Retry-After": text}, now=NOW) == seconds


def test_a_date_without_zone_is_taken_for_utc() -> None:
    assert parse_http_date("Wed, 14 Jan 2026 10:20:00 -0000") == NOW
