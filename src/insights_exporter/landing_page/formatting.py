"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

__all__ = [
    "FAIR_LATENCY_SECONDS",
    "SLOW_LATENCY_SECONDS",
    "UNKNOWN_VALUE",
    "LatencyBand",
    "format_age",
    "format_count",
    "format_duration",
    "format_milliseconds",
    "format_percent",
    "format_timestamp",
    "latency_band",
]

FAIR_LATENCY_SECONDS: Final = 0.15
"""Seconds from which on Coder's page draws a latency in yellow."""

SLOW_LATENCY_SECONDS: Final = 0.3
"""Seconds from which on it draws it in red."""


UNKNOWN_VALUE: Final = "\u2013"
"""What stands for a number that nobody knows."""


class LatencyBand(Enum):
    """How good a latency is: the word, the sign and the class of style that show it."""

    GOOD = ("good", "●", "under 150 ms")
    FAIR = ("fair", "▲", "150 to 300 ms")
    SLOW = ("slow", "■", "300 ms and above")

    @property
    def label(self) -> str:
        """The word, which is the class of style, too."""
        return self.value[0]

    @property
    def symbol(self) -> str:
        """A shape, so that the colour is not alone."""
        return self.value[1]

    @property
    def range_label(self) -> str:
        """The latencies that it holds."""
        return self.value[2]


def latency_band(seconds: float) -> LatencyBand:
    """Return how good a latency is by the steps of Coder's page."""
    return (
        LatencyBand.GOOD
        if seconds < FAIR_LATENCY_SECONDS
        else LatencyBand.FAIR
        if seconds < SLOW_LATENCY_SECONDS
        else LatencyBand.SLOW
    )


def format_milliseconds(seconds: float | None) -> str:
    """Return a latency."""
    return UNKNOWN_VALUE if seconds is None else f"{seconds * 1000:,.0f} ms"


def format_duration(seconds: float) -> str:
    """Return a time as Coder's page writes it: minutes below an hour, then hours with a decimal."""
    if 0 < seconds < 60:
        return "under a minute"
    if 60 <= seconds < 3600:
        minutes = int(seconds // 60)
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    hours = round(seconds / 3600, 1)
    if hours >= 100:
        return f"{hours:,.0f} hours"
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def format_percent(value: float, total: float) -> str:
    """Return a part of a whole in per cent."""
    if total <= 0:
        return "0 %"
    percent = 100 * value / total
    return "<1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def format_count(number: int | None) -> str:
    """Return a count; a dash where it is unknown."""
    return UNKNOWN_VALUE if number is None else f"{number:,}"


def format_age(seconds: float) -> str:
    """Return how long ago something was."""
    if seconds < 5:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 60 and seconds >= 60):
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def format_timestamp(at: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
