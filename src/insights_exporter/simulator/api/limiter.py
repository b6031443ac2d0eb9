"""Coder's limit of requests per minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Budget", "RateLimiter"]

PERIOD = 60
"""Seconds."""

KEYS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left for a caller on a path; ``reset`` is in seconds since 1970."""

    limit: int
    remaining: int
    reset: int
    allowed: bool

    def headers(self) -> dict[str, str]:
        """Return the budget as Coder tells it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


@dataclass(slots=True)
class _Counts:
    minute: int
    before: int = 0
    now: int = 0


@dataclass(slots=True)
class RateLimiter:
    """Counts in a window that slides: the last minute's requests weigh what is left of it."""

    limit: int
    now: Callable[[], datetime]
    _counts: dict[tuple[str, str], _Counts] = field(default_factory=dict)

    def take(self, path: str, caller: str) -> Budget | None:
        """Count a request; None where nothing is limited."""
        if self.limit <= 0:
            return None
        seconds = self.now().timestamp()
        minute = int(seconds // PERIOD)
        counts = self._roll(path, caller, minute)
        weight = 1 - (seconds % PERIOD) / PERIOD
        used = round(counts.before * weight + counts.now)
        reset = (minute + 1) * PERIOD
        if used >= self.limit:
            return Budget(self.limit, 0, reset, allowed=False)
        counts.now += 1
        return Budget(self.limit, self.limit - used - 1, reset, allowed=True)

    def _roll(self, path: str, caller: str, minute: int) -> _Counts:
        counts = self._counts.get((path, caller))
        if counts is None:
            if len(self._counts) >= KEYS_KEPT:
                self._counts = {key: one for key, one in self._counts.items() if one.minute == minute}
            counts = self._counts[path, caller] = _Counts(minute)
        elif counts.minute != minute:
            before = counts.now if counts.minute == minute - 1 else 0
            counts.minute, counts.before, counts.now = minute, before, 0
        return counts
