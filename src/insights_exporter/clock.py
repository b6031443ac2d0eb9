"""Time as a parameter: the clock protocol, the system clock, monotonic deadlines and stoppable waits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "Deadline", "SystemClock", "run_until_stopped"]


class Clock(Protocol):
    """Wall-clock time, monotonic time and sleep; tests inject a fake."""

    def now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        ...

    def monotonic(self) -> float:
        """Return monotonic seconds since an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return monotonic seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in monotonic time; the default is never reached."""

    clock: Clock
    at: float = math.inf

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """Return the deadline that many seconds from now."""
        return cls(clock, clock.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; 0 or less after it, infinite without one."""
        return self.at - self.clock.monotonic()

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.remaining <= 0

    def allows(self, seconds: float) -> bool:
        """Return whether a wait of that many seconds ends before the deadline."""
        return self.remaining > seconds


async def run_until_stopped(stop_task: asyncio.Task[bool], awaitable: Awaitable[object]) -> None:
    """Await the awaitable, or cancel it when ``stop_task`` is done."""
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((stop_task, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
