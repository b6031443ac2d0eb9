"""A bucket of permissions that fills with time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bucket"]


@dataclass(slots=True)
class Bucket:
    """Holds up to ``burst`` permissions and gains one each ``interval`` seconds."""

    interval: float
    burst: int
    _level: float = -1.0
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one permission; say whether there was one."""
        if self._level < 0:
            self._level = float(self.burst)
        else:
            self._level = min(float(self.burst), self._level + (now - self._at) / self.interval)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True
