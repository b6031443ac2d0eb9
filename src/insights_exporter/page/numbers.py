"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

__all__ = [
    "FAIR_FROM",
    "SLOW_FROM",
    "UNKNOWN",
    "Band",
    "age",
    "band",
    "count",
    "duration",
    "milliseconds",
    "moment",
    "share",
]

FAIR_FROM: Final = 0.15
"""Seconds from which on Coder's page draws a latency in yellow."""

SLOW_FROM: Final = 0.3
"""Seconds from which on it draws it in red."""


UNKNOWN: Final = "\u2013"
"""What stands for a number that nobody knows."""


class Band(Enum):
    """How good a latency is: the word, the sign and the class of style that show it."""

    GOOD = ("good", "●", "under 150 ms")
    FAIR = ("fair", "▲", "150 to 300 ms")
    SLOW = ("slow", "■", "300 ms and above")

    @property
    def word(self) -> str:
        """The word, which is the class of style, too."""
        return self.value[0]

    @property
    def sign(self) -> str:
        """A shape, so that the colour is not alone."""
        return self.value[1]

    @property
    def range(self) -> str:
        """The latencies that it holds."""
        return self.value[2]


def band(seconds: float) -> Band:
    """Return how good a latency is by the steps of Coder's page."""
    return Band.GOOD if seconds < FAIR_FROM else Band.FAIR if seconds < SLOW_FROM else Band.SLOW


def milliseconds(seconds: float | None) -> str:
    """Return a latency."""
    return UNKNOWN if seconds is None else f"{seconds * 1000:,.0f} ms"


def duration(seconds: float) -> str:
    """Return a time as Coder's page writes it: minutes below an hour, then hours with a decimal."""
    if 0 < seconds < 60:
        return "under a minute"
    if 60 <= seconds < 3600:
        whole = int(seconds // 60)
        return f"{whole} minute{'' if whole == 1 else 's'}"
    hours = round(seconds / 3600, 1)
    if hours >= 100:
        return f"{hours:,.0f} hours"
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in per cent."""
    if whole <= 0:
        return "0 %"
    percent = 100 * part / whole
    return "<1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def count(number: int | None) -> str:
    """Return a count; a dash where it is unknown."""
    return UNKNOWN if number is None else f"{number:,}"


def age(seconds: float) -> str:
    """Return how long ago something was."""
    if seconds < 5:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 60 and seconds >= 60):
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def moment(at: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
