"""Coder's rate limit, which counts each path for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from insights_exporter.clock import Clock
from insights_exporter.coder.observer import Observer
from insights_exporter.errors import RateLimited

__all__ = ["RateLimiter", "parse_http_date", "parse_retry_after"]

DEFAULT_RETRY_AFTER = 60.0
"""Seconds to wait when a server limits us and does not say for how long: the length of Coder's own period."""

MAX_WAIT = 300.0
"""Seconds beyond which a server's wish is taken for a mistake."""

MAX_PATHS = 1000


@dataclass(slots=True)
class _Budget:
    remaining: int
    resets_at: float


class RateLimiter:
    """Knows per path how many requests the server still allows, and waits where that is none."""

    def __init__(self, *, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer
        self._budgets: dict[str, _Budget] = {}

    async def acquire(self, path: str, *, endpoint: str, deadline: float | None = None) -> None:
        """Take one request off the path's budget, waiting for its renewal if need be.

        Raises RateLimited where the renewal comes after the deadline, a moment of the clock's ``monotonic``.
        """
        while (budget := self._budgets.get(path)) is not None:
            wait = budget.resets_at - self._clock.monotonic()
            if wait <= 0:
                # Someone else who waited may have seen newer headers; only this budget is over.
                del self._budgets[path]
                return
            if budget.remaining > 0:
                budget.remaining -= 1
                return
            if deadline is not None and self._clock.monotonic() + wait >= deadline:
                raise RateLimited(
                    f"Coder allows the next request in {wait:.0f} s, after this poll's deadline; "
                    "poll less often or raise Coder's rate limit.",
                    endpoint=endpoint,
                    retry_after=wait,
                )
            await self._clock.sleep(wait)
            self._observer.rate_limit_waited(wait)

    def update(self, path: str, headers: Mapping[str, str]) -> None:
        """Learn from the headers of an answer."""
        try:
            remaining = int(headers["X-RateLimit-Remaining"])
            reset = float(headers["X-RateLimit-Reset"])
        except (KeyError, ValueError):
            return
        server_time = parse_http_date(headers.get("Date", "")) or self._clock.now()
        wait = min(max(reset - server_time.timestamp(), 0.0), MAX_WAIT)
        self._set_budget(path, remaining=max(remaining, 0), wait=wait)

    def back_off(self, path: str, seconds: float) -> None:
        """Let no request to the path go for that long, because the server said so."""
        self._set_budget(path, remaining=0, wait=min(seconds, MAX_WAIT))

    def _set_budget(self, path: str, *, remaining: int, wait: float) -> None:
        now = self._clock.monotonic()
        resets_at = now + wait
        current = self._budgets.get(path)
        if current is not None and current.resets_at >= resets_at - 1:
            # An answer of the same period that was overtaken by a later one must not give budget back.
            remaining = min(remaining, current.remaining)
            resets_at = max(resets_at, current.resets_at)
        self._budgets[path] = _Budget(remaining, resets_at)
        if len(self._budgets) > MAX_PATHS:
            self._budgets = {key: budget for key, budget in self._budgets.items() if budget.resets_at > now}


def parse_retry_after(headers: Mapping[str, str], *, now: datetime) -> float:
    """Return the seconds that the ``Retry-After`` header asks for; it may hold seconds or a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_WAIT)
    retry_at = parse_http_date(text)
    if retry_at is None:
        return DEFAULT_RETRY_AFTER
    server_time = parse_http_date(headers.get("Date", "")) or now
    return min(max((retry_at - server_time).total_seconds(), 0.0), MAX_WAIT)


@lru_cache(maxsize=16)
def parse_http_date(text: str) -> datetime | None:
    """Return the moment in UTC; None where the text is no date. Many answers come in one second."""
    try:
        timestamp = parsedate_to_datetime(text)
    except ValueError:
        return None
    return timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp.astimezone(UTC)
