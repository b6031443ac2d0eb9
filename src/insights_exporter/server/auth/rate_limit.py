"""A bucket of permissions that fills with time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TokenBucket"]


@dataclass(slots=True)
class TokenBucket:
    """Holds up to ``burst`` permissions and gains one each ``interval`` seconds."""

    interval: float
    burst: int
    _tokens: float = -1.0
    _refilled_at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one permission; say whether there was one."""
        if self._tokens < 0:
            self._tokens = float(self.burst)
        else:
            self._tokens = min(float(self.burst), self._tokens + (now - self._refilled_at) / self.interval)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
