"""Usage of one template by one user on one UTC day, by minute.

The minutes of a day with usage are an integer of 1440 bits: a union is ``|``, a count is ``bit_count``, a
half hour is a shift. All responses of the simulator are computed from these masks.
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
    "first_minute",
    "half_hour_counts",
    "half_hour_mask",
    "minute_mask",
    "minutes_before",
]

MINUTES_PER_DAY = 1440
HALF_HOURS_PER_DAY = 48
HALF_HOUR_MASK = (1 << 30) - 1

SESSION_FAMILIES = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
"""The session families that agents count, in Coder's order."""

TERMINAL_SLUG = "[terminal]"
"""The slug of the web terminal among custom apps."""


def day_start(day: date) -> datetime:
    """Return the start of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def minute_mask(start: int, end: int, *, days: int = 1) -> int:
    """Return the mask of the minutes [start, end), within ``days`` days."""
    start, end = max(0, start), min(days * MINUTES_PER_DAY, end)
    return (1 << end) - (1 << start) if end > start else 0


def first_minute(mask: int) -> int:
    """Return the first minute of a non-empty mask."""
    return (mask & -mask).bit_length() - 1


@lru_cache(maxsize=1 << 15)
def half_hour_counts(mask: int) -> tuple[tuple[int, int], ...]:
    """Return (index, used minutes) of each half hour with usage; cached, as days are requested repeatedly."""
    counts, index = [], 0
    while mask:
        if half_hour := mask & HALF_HOUR_MASK:
            counts.append((index, half_hour.bit_count()))
        mask >>= 30
        index += 1
    return tuple(counts)


@lru_cache(maxsize=1 << 15)
def half_hour_mask(mask: int) -> int:
    """Return the mask of the half hours with usage."""
    return sum([1 << index for index, _ in half_hour_counts(mask)])


@lru_cache(maxsize=4096)
def minutes_before(day: date, moment: datetime) -> int:
    """Return the minutes of a day before a time."""
    return minute_mask(0, int((moment - day_start(day)).total_seconds() // 60))


@dataclass(frozen=True, slots=True)
class UserDay:
    """One user's day in one template; ``template`` and ``user`` are indexes.

    ``session_masks`` holds the minutes of sessions by family, ``app_masks`` those of custom apps by slug.
    ``median_latency_ms`` holds the median by half hour; a missing half hour has no measurement.
    """

    template: int
    user: int
    session_masks: Mapping[str, int] = field(default_factory=dict)
    app_masks: Mapping[str, int] = field(default_factory=dict)
    median_latency_ms: Mapping[int, float] = field(default_factory=dict)

    session_mask: int = field(init=False, compare=False)
    """The minutes with any session."""
    active_mask: int = field(init=False, compare=False)
    """The minutes with any usage."""
    measured_latencies_ms: Sequence[float] = field(init=False, compare=False)
    """The latencies of the half hours with usage, in order."""

    def __post_init__(self) -> None:
        """Compute the unions once, since every request reads them."""
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
        """Return the usage within the mask."""
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
    """Yield (UTC day, first minute, end minute) of each day that the span overlaps."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    day = start.date()
    while (midnight := day_start(day)) < end:
        first = max(0, int((start - midnight).total_seconds() // 60))
        last = min(MINUTES_PER_DAY, int((end - midnight).total_seconds() // 60))
        if last > first:
            yield day, first, last
        day += timedelta(days=1)
