"""Every window that we ask for is one that Coder accepts."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.coder import windows
from insights_exporter.coder.windows import Window

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

moments = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone itself.
    max_value=datetime(2040, 12, 31),  # noqa: DTZ001 - as above.
    timezones=st.just(UTC),
)
offsets = st.integers(min_value=-12, max_value=14)
bounded = settings(max_examples=200)


def refusal(window: Window, now: datetime, interval: str | None = None) -> str | None:
    """Return why a server would refuse the window, restated from its rules and from the text that we send."""
    parsed = {}
    for name, moment in (("start", window.start), ("end", window.end)):
        text = windows.format_time(moment)
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", text):
            return f"{name} is malformed: {text}"
        parsed[name] = datetime.fromisoformat(text)
    for name, moment in parsed.items():
        here = now.astimezone(moment.tzinfo)
        hour = datetime.fromtimestamp(now.timestamp() // 3600 * 3600, UTC)
        if moment > hour + HOUR:
            return f"{name} is in the future"
        clock = (moment.hour, moment.minute, moment.second)
        today = name == "end" and moment.date() == here.date()
        if clock != (0, 0, 0) and not (today and clock[1:] == (0, 0)):
            return f"{name} is at {clock}"
    length = parsed["end"] - parsed["start"]
    if length < timedelta():
        return "the end is before the start"
    rest = length % (7 * DAY)
    if interval == "week" and rest and rest < 6 * DAY:
        return "the last week is too short"
    return None


@bounded
@given(moments, offsets, st.integers(1, 999))
def test_windows_that_reach_into_today_are_accepted(now: datetime, offset: int, days: int) -> None:
    for window in (
        windows.today_so_far(now, offset),
        windows.last_days(now, days, offset),
        windows.day_ago(now, 0, offset),
    ):
        assert refusal(window, now) is None
        assert now < window.end <= now + HOUR


@bounded
@given(moments, offsets, st.integers(1, 60), st.integers(1, 52))
def test_windows_of_the_past_are_accepted(now: datetime, offset: int, ago: int, count: int) -> None:
    for window in (
        windows.yesterday(now, offset),
        windows.day_ago(now, ago, offset),
        windows.closed_day(windows.last_closed_day(now, offset), offset),
    ):
        assert refusal(window, now) is None
        assert window.seconds == 86400
        assert window.end <= now

    assert refusal(windows.weeks(now, count, offset), now, interval="week") is None


@bounded
@given(moments, offsets, st.integers(0, 400))
def test_closed_days_are_accepted_and_settled(now: datetime, offset: int, back: int) -> None:
    since = windows.local_day(now, offset) - back * DAY
    window = windows.closed_days(since, now, offset)

    if window is None:
        assert since > windows.last_closed_day(now, offset)
    else:
        assert refusal(window, now) is None
        assert window.end + windows.SETTLED_AFTER <= now < window.end + DAY + windows.SETTLED_AFTER


@bounded
@given(moments, offsets, st.integers(1, 40))
def test_the_days_of_a_window_partition_it(now: datetime, offset: int, days: int) -> None:
    window = windows.last_days(now, days, offset)
    parts = list(window.days())

    assert len(parts) == days
    assert parts[0].start == window.start
    assert parts[-1].end == window.end
    assert all(earlier.end == later.start for earlier, later in pairwise(parts))
    assert all(refusal(part, now) is None for part in parts)


@bounded
@given(moments, offsets)
def test_the_seven_days_of_the_chart_make_the_seven_day_window(now: datetime, offset: int) -> None:
    days = [windows.day_ago(now, ago, offset) for ago in reversed(range(7))]
    whole = windows.last_days(now, 7, offset)

    assert (whole.start, whole.end) == (days[0].start, days[-1].end)
    assert all(earlier.end == later.start for earlier, later in pairwise(days))


@bounded
@given(moments, offsets)
def test_closed_days_and_the_open_rest_meet_without_gap(now: datetime, offset: int) -> None:
    closed = windows.closed_days(windows.first_day_of_quarter(now, offset) - DAY, now, offset)
    today = windows.today_so_far(now, offset)
    yesterday = windows.yesterday(now, offset)

    # Until yesterday has settled, both it and today are open.
    if closed is not None:
        assert closed.end in {today.start, yesterday.start}


@bounded
@given(moments, offsets)
def test_a_quarter_begins_on_its_first_day(now: datetime, offset: int) -> None:
    first = windows.first_day_of_quarter(now, offset)
    today = windows.local_day(now, offset)

    assert first.day == 1
    assert first.month in {1, 4, 7, 10}
    assert timedelta() <= today - first < timedelta(days=92)


def test_weeks_end_with_the_day_before_yesterday() -> None:
    """The page leaves yesterday and today out of its weekly chart."""
    now = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
    window = windows.weeks(now, 4)

    assert window == Window("4w", datetime(2025, 12, 16, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-01-14T00:00:00+00:00", "2026-01-14T01:00:00Z"),
        ("2026-01-14T10:59:59.999999+00:00", "2026-01-14T11:00:00Z"),
        ("2026-01-14T23:20:00+00:00", "2026-01-15T00:00:00Z"),
    ],
)
def test_today_ends_at_the_next_full_hour(now: str, end: str) -> None:
    window = windows.today_so_far(datetime.fromisoformat(now))

    assert windows.format_time(window.start) == "2026-01-14T00:00:00Z"
    assert windows.format_time(window.end) == end


def test_the_offset_decides_which_day_it_is() -> None:
    now = datetime(2026, 1, 14, 22, 30, tzinfo=UTC)
    window = windows.today_so_far(now, 2)

    assert windows.format_time(window.start) == "2026-01-15T00:00:00+02:00"
    assert windows.format_time(window.end) == "2026-01-15T01:00:00+02:00"
    assert windows.local_day(now, -12) == date(2026, 1, 14)


def test_fractions_of_seconds_are_not_sent() -> None:
    moment = datetime(2026, 1, 14, 10, 20, 30, 999999, tzinfo=timezone(-5 * HOUR))

    assert windows.format_time(moment) == "2026-01-14T10:20:30-05:00"


@pytest.mark.parametrize(
    ("name", "days"), [("today", 1), ("yesterday", 1), ("7d", 7), ("30d", 30), ("999d", 999)]
)
def test_a_window_is_found_by_its_name(name: str, days: int) -> None:
    window = windows.named(name, datetime(2026, 1, 14, 23, 20, tzinfo=UTC))

    assert window.name == name
    assert window.seconds == days * 86400


@pytest.mark.parametrize("name", ["", "0d", "07d", "1000d", "7", "7D", "week", "-1d", "7d "])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        windows.named(name, datetime(2026, 1, 14, tzinfo=UTC))


@pytest.mark.parametrize("offset", [-13, 15])
def test_offsets_beyond_the_map_are_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="-12 to 14"):
        windows.zone(offset)


@pytest.mark.parametrize("count", [0, -1])
def test_empty_windows_are_refused(count: int) -> None:
    now = datetime(2026, 1, 14, tzinfo=UTC)

    with pytest.raises(ValueError, match="at least one day"):
        windows.last_days(now, count)
    with pytest.raises(ValueError, match="at least one week"):
        windows.weeks(now, count)
