"""A clock under the control of a test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class FakeClock:
    """A clock that advances by calls of ``sleep`` and ``advance`` only, without real time."""

    current_time: datetime = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
    elapsed: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the current fake time."""
        return self.current_time

    def monotonic(self) -> float:
        """Return the elapsed fake seconds."""
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        """Advance the clock and yield to other tasks."""
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Advance the time and the monotonic clock."""
        self.current_time += timedelta(seconds=seconds)
        self.elapsed += seconds
