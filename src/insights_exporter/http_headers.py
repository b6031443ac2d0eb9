"""Parsers of HTTP response headers; every result is finite and bounded, None stands for an invalid value."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

__all__ = ["MAX_RETRY_AFTER", "parse_count", "parse_http_date", "parse_retry_after"]

MAX_RETRY_AFTER = 300.0
"""Seconds; a server that requests a longer wait is misconfigured, or an attacker."""

_COUNT_PATTERN = re.compile(r"[0-9]{1,15}")
"""At most 15 digits, which a float represents exactly."""


def parse_count(text: str) -> int | None:
    """Return a non-negative decimal integer."""
    stripped = text.strip()
    return int(stripped) if _COUNT_PATTERN.fullmatch(stripped) else None


def parse_retry_after(text: str, *, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` header, which holds seconds or a date; at most 300."""
    seconds = parse_count(text)
    if seconds is not None:
        return min(float(seconds), MAX_RETRY_AFTER)
    retry_at = parse_http_date(text)
    if retry_at is None:
        return None
    return min(max((retry_at - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


@lru_cache(maxsize=16)
def parse_http_date(text: str) -> datetime | None:
    """Return the date in UTC. The cache pays because many responses carry the same second."""
    try:
        timestamp = parsedate_to_datetime(text)
        return timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
