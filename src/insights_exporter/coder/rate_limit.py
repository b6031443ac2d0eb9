"""Client side of Coder's rate limit, which Coder counts per path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf

from insights_exporter.clock import Clock, Deadline
from insights_exporter.errors import RateLimited
from insights_exporter.http_headers import MAX_RETRY_AFTER, parse_count
from insights_exporter.telemetry import Telemetry

__all__ = ["DEFAULT_RETRY_AFTER", "RateLimiter"]

DEFAULT_RETRY_AFTER = 60.0
"""Seconds to wait after a 429 without a valid ``Retry-After``: Coder's rate limit counts per minute."""

MAX_PATHS = 1000


@dataclass(slots=True)
class _Budget:
    """The remaining requests of a path, until when they last, and the server's time of the report."""

    remaining: int
    resets_at: float
    reported_at: float


class RateLimiter:
    """Tracks the remaining requests of each path and delays requests to exhausted paths."""

    def __init__(self, *, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._budgets: dict[str, _Budget] = {}

    async def acquire(self, path: str, *, endpoint: str, deadline: Deadline | None = None) -> None:
        """Take one request from the path's budget, after a wait for its reset if it is exhausted.

        Raises RateLimited if the reset is after the deadline.
        """
        deadline = deadline or Deadline(self._clock)
        while (budget := self._budgets.get(path)) is not None:
            wait = budget.resets_at - self._clock.monotonic()
            if wait <= 0:
                # A concurrent request may have stored a newer budget; delete only the expired one.
                del self._budgets[path]
                return
            if budget.remaining > 0:
                budget.remaining -= 1
                return
            if not deadline.allows(wait):
                raise RateLimited(
                    f"Coder allows the next request in {wait:.0f} s, after this poll's deadline; "
                    "poll less often or raise CODER_API_RATE_LIMIT",
                    endpoint=endpoint,
                    retry_after=wait,
                )
            await self._clock.sleep(wait)
            self._telemetry.rate_limit_waited(wait)

    def update(self, path: str, headers: Mapping[str, str], *, server_time: datetime) -> list[str]:
        """Store the budget that the response headers report; return the names of invalid headers."""
        names = ("X-RateLimit-Remaining", "X-RateLimit-Reset")
        values = {name: parse_count(headers[name]) for name in names if name in headers}
        remaining, reset = (values.get(name) for name in names)
        if remaining is not None and reset is not None:
            wait = min(max(reset - server_time.timestamp(), 0.0), MAX_RETRY_AFTER)
            self._set_budget(path, remaining=remaining, wait=wait, reported_at=server_time.timestamp())
        return [name for name, value in values.items() if value is None]

    def back_off(self, path: str, seconds: float) -> None:
        """Block the path for that many seconds, after a 429."""
        self._set_budget(path, remaining=0, wait=min(seconds, MAX_RETRY_AFTER), reported_at=inf)

    def _set_budget(self, path: str, *, remaining: int, wait: float, reported_at: float) -> None:
        now = self._clock.monotonic()
        resets_at = now + wait
        current = self._budgets.get(path)
        if current is not None and current.resets_at >= resets_at - 1:
            # Coder's window slides, so the budget grows within a period. But responses can arrive out of
            # order: one that is not newer must not raise the budget.
            if reported_at <= current.reported_at:
                remaining = min(remaining, current.remaining)
            resets_at = max(resets_at, current.resets_at)
            reported_at = max(reported_at, current.reported_at)
        self._budgets[path] = _Budget(remaining, resets_at, reported_at)
        if len(self._budgets) > MAX_PATHS:
            self._budgets = {key: budget for key, budget in self._budgets.items() if budget.resets_at > now}
