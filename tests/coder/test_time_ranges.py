"""Time ranges that Coder accepts."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.coder import time_ranges
from insights_exporter.coder.time_ranges import Window

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

moments = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001  # Hypothesis adds the time zone.
    max_value=datetime(2040, 12, 31),  # noqa: DTZ001  # As above.
    timezones=st.just(UTC),
)
offsets = st.integers(min_value=-12, max_value=14)
fewer_examples = settings(max_examples=200)


def rejection_reason(window: Window, now: datetime, interval: str | None = None) -> str | None:
    """Return why Coder would reject the window, by an independent implementation of its rules."""
    parsed = {}
    for name, moment in (("start", window.start), ("end", window.end)):
        text = time_ranges.format_time(moment)
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", text):
            return f"{name} is malformed: {text}"
        parsed[name] = datetime.fromisoformat(text)
    for name, moment in parsed.items():
        local_now = now.astimezone(moment.tzinfo)
        hour = datetime.fromtimestamp(now.timestamp() // 3600 * 3600, UTC)
        if moment > hour + HOUR:
            return f"{name} is in the future"
        clock = (moment.hour, moment.minute, moment.second)
        today = name == "end" and moment.date() == local_now.date()
        if clock != (0, 0, 0) and not (today and clock[1:] == (0, 0)):
            return f"{name} is at {clock}"
    length = parsed["end"] - parsed["start"]
    if length < timedelta():
        return "the end is before the start"
    rest = length % (7 * DAY)
    if interval == "week" and rest and rest < 6 * DAY:
        return "the last week is too short"
    return None


@fewer_examples
@given(moments, offsets, st.integers(1, 999))
def test_windows_including_today_are_valid(now: datetime, offset: int, days: int) -> None:
    for window in (
        time_ranges.today_so_far(now, offset),
        time_ranges.last_days(now, days, offset),
        time_ranges.day_ago(now, 0, offset),
    ):
        assert rejection_reason(window, now) is None
        assert now < window.end <= now + HOUR


@fewer_examples
@given(moments, offsets, st.integers(1, 60), st.integers(1, 52))
def test_past_windows_are_valid(now: datetime, offset: int, ago: int, count: int) -> None:
    for window in (
        time_ranges.yesterday(now, offset),
        time_ranges.day_ago(now, ago, offset),
        time_ranges.full_day(time_ranges.last_settled_day(now, offset), offset),
    ):
        assert rejection_reason(window, now) is None
        assert window.seconds == 86400
        assert window.end <= now

    assert rejection_reason(time_ranges.past_weeks(now, count, offset), now, interval="week") is None


@fewer_examples
@given(moments, offsets, st.integers(0, 400))
def test_settled_days_are_valid_and_settled(now: datetime, offset: int, back: int) -> None:
    since = time_ranges.local_day(now, offset) - back * DAY
    window = time_ranges.settled_days(since, now, offset)

    if window is None:
        assert since > time_ranges.last_settled_day(now, offset)
    else:
        assert rejection_reason(window, now) is None
        assert window.end + time_ranges.SETTLED_AFTER <= now < window.end + DAY + time_ranges.SETTLED_AFTER


@fewer_examples
@given(moments, offsets)
def test_seven_days_equal_seven_day_window(now: datetime, offset: int) -> None:
    days = [time_ranges.day_ago(now, ago, offset) for ago in reversed(range(7))]
    window = time_ranges.last_days(now, 7, offset)

    assert (window.start, window.end) == (days[0].start, days[-1].end)
    assert all(earlier.end == later.start for earlier, later in pairwise(days))


@fewer_examples
@given(moments, offsets)
def test_settled_days_adjoin_open_days(now: datetime, offset: int) -> None:
    closed = time_ranges.settled_days(time_ranges.first_day_of_quarter(now, offset) - DAY, now, offset)
    today = time_ranges.today_so_far(now, offset)
    yesterday = time_ranges.yesterday(now, offset)

    # Until yesterday has settled, both it and today are open.
    if closed is not None:
        assert closed.end in {today.start, yesterday.start}


@fewer_examples
@given(moments, offsets)
def test_first_day_of_quarter(now: datetime, offset: int) -> None:
    first = time_ranges.first_day_of_quarter(now, offset)
    today = time_ranges.local_day(now, offset)

    assert first.day == 1
    assert first.month in {1, 4, 7, 10}
    assert timedelta() <= today - first < timedelta(days=92)


def test_past_weeks_end_before_yesterday() -> None:
    """Coder's weekly chart excludes yesterday and today."""
    now = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
    window = time_ranges.past_weeks(now, 4)

    assert window == Window("4w", datetime(2025, 12, 16, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-01-14T00:00:00+00:00", "2026-01-14T01:00:00Z"),
        ("2026-01-14T10:59:59.999999+00:00", "2026-01-14T11:00:00Z"),
        ("2026-01-14T23:20:00+00:00", "2026-01-15T00:00:00Z"),
    ],
)
def test_today_ends_at_next_full_hour(now: str, end: str) -> None:
    window = time_ranges.today_so_far(datetime.fromisoformat(now))

    assert time_ranges.format_time(window.start) == "2026-01-14T00:00:00Z"
    assert time_ranges.format_time(window.end) == end


def test_utc_offset_selects_calendar_day() -> None:
    now = datetime(2026, 1, 14, 22, 30, tzinfo=UTC)
    window = time_ranges.today_so_far(now, 2)

    assert time_ranges.format_time(window.start) == "2026-01-15T00:00:00+02:00"
    assert time_ranges.format_time(window.end) == "2026-01-15T01:00:00+02:00"
    assert time_ranges.local_day(now, -12) == date(2026, 1, 14)


def test_format_time_drops_fractions() -> None:
    moment = datetime(2026, 1, 14, 10, 20, 30, 999999, tzinfo=timezone(-5 * HOUR))

    assert time_ranges.format_time(moment) == "2026-01-14T10:20:30-05:00"


@pytest.mark.parametrize(
    ("name", "days"), [("today", 1), ("yesterday", 1), ("7d", 7), ("30d", 30), ("999d", 999)]
)
def test_parse_window(name: str, days: int) -> None:
    window = time_ranges.parse_window(name, datetime(2026, 1, 14, 23, 20, tzinfo=UTC))

    assert window.name == name
    assert window.seconds == days * 86400


@pytest.mark.parametrize("name", ["", "0d", "07d", "1000d", "7", "7D", "week", "-1d", "7d "])
def test_parse_window_rejects_invalid_names(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        time_ranges.parse_window(name, datetime(2026, 1, 14, tzinfo=UTC))


@pytest.mark.parametrize("offset", [-13, 15])
def test_invalid_utc_offset_is_rejected(offset: int) -> None:
    with pytest.raises(ValueError, match="-12 to 14"):
        time_ranges.fixed_timezone(offset)


@pytest.mark.parametrize("count", [0, -1])
def test_empty_window_is_rejected(count: int) -> None:
    now = datetime(2026, 1, 14, tzinfo=UTC)

    with pytest.raises(ValueError, match="at least one day"):
        time_ranges.last_days(now, count)
    with pytest.raises(ValueError, match="at least one week"):
        time_ranges.past_weeks(now, count)
