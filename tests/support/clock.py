"""A clock that tests move by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class FakeClock:
    """A clock that stands still; sleeping moves it and takes no real time."""

    current_time: datetime = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
    elapsed: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the moment that the test set."""
        return self.current_time

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        """Move the clock and let others run."""
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move both hands forward."""
        self.current_time += timedelta(seconds=seconds)
        self.elapsed += seconds
