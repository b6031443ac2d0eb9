"""Time ranges that Coder's insights endpoints accept.

A day starts at midnight in a fixed offset of whole hours from UTC. A range starts at midnight and ends at
midnight; a range that includes today ends at the next full hour. Both ends have the same offset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

__all__ = [
    "SETTLED_AFTER",
    "Window",
    "day_ago",
    "first_day_of_quarter",
    "fixed_timezone",
    "format_time",
    "full_day",
    "last_days",
    "last_settled_day",
    "local_day",
    "parse_window",
    "past_weeks",
    "settled_days",
    "today_so_far",
    "yesterday",
]

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

SETTLED_AFTER = timedelta(hours=3)
"""Time after midnight until a day is final: Coder's rollup rewrites the last one to two hours."""

_DAYS_PATTERN = re.compile(r"([1-9][0-9]{0,2})d")


@dataclass(frozen=True, slots=True)
class Window:
    """A named half-open time range: ``start`` is included, ``end`` is excluded."""

    name: str
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return (self.end - self.start).total_seconds()


def fixed_timezone(offset: int) -> timezone:
    """Return the time zone of an offset in whole hours east of UTC, from -12 to 14."""
    if not -12 <= offset <= 14:
        raise ValueError(f"expected an offset from -12 to 14 hours, got {offset}")
    return UTC if offset == 0 else timezone(timedelta(hours=offset))


def local_day(now: datetime, offset: int = 0) -> date:
    """Return the calendar day of a time in the offset."""
    return now.astimezone(fixed_timezone(offset)).date()


def today_so_far(now: datetime, offset: int = 0) -> Window:
    """Return today up to the next full hour."""
    return Window("today", _midnight(local_day(now, offset), offset), _next_hour(now, offset))


def yesterday(now: datetime, offset: int = 0) -> Window:
    """Return the day before today."""
    today = _midnight(local_day(now, offset), offset)
    return Window("yesterday", today - DAY, today)


def last_days(now: datetime, days: int, offset: int = 0) -> Window:
    """Return today and the days before it, ``days`` in all, up to the next full hour."""
    if days < 1:
        raise ValueError(f"expected at least one day, got {days}")
    today = today_so_far(now, offset)
    return Window(f"{days}d", today.start - (days - 1) * DAY, today.end)


def day_ago(now: datetime, ago: int, offset: int = 0) -> Window:
    """Return the day ``ago`` days before today; 0 is today so far."""
    today = today_so_far(now, offset)
    if ago == 0:
        return Window("0", today.start, today.end)
    start = today.start - ago * DAY
    return Window(str(ago), start, start + DAY)


def past_weeks(now: datetime, count: int = 12, offset: int = 0) -> Window:
    """Return ``count`` weeks that end with the day before yesterday, as Coder's weekly chart does."""
    if count < 1:
        raise ValueError(f"expected at least one week, got {count}")
    end = yesterday(now, offset).start
    return Window(f"{count}w", end - 7 * count * DAY, end)


def full_day(day: date, offset: int = 0) -> Window:
    """Return a whole day, named by its date."""
    start = _midnight(day, offset)
    return Window(day.isoformat(), start, start + DAY)


def last_settled_day(now: datetime, offset: int = 0, settled_after: timedelta = SETTLED_AFTER) -> date:
    """Return the newest day whose data is final."""
    return local_day(now - settled_after, offset) - DAY


def settled_days(
    since: date, now: datetime, offset: int = 0, settled_after: timedelta = SETTLED_AFTER
) -> Window | None:
    """Return all final days from ``since`` on as one range; None if there is none yet."""
    last = last_settled_day(now, offset, settled_after)
    if last < since:
        return None
    return Window("closed", _midnight(since, offset), _midnight(last + DAY, offset))


def first_day_of_quarter(now: datetime, offset: int = 0) -> date:
    """Return the first day of the calendar quarter."""
    day = local_day(now, offset)
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def parse_window(name: str, now: datetime, offset: int = 0) -> Window:
    """Return the window named ``today``, ``yesterday`` or days such as ``7d``; raise ValueError otherwise."""
    if name == "today":
        return today_so_far(now, offset)
    if name == "yesterday":
        return yesterday(now, offset)
    if match := _DAYS_PATTERN.fullmatch(name):
        return last_days(now, int(match[1]), offset)
    raise ValueError(f'expected "today", "yesterday" or days from "1d" to "999d", got "{name}"')


def format_time(timestamp: datetime) -> str:
    """Return the time in the format of Coder's query parameters: RFC 3339, whole seconds, own offset."""
    text = timestamp.isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _midnight(day: date, offset: int) -> datetime:
    return datetime.combine(day, time(), fixed_timezone(offset))


def _next_hour(now: datetime, offset: int) -> datetime:
    return now.astimezone(fixed_timezone(offset)).replace(minute=0, second=0, microsecond=0) + HOUR
