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
    "HALF_HOURS_PER_DAY",
    "MINUTES_PER_DAY",
    "SESSION_FAMILIES",
    "TERMINAL_SLUG",
    "UserDay",
    "day_start",
    "half_hour_counts",
    "half_hour_mask",
    "minute_mask",
]

MINUTES_PER_DAY = 1440
HALF_HOURS_PER_DAY = 48
HALF_HOUR_MASK = (1 << 30) - 1

SESSION_FAMILIES = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
"""The families of sessions that agents count, in the order in which Coder lists them."""

TERMINAL_SLUG = "[terminal]"
"""What stands for the web terminal among custom apps."""


def day_start(day: date) -> datetime:
    """Return the midnight that begins a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def minute_mask(start: int, end: int, *, days: int = 1) -> int:
    """Return the set of the minutes of so many days from ``start`` to before ``end``."""
    start, end = max(0, start), min(days * MINUTES_PER_DAY, end)
    return (1 << end) - (1 << start) if end > start else 0


@lru_cache(maxsize=1 << 15)
def half_hour_counts(mask: int) -> tuple[tuple[int, int], ...]:
    """Return (number, minutes used) of each half hour with any; kept, as days are asked for again."""
    counts, index = [], 0
    while mask:
        if half_hour := mask & HALF_HOUR_MASK:
            counts.append((index, half_hour.bit_count()))
        mask >>= 30
        index += 1
    return tuple(counts)


@lru_cache(maxsize=1 << 15)
def half_hour_mask(mask: int) -> int:
    """Return the set of half hours with any minute used."""
    return sum([1 << index for index, _ in half_hour_counts(mask)])


@dataclass(frozen=True, slots=True)
class UserDay:
    """One user's day in one template.

    ``agent`` holds the minutes of sessions by family, ``apps`` those of custom apps by slug. ``latency``
    is the median round trip in milliseconds by half hour; a half hour without one was not measured.
    """

    template: int
    user: int
    session_masks: Mapping[str, int] = field(default_factory=dict)
    app_masks: Mapping[str, int] = field(default_factory=dict)
    median_latency_ms: Mapping[int, float] = field(default_factory=dict)

    session_mask: int = field(init=False, compare=False)
    """The minutes with any session that agents count."""
    active_mask: int = field(init=False, compare=False)
    """The minutes with any use at all."""
    measured_latencies_ms: Sequence[float] = field(init=False, compare=False)
    """The latency of each half hour with any use that has one, in order."""

    def __post_init__(self) -> None:
        """Unite the minutes once; every answer asks for them."""
        session_mask = _union_masks(self.session_masks)
        active_mask, latency_by_half_hour = (
            session_mask | _union_masks(self.app_masks),
            self.median_latency_ms,
        )
        object.__setattr__(self, "session_mask", session_mask)
        object.__setattr__(self, "active_mask", active_mask)
        measured_latencies = (
            [
                latency_by_half_hour[index]
                for index, _ in half_hour_counts(active_mask)
                if index in latency_by_half_hour
            ]
            if latency_by_half_hour
            else ()
        )
        object.__setattr__(self, "measured_latencies_ms", measured_latencies)

    def clip(self, mask: int) -> UserDay:
        """Return the part inside these minutes."""
        return UserDay(
            self.template,
            self.user,
            {key: clipped for key, value in self.session_masks.items() if (clipped := value & mask)},
            {key: clipped for key, value in self.app_masks.items() if (clipped := value & mask)},
            self.median_latency_ms,
        )


def _union_masks(masks: Mapping[str, int]) -> int:
    union = 0
    for mask in masks.values():
        union |= mask
    return union


def split_days(start: datetime, end: datetime) -> Iterator[tuple[date, int, int]]:
    """Yield (UTC day, first minute, end minute) of the days that a span touches."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    day = start.date()
    while (midnight := day_start(day)) < end:
        first = max(0, int((start - midnight).total_seconds() // 60))
        last = min(MINUTES_PER_DAY, int((end - midnight).total_seconds() // 60))
        if last > first:
            yield day, first, last
        day += timedelta(days=1)
