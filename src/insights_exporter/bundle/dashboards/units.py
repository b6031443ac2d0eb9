"""What numbers are measured in: Grafana's name for it, and a word for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "AGO",
    "BYTES",
    "CALLS",
    "CHANGE",
    "CLOCK",
    "CORES",
    "HOURS",
    "MILLISECONDS",
    "MOMENT",
    "PEOPLE",
    "PERCENT",
    "SECONDS",
    "SHARE",
    "STATE",
    "USERS",
    "Unit",
    "count",
]


@dataclass(frozen=True, slots=True)
class Unit:
    """``id`` is Grafana's, ``word`` stands in descriptions; None leaves the decimals to Grafana."""

    id: str
    word: str
    decimals: int | None = None


def count(of: str) -> Unit:
    """Return the unit of things that are counted."""
    return Unit("none", of, 0)


USERS: Final = count("users")
PEOPLE: Final = Unit("none", "people at once", 1)
CALLS: Final = Unit("reqps", "requests per second")
CLOCK: Final = Unit("clocks", "hours and minutes", 1)
"""Hours stay hours: a working day is not a day."""

HOURS: Final = Unit("none", "hours", 1)
SECONDS: Final = Unit("s", "seconds")
MILLISECONDS: Final = Unit("none", "milliseconds", 0)
"""Rounded and never turned into seconds, as on Coder's page; Grafana's own unit would do so from 1000 on."""

SHARE: Final = Unit("percentunit", "share of the whole", 0)
CHANGE: Final = Unit("percentunit", "change as a share of the number before", 0)
PERCENT: Final = Unit("percent", "percent", 0)
BYTES: Final = Unit("bytes", "bytes")
AGO: Final = Unit("dateTimeFromNow", "time ago")
MOMENT: Final = Unit("dateTimeAsIso", "date and time")
STATE: Final = Unit("none", "1 for yes, 0 for no", 0)
CORES: Final = Unit("none", "cores", 3)
