"""Durations such as ``1h30m``: one parser for exporter.yaml and for the web configuration file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["GO_UNITS", "UNITS", "parse_duration"]

UNITS: Final[Mapping[str, float]] = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Units of exporter.yaml, in seconds."""

GO_UNITS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
"""Units of Go's ``time.ParseDuration``, the grammar of the web configuration file; it has no days."""

_PART: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d)"
_DURATION: Final = re.compile(f"(?:{_PART})+")


def parse_duration(text: str, units: Mapping[str, float] = UNITS) -> float:
    """Return the seconds of a duration; raise ValueError for other texts and other units."""
    if not _DURATION.fullmatch(text):
        raise ValueError("not a duration")
    parts = re.findall(_PART, text)
    if any(unit not in units for _, unit in parts):
        raise ValueError("unknown unit")
    return float(sum(float(number) * units[unit] for number, unit in parts))
