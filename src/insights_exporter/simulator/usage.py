"""Use of one template by one user on one UTC day, minute by minute.

The minutes of a day in which an app was used are an integer of 1440 bits: a union is ``|``, a count is
``bit_count``, a half hour is a shift. Everything that the simulator answers is computed from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

__all__ = [
    "BUCKETS",
    "BUILTIN",
    "DAY_MINUTES",
    "TERMINAL",
    "UserDay",
    "buckets",
    "day_start",
    "half_hours",
    "minutes",
]

DAY_MINUTES = 1440
BUCKETS = 48
HALF_HOUR = (1 << 30) - 1

BUILTIN = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
"""The families of sessions that agents count, in the order in which Coder lists them."""

TERMINAL = "[terminal]"
"""What stands for the web terminal among custom apps."""


def day_start(day: date) -> datetime:
    """Return the midnight that begins a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def minutes(start: int, end: int, *, days: int = 1) -> int:
    """Return the set of the minutes of so many days from ``start`` to before ``end``."""
    start, end = max(0, start), min(days * DAY_MINUTES, end)
    return (1 << end) - (1 << start) if end > start else 0


@lru_cache(maxsize=1 << 15)
def buckets(mask: int) -> tuple[tuple[int, int], ...]:
    """Return (number, minutes used) of each half hour with any; kept, as days are asked for again."""
    found, index = [], 0
    while mask:
        if part := mask & HALF_HOUR:
            found.append((index, part.bit_count()))
        mask >>= 30
        index += 1
    return tuple(found)


@lru_cache(maxsize=1 << 15)
def half_hours(mask: int) -> int:
    """Return the set of half hours with any minute used."""
    return sum([1 << index for index, _ in buckets(mask)])


@dataclass(frozen=True, slots=True)
class UserDay:
    """One user's day in one template.

    ``agent`` holds the minutes of sessions by family, ``apps`` those of custom apps by slug. ``latency``
    is the median round trip in milliseconds by half hour; a half hour without one was not measured.
    """

    template: int
    user: int
    agent: Mapping[str, int] = field(default_factory=dict)
    apps: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, float] = field(default_factory=dict)

    sessions: int = field(init=False, compare=False)
    """The minutes with any session that agents count."""
    used: int = field(init=False, compare=False)
    """The minutes with any use at all."""
    measured: Sequence[float] = field(init=False, compare=False)
    """The latency of each half hour with any use that has one, in order."""

    def __post_init__(self) -> None:
        """Unite the minutes once; every answer asks for them."""
        sessions = _union(self.agent)
        used, known = sessions | _union(self.apps), self.latency
        object.__setattr__(self, "sessions", sessions)
        object.__setattr__(self, "used", used)
        measured = [known[index] for index, _ in buckets(used) if index in known] if known else ()
        object.__setattr__(self, "measured", measured)

    def within(self, mask: int) -> UserDay:
        """Return the part inside these minutes."""
        return UserDay(
            self.template,
            self.user,
            {key: kept for key, value in self.agent.items() if (kept := value & mask)},
            {key: kept for key, value in self.apps.items() if (kept := value & mask)},
            self.latency,
        )


def _union(masks: Mapping[str, int]) -> int:
    union = 0
    for mask in masks.values():
        union |= mask
    return union


def split_days(start: datetime, end: datetime) -> Iterator[tuple[date, int, int]]:
    """Yield (UTC day, first minute, end minute) of the days that a span touches."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    day = start.date()
    while (begin := day_start(day)) < end:
        first = max(0, int((start - begin).total_seconds() // 60))
        last = min(DAY_MINUTES, int((end - begin).total_seconds() // 60))
        if last > first:
            yield day, first, last
        day += timedelta(days=1)
