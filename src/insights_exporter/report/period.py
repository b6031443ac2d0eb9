"""Periods of a report: a month, a quarter or a range of days, and the period that it is compared with.

A period consists of whole days in the configured offset from UTC. While it is not over, it ends with today.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from insights_exporter.coder import time_ranges
from insights_exporter.coder.time_ranges import Window
from insights_exporter.errors import ConfigError

__all__ = ["ComparedPeriods", "Period", "PeriodRequest", "Week", "compare_periods", "format_days"]

PREVIOUS: Final = "previous"
"""The value of ``--month`` and ``--quarter`` that stands for the last period that is over."""

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
MAX_DAYS: Final = 366

_MONTH_PATTERN: Final = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
_QUARTER_PATTERN: Final = re.compile(r"(2[0-9]{3})-Q([1-4])")
_MONTHS_PER_QUARTER: Final = 3


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from ``first_day`` to ``last_day``, both included.

    ``months`` is 1 for a month, 3 for a quarter and 0 for a range of days. ``name`` is part of file names.
    """

    name: str
    title: str
    first_day: date
    last_day: date
    months: int = 0

    @property
    def days(self) -> int:
        """The number of days."""
        return (self.last_day - self.first_day).days + 1

    @property
    def day_range(self) -> str:
        """The days in words."""
        return format_days(self.first_day, self.last_day)

    def window(self, now: datetime, utc_offset: int) -> Window:
        """Return the range of the requests; it ends at the next full hour if the last day is not over."""
        last = time_ranges.full_day(self.last_day, utc_offset)
        return Window(
            self.name,
            time_ranges.full_day(self.first_day, utc_offset).start,
            min(last.end, time_ranges.today_so_far(now, utc_offset).end),
        )

    def before(self) -> Period:
        """Return the month, the quarter, or the same number of days before this period."""
        last_day = self.first_day - DAY
        if self.months == 1:
            return _month(last_day.year, last_day.month)
        if self.months:
            return _quarter(last_day.year, (last_day.month - 1) // _MONTHS_PER_QUARTER + 1)
        return _day_range(last_day - timedelta(days=self.days - 1), last_day)


@dataclass(frozen=True, slots=True)
class Week:
    """A calendar week from Monday to Sunday; while it is not over, it ends with today."""

    first_day: date
    last_day: date
    is_over: bool
    """Whether the week has all its days."""


@dataclass(frozen=True, slots=True)
class ComparedPeriods:
    """A period, cut after today, and the period before it.

    While the period is not over, the period before has as many days, counted from its start.
    """

    period: Period
    previous: Period
    is_over: bool
    is_settled: bool
    """Whether Coder's data of the period is final: it rewrites the last hours for a while."""

    def weeks(self, today: date) -> Iterator[Week]:
        """Yield the calendar weeks that have a day in one of the two periods, the oldest first."""
        monday = self.previous.first_day - timedelta(days=self.previous.first_day.weekday())
        while monday <= self.period.last_day:
            sunday = monday + WEEK - DAY
            yield Week(monday, min(sunday, today), is_over=sunday < today)
            monday += WEEK


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRequest:
    """The options that select a period, as texts: ``--month``, ``--quarter``, or ``--from`` and ``--to``."""

    month: str | None = None
    quarter: str | None = None
    first_day: date | None = None
    last_day: date | None = None

    @property
    def option(self) -> str:
        """The option that an error names."""
        return "--month" if self.month else "--quarter" if self.quarter else "--from"

    def resolve(self, today: date) -> Period:
        """Return the period, also if it is not over; raise ConfigError for an invalid option."""
        if self.month is not None:
            return _parse_month(self.month, today)
        if self.quarter is not None:
            return _parse_quarter(self.quarter, today)
        if self.first_day is None:
            raise ConfigError("--to: expected --from, too, got --to only")
        last_day = self.last_day or max(today, self.first_day)
        if last_day < self.first_day:
            raise ConfigError(f"--to: expected {self.first_day} or later, got {last_day}")
        period = _day_range(self.first_day, last_day)
        if period.days > MAX_DAYS:
            raise ConfigError(f"--from: expected at most {MAX_DAYS} days, got {period.days}")
        return period


def compare_periods(request: PeriodRequest, now: datetime, utc_offset: int) -> ComparedPeriods:
    """Return the periods of a request; raise ConfigError if the period has not begun."""
    today = time_ranges.local_day(now, utc_offset)
    period = request.resolve(today)
    if period.first_day > today:
        raise ConfigError(
            f"{request.option}: expected a period that has begun, got {period.title}, which begins on "
            f"{period.first_day}; today is {today}"
        )
    previous = period.before()
    is_over = period.last_day < today
    if not is_over:
        period = replace(period, last_day=today)
        last_day = previous.first_day + timedelta(days=period.days - 1)
        previous = replace(previous, last_day=min(last_day, previous.last_day))
    is_settled = period.last_day <= time_ranges.last_settled_day(now, utc_offset)
    return ComparedPeriods(period, previous, is_over, is_settled)


def format_days(first: date, last: date) -> str:
    """Return a range of days in words, such as ``1 to 14 October 2026``."""
    end = f"{last.day} {last:%B %Y}"
    if first == last:
        return end
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {end}"
    return f"{first.day} {first:%B}{'' if first.year == last.year else f' {first.year}'} to {end}"


def _parse_month(text: str, today: date) -> Period:
    if text == PREVIOUS:
        return _month(today.year, today.month).before()
    match = _MONTH_PATTERN.fullmatch(text)
    if match is None:
        raise ConfigError(f'--month: expected a month such as "2026-10", or "{PREVIOUS}", got "{text}"')
    return _month(int(match[1]), int(match[2]))


def _parse_quarter(text: str, today: date) -> Period:
    if text == PREVIOUS:
        return _quarter(today.year, (today.month - 1) // _MONTHS_PER_QUARTER + 1).before()
    match = _QUARTER_PATTERN.fullmatch(text)
    if match is None:
        raise ConfigError(f'--quarter: expected a quarter such as "2026-Q3", or "{PREVIOUS}", got "{text}"')
    return _quarter(int(match[1]), int(match[2]))


def _month(year: int, month: int) -> Period:
    first = date(year, month, 1)
    return Period(f"{first:%Y-%m}", f"{first:%B %Y}", first, _last_day(year, month), months=1)


def _quarter(year: int, quarter: int) -> Period:
    month = _MONTHS_PER_QUARTER * quarter
    first = date(year, month - _MONTHS_PER_QUARTER + 1, 1)
    return Period(
        f"{year}-Q{quarter}",
        f"Quarter {quarter} of {year}",
        first,
        _last_day(year, month),
        months=_MONTHS_PER_QUARTER,
    )


def _day_range(first: date, last: date) -> Period:
    return Period(f"{first}-to-{last}", format_days(first, last), first, last)


def _last_day(year: int, month: int) -> date:
    return date(year, month, monthrange(year, month)[1])
