"""Periods: options, the period before, periods that are not over, and weeks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.errors import ConfigError
from insights_exporter.report.period import ComparedPeriods, PeriodRequest, compare_periods, format_days

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def compare(*, now: datetime = NOW, utc_offset: int = 0, **options: Any) -> ComparedPeriods:
    return compare_periods(PeriodRequest(**options), now, utc_offset)


@pytest.mark.parametrize(
    ("options", "name", "days", "previous"),
    [
        ({"month": "2026-10"}, "2026-10", 31, "2026-09"),
        ({"month": "2026-01"}, "2026-01", 31, "2025-12"),
        ({"month": "2024-02"}, "2024-02", 29, "2024-01"),
        ({"month": "previous"}, "2026-10", 31, "2026-09"),
        ({"quarter": "2026-Q3"}, "2026-Q3", 92, "2026-Q2"),
        ({"quarter": "2026-Q1"}, "2026-Q1", 90, "2025-Q4"),
        ({"quarter": "previous"}, "2026-Q3", 92, "2026-Q2"),
        (
            {"first_day": date(2026, 11, 9), "last_day": date(2026, 11, 15)},
            "2026-11-09-to-2026-11-15",
            7,
            "2026-11-02-to-2026-11-08",
        ),
    ],
)
def test_period_and_the_one_before(options: dict[str, Any], name: str, days: int, previous: str) -> None:
    periods = compare(**options)

    assert (periods.period.name, periods.period.days, periods.previous.name) == (name, days, previous)
    assert periods.previous.last_day == periods.period.first_day - DAY
    assert periods.is_over
    assert periods.is_settled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"month": "October"}, '--month: expected a month such as "2026-10", or "previous", got "October"'),
        ({"month": "2026-13"}, '--month: expected a month such as "2026-10", or "previous", got "2026-13"'),
        (
            {"quarter": "2026-Q5"},
            '--quarter: expected a quarter such as "2026-Q3", or "previous", got "2026-Q5"',
        ),
        ({"last_day": date(2026, 1, 1)}, "--to: expected --from, too, got --to only"),
        (
            {"first_day": date(2026, 10, 5), "last_day": date(2026, 10, 4)},
            "--to: expected 2026-10-05 or later, got 2026-10-04",
        ),
        ({"first_day": date(2025, 10, 5)}, "--from: expected at most 366 days, got 416"),
        (
            {"month": "2026-12"},
            (
                "--month: expected a period that has begun, got December 2026, which begins on 2026-12-01; "
                "today is 2026-11-24"
            ),
        ),
        (
            {"first_day": date(2026, 11, 25)},
            (
                "--from: expected a period that has begun, got 25 November 2026, which begins on 2026-11-25; "
                "today is 2026-11-24"
            ),
        ),
    ],
)
def test_invalid_options_name_the_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compare(**options)

    assert str(error.value) == message


def test_month_that_is_not_over_ends_today_and_compares_as_many_days() -> None:
    periods = compare(month="2026-11")

    assert not periods.is_over
    assert periods.period.last_day == date(2026, 11, 24)
    assert (periods.previous.first_day, periods.previous.last_day) == (date(2026, 10, 1), date(2026, 10, 24))
    assert periods.period.window(NOW, 0).end == datetime(2026, 11, 24, 15, tzinfo=UTC)


def test_shorter_month_before_is_compared_as_a_whole() -> None:
    periods = compare(month="2026-03", now=datetime(2026, 3, 31, 9, tzinfo=UTC))

    assert periods.previous.last_day == date(2026, 2, 28)


def test_range_without_end_ends_today() -> None:
    assert compare(first_day=date(2026, 11, 18)).period.day_range == "18 to 24 November 2026"


def test_period_is_final_three_hours_after_its_end() -> None:
    at_two, at_three = (
        compare(month="2026-10", now=datetime(2026, 11, 1, hour, tzinfo=UTC)) for hour in (2, 3)
    )

    assert (at_two.is_over, at_two.is_settled) == (True, False)
    assert (at_three.is_over, at_three.is_settled) == (True, True)


def test_days_begin_at_midnight_of_the_offset() -> None:
    now = datetime(2026, 10, 31, 20, tzinfo=UTC)

    assert compare(month="previous", now=now, utc_offset=0).period.name == "2026-09"
    assert compare(month="previous", now=now, utc_offset=9).period.name == "2026-10"
    window = compare(month="previous", now=now, utc_offset=9).period.window(now, 9)
    assert window.start.astimezone(UTC) == datetime(2026, 9, 30, 15, tzinfo=UTC)


@given(
    first_day=st.dates(date(2020, 1, 1), date(2026, 11, 24)),
    days=st.integers(1, 366),
    offset=st.integers(-12, 14),
)
def test_weeks_cover_both_periods_without_gaps(first_day: date, days: int, offset: int) -> None:
    periods = compare(first_day=first_day, last_day=first_day + timedelta(days=days - 1), utc_offset=offset)
    today = (NOW + timedelta(hours=offset)).date()
    weeks = list(periods.weeks(today))

    assert all(week.first_day.weekday() == 0 for week in weeks)
    assert all((week.last_day.weekday() == 6) or week.last_day == today for week in weeks)
    assert [week.first_day for week in weeks[1:]] == [week.first_day + 7 * DAY for week in weeks[:-1]]
    assert weeks[0].first_day <= periods.previous.first_day
    assert weeks[-1].first_day <= periods.period.last_day <= weeks[-1].last_day
    assert all(week.is_over for week in weeks[:-1])


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 10, 1), date(2026, 10, 1), "1 October 2026"),
        (date(2026, 10, 1), date(2026, 10, 31), "1 to 31 October 2026"),
        (date(2026, 9, 28), date(2026, 10, 4), "28 September to 4 October 2026"),
        (date(2025, 12, 29), date(2026, 1, 4), "29 December 2025 to 4 January 2026"),
    ],
)
def test_days_in_words(first: date, last: date, text: str) -> None:
    assert format_days(first, last) == text
