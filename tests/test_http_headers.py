from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.http_headers import MAX_RETRY_AFTER, parse_count, parse_http_date, parse_retry_after

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Wed, 14 Jan 2026 10:20:30 GMT", 30.0),
        ("Wed, 14 Jan 2026 10:19:00 GMT", 0.0),
        ("999999999", 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("9" * 5000, None),
    ],
)
def test_retry_after_holds_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, now=NOW) == seconds


def test_http_date_without_zone_is_utc() -> None:
    assert parse_http_date("Wed, 14 Jan 2026 10:20:00 -0000") == NOW


@pytest.mark.parametrize("text", ["Fri, 31 Dec 9999 23:59:59 -2359", "Wed, 99 Jan 2026", "nan"])
def test_invalid_http_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


@given(st.text(max_size=40))
def test_parsers_accept_any_text(text: str) -> None:
    count, seconds = parse_count(text), parse_retry_after(text, now=NOW)

    assert count is None or 0 <= count < 10**15
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
    parse_http_date(text)
