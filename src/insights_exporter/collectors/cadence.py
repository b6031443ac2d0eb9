"""When something that hardly moves is asked again."""

from __future__ import annotations

from datetime import datetime
from zlib import crc32

__all__ = ["is_refresh_due"]


def is_refresh_due(key: str, *, last_refresh: datetime, now: datetime, interval: float) -> bool:
    """Say whether a new period of ``every`` seconds has begun between two moments.

    Periods begin at a moment that depends on the name, so that many things spread over a period, whatever the
    moment at which all of them were first asked, and in the same way on each replica.
    """
    phase = crc32(key.encode()) / 2**32
    return int(now.timestamp() / interval - phase) > int(last_refresh.timestamp() / interval - phase)
