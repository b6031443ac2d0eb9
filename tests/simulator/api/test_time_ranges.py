"""Time ranges are validated with Coder's errors; the first error is returned alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from insights_exporter.simulator.api.errors import ApiError
from insights_exporter.simulator.api.time_ranges import TimeRange, parse_range

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
START, END = "2026-11-18T00:00:00Z", "2026-11-24T15:00:00Z"


def rejected_field(start: str, end: str, *, interval: str = "", now: datetime = NOW) -> tuple[str, str]:
    """Return field and detail of the error."""
    with pytest.raises(ApiError) as error_info:
        parse_range(start, end, now=now).validate_interval(interval)
    body = error_info.value.body

    assert error_info.value.status == 400
    assert body.message == "Query parameter has invalid value."
    if not body.validations:
        return "", body.detail
    assert len(body.validations) == 1
    return body.validations[0].field, body.validations[0].detail


@pytest.mark.parametrize(
    ("start", "end", "field", "detail"),
    [
        (
            "yesterday",
            END,
            "start_time",
            'Query param "start_time" must be a valid date format (2006-01-02T15:04:05Z07:00): ',
        ),
        ("2026-11-18T00:00:00", END, "start_time", 'Query param "start_time" must be a valid date format'),
        ("2026-11-31T00:00:00Z", END, "start_time", 'Query param "start_time" must be a valid date format'),
        ("0001-01-01T00:00:00Z", END, "start_time", 'Query param "start_time" must not be zero'),
        ("2026-11-25T00:00:00Z", END, "start_time", 'Query param "start_time" must not be in the future'),
        (
            "2026-11-24T14:00:00Z",
            END,
            "start_time",
            'Query param "start_time" must have the clock set to 00:00:00, got 2026-11-24T14:00:00Z',
        ),
        (START, "2026-11-24T16:00:00Z", "end_time", 'Query param "end_time" must not be in the future'),
        (
            START,
            "2026-11-23T05:00:00Z",
            "end_time",
            'Query param "end_time" must have the clock set to 00:00:00, got 2026-11-23T05:00:00Z',
        ),
        (
            START,
            "2026-11-24T14:30:00Z",
            "end_time",
            'Query param "end_time" must have the clock set to 14:00:00, got 2026-11-24T14:30:00Z',
        ),
        # A range error belongs to the end.
        (START, "2026-11-17T00:00:00Z", "end_time", 'Query param "end_time" must be after than "start_time"'),
        # The start is validated first.
        ("nonsense", "nonsense", "start_time", 'Query param "start_time" must be a valid date format'),
    ],
)
def test_only_the_first_error_is_returned(start: str, end: str, field: str, detail: str) -> None:
    error = rejected_field(start, end)

    assert error[0] == field
    assert error[1].startswith(detail)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, END),
        # Equal bounds are an empty range.
        (START, START),
        # The clock rule ignores fractions of seconds.
        ("2026-11-18T00:00:00.123Z", END),
        # The bounds may have different offsets, as across the end of daylight saving time.
        ("2026-10-20T00:00:00+02:00", "2026-11-24T00:00:00+01:00"),
        # "Today" depends on the requested offset.
        ("2026-11-18T00:00:00+09:00", "2026-11-24T23:00:00+09:00"),
        # There is no maximum length.
        ("2016-01-01T00:00:00Z", END),
    ],
)
def test_valid_ranges_are_accepted(start: str, end: str) -> None:
    time_range = parse_range(start, end, now=NOW)

    assert time_range == TimeRange(datetime.fromisoformat(start), datetime.fromisoformat(end))


def test_end_can_be_the_next_midnight() -> None:
    now = datetime(2026, 11, 24, 23, 5, tzinfo=UTC)

    assert parse_range(START, "2026-11-25T00:00:00Z", now=now).end == now.replace(minute=0) + timedelta(
        hours=1
    )


def test_half_hour_utc_offsets_reach_the_limit_earlier() -> None:
    """The next full local hour lies half an hour beyond the next full hour in UTC."""
    half_past = datetime(2026, 11, 24, 14, 40, tzinfo=UTC)

    assert (
        rejected_field("2026-11-18T00:00:00+05:30", "2026-11-24T21:00:00+05:30", now=half_past)[0]
        == "end_time"
    )
    assert parse_range(
        "2026-11-18T00:00:00+05:30", "2026-11-24T20:00:00+05:30", now=half_past
    ).end == datetime(2026, 11, 24, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "accepted"), [(7, True), (13, True), (14, True), (6, True), (1, False), (10, False)]
)
def test_last_weekly_interval_needs_six_days(days: int, *, accepted: bool) -> None:
    start = (NOW.replace(hour=0, minute=0) - timedelta(days=days)).strftime("%Y-%m-%dT00:00:00Z")
    end = "2026-11-24T00:00:00Z"
    if accepted:
        parse_range(start, end, now=NOW).validate_interval("week")
    else:
        assert rejected_field(start, end, interval="week") == (
            "",
            "Last report interval should have at least 6 days.",
        )


def test_four_weeks_and_one_hour_are_rejected() -> None:
    """Across the end of daylight saving time, bounds with different offsets form such a range."""
    error = rejected_field("2026-10-20T00:00:00+02:00", "2026-11-17T00:00:00+01:00", interval="week")

    assert error == ("", "Last report interval should have at least 6 days.")


def test_unknown_interval_is_rejected() -> None:
    assert rejected_field(START, END, interval="month") == ("interval", "must be one of [day week]")


def test_intervals_keep_the_utc_offset_of_the_start() -> None:
    east = timezone(timedelta(hours=2))
    time_range = TimeRange(datetime(2026, 11, 21, tzinfo=east), datetime(2026, 11, 23, 13, tzinfo=UTC))

    assert list(time_range.intervals("day")) == [
        TimeRange(datetime(2026, 11, 21, tzinfo=east), datetime(2026, 11, 22, tzinfo=east)),
        TimeRange(datetime(2026, 11, 22, tzinfo=east), datetime(2026, 11, 23, tzinfo=east)),
        TimeRange(datetime(2026, 11, 23, tzinfo=east), datetime(2026, 11, 23, 15, tzinfo=east)),
    ]
    assert {interval.start.utcoffset() for interval in time_range.intervals("day")} == {timedelta(hours=2)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-18T00:00:00", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'),
        ("2026-11-18", ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("yesterday", ' as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
        ("2026-11-18T00:00:00Zjunk", ': extra text: "junk"'),
        ("2026-11-31T00:00:00Z", ": day out of range"),
    ],
)
def test_parse_errors_end_with_the_rest_of_the_text(text: str, reason: str) -> None:
    _, detail = rejected_field(text, END)

    assert detail.endswith(f'parsing time "{text}"{reason}')
