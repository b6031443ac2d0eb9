"""The ranges of time that the insights routes accept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from insights_exporter.simulator.api.problem import invalid_parameter

__all__ = ["Range", "parse_range"]

FORM = "2006-01-02T15:04:05Z07:00"

ZERO = datetime(1, 1, 1, tzinfo=UTC)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
STEPS = {"day": DAY, "week": 7 * DAY}

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:(Z)|([+-])(\d\d):(\d\d))", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Range:
    """A range with the offsets that were asked for; ``end`` does not belong to it."""

    start: datetime
    end: datetime

    def check_interval(self, interval: str) -> None:
        """Raise the problem where the range cannot be cut into such intervals."""
        if interval not in {"", "day", "week"}:
            raise invalid_parameter(field="interval", detail="must be one of [day week]")
        rest = (self.end - self.start) % (7 * DAY)
        if interval == "week" and DAY * 0 < rest < 6 * DAY:
            raise invalid_parameter(detail="Last report interval should have at least 6 days.")

    def intervals(self, interval: str) -> Iterator[Range]:
        """Yield consecutive parts in the offset of ``start``; the last one may be shorter."""
        step = STEPS[interval]
        end = self.end.astimezone(self.start.tzinfo)
        start = self.start
        while start < end:
            yield Range(start, min(start + step, end))
            start += step


def parse_range(start_text: str, end_text: str, *, now: datetime) -> Range:
    """Return the range; raise the problem of what is wrong first."""
    start = _moment("start_time", start_text, now=now)
    _refuse_clock("start_time", start_text, start, today=None)
    end = _moment("end_time", end_text, now=now)
    _refuse_clock("end_time", end_text, end, today=now)
    if end < start:
        raise invalid_parameter(
            field="end_time", detail='Query param "end_time" must be after than "start_time"'
        )
    return Range(start, end)


def _moment(name: str, text: str, *, now: datetime) -> datetime:
    moment = _parse(text)
    if moment is None:
        raise invalid_parameter(
            field=name,
            detail=f'Query param "{name}" must be a valid date format ({FORM}): '
            f'parsing time "{text}" as "{FORM}": cannot parse "{text}" as "{FORM}"',
        )
    if moment == ZERO:
        raise invalid_parameter(field=name, detail=f'Query param "{name}" must not be zero')
    latest = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
    if moment > latest:
        raise invalid_parameter(field=name, detail=f'Query param "{name}" must not be in the future')
    return moment


def _refuse_clock(name: str, text: str, moment: datetime, *, today: datetime | None) -> None:
    if today is not None and moment.date() == today.astimezone(moment.tzinfo).date():
        wrong, form = (moment.minute, moment.second) != (0, 0), "HH:00:00"
    else:
        wrong, form = (moment.hour, moment.minute, moment.second) != (0, 0, 0), "00:00:00"
    if wrong:
        raise invalid_parameter(
            field=name, detail=f'Query param "{name}" must have the clock set to {form}, got {text}'
        )


def _parse(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    *numbers, fraction, zulu, sign, hours, minutes = match.groups()
    zone = UTC
    if not zulu:
        if int(minutes) > 59 or int(hours) > 23:
            return None
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(-offset if sign == "-" else offset) if offset else UTC
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    year, month, day, hour, minute, second = map(int, numbers)
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment
