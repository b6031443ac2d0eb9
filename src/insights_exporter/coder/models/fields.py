"""The kinds of values that answers hold, with their bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

__all__ = ["Count", "Id", "Milliseconds", "OptionalCount", "Text", "Time", "none_if_zero_time", "to_seconds"]

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A number of things; above 2**53 a float could no longer hold it. An unknown one is None and never 0."""

OptionalCount: TypeAlias = Annotated[int, Meta(ge=-1, le=1 << 53)]
"""A number of things, or -1 where Coder does not know it."""

Milliseconds: TypeAlias = Annotated[float, Meta(ge=-1, le=1e12)]
"""A time in milliseconds; 0 or less says that nothing was measured."""

Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A moment with its offset; the year 1 stands for "never"."""

Text: TypeAlias = Annotated[str, Meta(max_length=1 << 20)]
"""Text of any sensible length."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
"""The identifier of a thing; without it a row cannot be used."""


def none_if_zero_time(timestamp: datetime | None) -> datetime | None:
    """Return the moment, or None where Coder's zero time stands for "never"."""
    return None if timestamp is None or timestamp.year <= 1 else timestamp


def to_seconds(milliseconds: float | None) -> float | None:
    """Return the time in seconds; None where Coder did not measure it."""
    return None if milliseconds is None or milliseconds <= 0 else milliseconds / 1000
