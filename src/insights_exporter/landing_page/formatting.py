"""Format numbers, times and names for the landing page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from insights_exporter.metrics.catalogue import LATENCY_FAIR, LATENCY_SLOW

__all__ = [
    "UNKNOWN_VALUE",
    "DisplayName",
    "LatencyBand",
    "display_name",
    "format_age",
    "format_count",
    "format_duration",
    "format_milliseconds",
    "format_percent",
    "format_timestamp",
    "latency_band",
    "replace_control_characters",
]

UNKNOWN_VALUE: Final = "\N{EN DASH}"
"""Placeholder for an unknown value."""

_MAX_TOOLTIP_FACTOR = 4
"""A tooltip holds this many times the characters of the text that it completes."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class LatencyBand(Enum):
    """A range of latencies: its label, which is also its CSS class, its symbol and its bounds as text."""

    GOOD = ("good", "●", f"under {LATENCY_FAIR * 1000:.0f} ms")
    FAIR = ("fair", "▲", f"{LATENCY_FAIR * 1000:.0f} to {LATENCY_SLOW * 1000:.0f} ms")
    SLOW = ("slow", "■", f"{LATENCY_SLOW * 1000:.0f} ms and above")

    @property
    def label(self) -> str:
        """The word for the band, which is also its CSS class."""
        return self.value[0]

    @property
    def symbol(self) -> str:
        """The shape that distinguishes the band without colour."""
        return self.value[1]

    @property
    def range_label(self) -> str:
        """The bounds of the band."""
        return self.value[2]


def latency_band(seconds: float) -> LatencyBand:
    """Return the band of a latency."""
    if seconds < LATENCY_FAIR:
        return LatencyBand.GOOD
    return LatencyBand.FAIR if seconds < LATENCY_SLOW else LatencyBand.SLOW


@dataclass(frozen=True, slots=True)
class DisplayName:
    """A name on one line, cut to the configured length; ``tooltip`` is more of it, or empty."""

    text: str
    tooltip: str = ""


def display_name(name: str, max_length: int, *, tooltip: str = "") -> DisplayName:
    """Return a name for display; a name that had to be cut has itself as the tooltip."""
    single_line = " ".join(name.split()) or "(no name)"
    if len(single_line) > max_length:
        return DisplayName(single_line[:max_length] + "…", single_line[: _MAX_TOOLTIP_FACTOR * max_length])
    return DisplayName(single_line, tooltip[:max_length])


def replace_control_characters(value: object) -> object:
    """Return a template value; characters that HTML or UTF-8 cannot carry become U+FFFD.

    Markup of jinja2 is a str as well: it passes unchanged, because its parts went through here.
    """
    if type(value) is str and not value.isprintable():
        return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


def format_milliseconds(seconds: float | None) -> str:
    """Return a latency in milliseconds."""
    return UNKNOWN_VALUE if seconds is None else f"{seconds * 1000:,.0f} ms"


def format_duration(seconds: float) -> str:
    """Return a duration as Coder's page shows it: minutes below an hour, then hours with one decimal."""
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
    """Return the share of a value in a total."""
    if total <= 0:
        return "0 %"
    percent = 100 * value / total
    return "<1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def format_count(number: int | None) -> str:
    """Return a count with thousands separators."""
    return UNKNOWN_VALUE if number is None else f"{number:,}"


def format_age(seconds: float) -> str:
    """Return an age as ``just now`` or in its largest unit."""
    if seconds < 5:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 60 and seconds >= 60):
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def format_timestamp(at: datetime) -> str:
    """Return a time in UTC with seconds."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
