"""Time ranges of the insights routes, with the errors of Coder's validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from insights_exporter.simulator.api.errors import invalid_parameter

__all__ = ["TimeRange", "parse_range"]

RFC3339_LAYOUT = "2006-01-02T15:04:05Z07:00"

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
INTERVALS = {"day": DAY, "week": 7 * DAY}

_RFC3339_PATTERN = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:(Z)|([+-])(\d\d):(\d\d))", re.ASCII
)
_LAYOUT_ELEMENTS = tuple(
    (element, re.compile(pattern, re.ASCII))
    for element, pattern in (
        *(("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T")),
        *(("15", r"\d\d"), (":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d")),
        ("Z07:00", r"Z|[+-]\d\d:\d\d"),
    )
)
_FRACTION_PATTERN = re.compile(r"[.,]\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A half-open range in the offsets of the request."""

    start: datetime
    end: datetime

    def validate_interval(self, interval: str) -> None:
        """Raise ApiError 400 if the range cannot be split into such intervals."""
        if interval not in {"", "day", "week"}:
            raise invalid_parameter(field="interval", detail="must be one of [day week]")
        remainder = (self.end - self.start) % (7 * DAY)
        if interval == "week" and DAY * 0 < remainder < 6 * DAY:
            raise invalid_parameter(detail="Last report interval should have at least 6 days.")

    def intervals(self, interval: str) -> Iterator[TimeRange]:
        """Yield consecutive intervals in the offset of ``start``; the last one may be shorter."""
        step = INTERVALS[interval]
        end = self.end.astimezone(self.start.tzinfo)
        start = self.start
        while start < end:
            yield TimeRange(start, min(start + step, end))
            start += step


def parse_range(start_text: str, end_text: str, *, now: datetime) -> TimeRange:
    """Return the range; raise ApiError 400 for the first violated rule."""
    start = _parse_bound("start_time", start_text, now=now)
    _validate_clock("start_time", start_text, start, now=None)
    end = _parse_bound("end_time", end_text, now=now)
    _validate_clock("end_time", end_text, end, now=now)
    if end < start:
        raise invalid_parameter(
            field="end_time", detail='Query param "end_time" must be after than "start_time"'
        )
    return TimeRange(start, end)


def _parse_bound(name: str, text: str, *, now: datetime) -> datetime:
    time = _parse_rfc3339(text)
    if time is None:
        raise invalid_parameter(
            field=name,
            detail=f'Query param "{name}" must be a valid date format ({RFC3339_LAYOUT}): '
            f'parsing time "{text}"{_parse_error(text)}',
        )
    if time == ZERO_TIME:
        raise invalid_parameter(field=name, detail=f'Query param "{name}" must not be zero')
    latest = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
    if time > latest:
        raise invalid_parameter(field=name, detail=f'Query param "{name}" must not be in the future')
    return time


def _validate_clock(name: str, text: str, time: datetime, *, now: datetime | None) -> None:
    if now is not None and time.date() == now.astimezone(time.tzinfo).date():
        is_invalid, expected = (time.minute, time.second) != (0, 0), f"{time.hour:02}:00:00"
    else:
        is_invalid, expected = (time.hour, time.minute, time.second) != (0, 0, 0), "00:00:00"
    if is_invalid:
        raise invalid_parameter(
            field=name, detail=f'Query param "{name}" must have the clock set to {expected}, got {text}'
        )


def _parse_error(text: str) -> str:
    """Return the reason that Go's ``time.Parse`` gives for a malformed time."""
    rest = text
    for element, pattern in _LAYOUT_ELEMENTS:
        match = pattern.match(rest)
        if match is None:
            return f' as "{RFC3339_LAYOUT}": cannot parse "{rest}" as "{element}"'
        rest = rest[match.end() :]
        if element == "05" and (fraction := _FRACTION_PATTERN.match(rest)):
            rest = rest[fraction.end() :]
    return f': extra text: "{rest}"' if rest else ": day out of range"


def _parse_rfc3339(text: str) -> datetime | None:
    match = _RFC3339_PATTERN.fullmatch(text)
    if match is None:
        return None
    *numbers, fraction, is_utc, sign, hours, minutes = match.groups()
    zone = UTC
    if not is_utc:
        if int(minutes) > 59 or int(hours) > 23:
            return None
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(-offset if sign == "-" else offset) if offset else UTC
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    year, month, day, hour, minute, second = map(int, numbers)
    try:
        time = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)
        time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time
