"""Field types of responses with their bounds, and conversions from the wire's units and sentinels."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

__all__ = [
    "Amount",
    "Count",
    "Id",
    "Milliseconds",
    "Nanoseconds",
    "OptionalCount",
    "Text",
    "Time",
    "check_times",
    "is_plausible_time",
    "none_if_zero_time",
    "to_seconds",
]

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A count up to 2**53, the largest that a float represents exactly. An unknown count is None, never 0."""

Amount: TypeAlias = Annotated[float, Meta(ge=0, le=1 << 53)]
"""A count that may have decimals, such as hours."""

OptionalCount: TypeAlias = Annotated[int, Meta(ge=-1, le=1 << 53)]
"""A count, or -1 if Coder does not know it."""

Milliseconds: TypeAlias = Annotated[float, Meta(ge=-1, le=1e12)]
"""A duration in milliseconds; 0 or less means that nothing was measured."""

Nanoseconds: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A duration as Go encodes it."""

Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A date with an offset; the year 1 means "never". Structs call `check_times` for the upper bound."""

Text: TypeAlias = Annotated[str, Meta(max_length=1 << 20)]
"""Text of up to 2**20 characters."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
"""A required identifier; a row without it is invalid."""

_MAX_YEAR: Final = 2200
"""Conversion to UTC or addition of an interval overflows near the year 9999."""


def is_plausible_time(timestamp: datetime) -> bool:
    """Return whether arithmetic with the date cannot overflow; the zero time is plausible, too."""
    return timestamp.year < _MAX_YEAR


def check_times(*timestamps: datetime | None) -> None:
    """Raise ValueError for an implausible date, which msgspec reports as an invalid row."""
    for timestamp in timestamps:
        # This runs for every row, so it calls no function.
        if timestamp is not None and timestamp.year >= _MAX_YEAR:
            raise ValueError(f"expected a date before {_MAX_YEAR}")


def none_if_zero_time(timestamp: datetime | None) -> datetime | None:
    """Return the date, or None for Go's zero time, which means "never"."""
    return None if timestamp is None or timestamp.year <= 1 else timestamp


def to_seconds(milliseconds: float | None) -> float | None:
    """Return the duration in seconds; None if Coder did not measure it."""
    return None if milliseconds is None or milliseconds <= 0 else milliseconds / 1000
