"""What numbers are measured in: Grafana's name for it, and a word for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BOOLEAN",
    "BYTES",
    "CONCURRENT_USERS",
    "CORES",
    "DATE_TIME",
    "HOURS",
    "HOURS_AND_MINUTES",
    "MILLISECONDS",
    "PERCENT",
    "RELATIVE_CHANGE",
    "REQUESTS_PER_SECOND",
    "SECONDS",
    "SHARE",
    "TIME_AGO",
    "USERS",
    "Unit",
    "count_of",
]


@dataclass(frozen=True, slots=True)
class Unit:
    """``id`` is Grafana's, ``word`` stands in descriptions; None leaves the decimals to Grafana."""

    id: str
    description: str
    decimals: int | None = None


def count_of(noun: str) -> Unit:
    """Return the unit of things that are counted."""
    return Unit("none", noun, 0)


USERS: Final = count_of("users")
CONCURRENT_USERS: Final = Unit("none", "people at once", 1)
REQUESTS_PER_SECOND: Final = Unit("reqps", "requests per second")
HOURS_AND_MINUTES: Final = Unit("clocks", "hours and minutes", 1)
"""Hours stay hours: a working day is not a day."""

HOURS: Final = Unit("none", "hours", 1)
SECONDS: Final = Unit("s", "seconds")
MILLISECONDS: Final = Unit("none", "milliseconds", 0)
"""Rounded and never turned into seconds, as on Coder's page; Grafana's own unit would do so from 1000 on."""

SHARE: Final = Unit("percentunit", "share of the whole", 0)
RELATIVE_CHANGE: Final = Unit("percentunit", "change as a share of the number before", 0)
PERCENT: Final = Unit("percent", "percent", 0)
BYTES: Final = Unit("bytes", "bytes")
TIME_AGO: Final = Unit("dateTimeFromNow", "time ago")
DATE_TIME: Final = Unit("dateTimeAsIso", "date and time")
BOOLEAN: Final = Unit("none", "1 for yes, 0 for no", 0)
CORES: Final = Unit("none", "cores", 3)
