"""Coder's rate limit: a sliding window of one minute by path and caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["RateLimitStatus", "RateLimiter"]

WINDOW_SECONDS = 60

MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """The budget of a caller on a path; ``reset`` is a Unix time in seconds."""

    limit: int
    remaining: int
    reset: int
    allowed: bool

    def headers(self) -> dict[str, str]:
        """Return the budget as response headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


@dataclass(slots=True)
class _WindowCounts:
    minute: int
    previous: int = 0
    current: int = 0


@dataclass(slots=True)
class RateLimiter:
    """A sliding window counter: requests of the previous minute are weighted by its remaining share."""

    limit: int
    now: Callable[[], datetime]
    _counts: dict[tuple[str, str], _WindowCounts] = field(default_factory=dict)

    def acquire(self, path: str, caller: str) -> RateLimitStatus | None:
        """Count a request and return the budget; None without a limit."""
        if self.limit <= 0:
            return None
        seconds = self.now().timestamp()
        minute = int(seconds // WINDOW_SECONDS)
        counts = self._rotate_window(path, caller, minute)
        weight = 1 - (seconds % WINDOW_SECONDS) / WINDOW_SECONDS
        request_count = round(counts.previous * weight + counts.current)
        resets_at = (minute + 1) * WINDOW_SECONDS
        if request_count >= self.limit:
            return RateLimitStatus(self.limit, 0, resets_at, allowed=False)
        counts.current += 1
        return RateLimitStatus(self.limit, self.limit - request_count - 1, resets_at, allowed=True)

    def _rotate_window(self, path: str, caller: str, minute: int) -> _WindowCounts:
        counts = self._counts.get((path, caller))
        if counts is None:
            if len(self._counts) >= MAX_KEYS:
                self._counts = {
                    key: counts_of_key
                    for key, counts_of_key in self._counts.items()
                    if counts_of_key.minute == minute
                }
            counts = self._counts[path, caller] = _WindowCounts(minute)
        elif counts.minute != minute:
            previous = counts.current if counts.minute == minute - 1 else 0
            counts.minute, counts.previous, counts.current = minute, previous, 0
        return counts
