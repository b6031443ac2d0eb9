"""Units: Grafana's id, the text for descriptions, and the decimals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BOOLEAN",
    "BYTES",
    "CONCURRENT_USERS",
    "DATE",
    "HOURS",
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
    """A unit; ``id`` is Grafana's, ``description`` is for people, None leaves the decimals to Grafana."""

    id: str
    description: str
    decimals: int | None = None

    @property
    def is_custom(self) -> bool:
        """Return whether the unit is a suffix or a date format instead of a unit of Grafana."""
        return ":" in self.id


def count_of(noun: str) -> Unit:
    """Return the unit of a count."""
    return Unit("none", noun, 0)


USERS: Final = count_of("users")
CONCURRENT_USERS: Final = Unit("none", "users at the same time", 1)
REQUESTS_PER_SECOND: Final = Unit("reqps", "requests per second")

HOURS: Final = Unit("suffix:h", "hours", 1)
"""Hours as on Coder's page. Grafana's ``h`` shows 99 hours as 4.1 days; ``clocks`` wraps at 100 hours."""

SECONDS: Final = Unit("s", "seconds")
MILLISECONDS: Final = Unit("suffix:ms", "milliseconds", 0)
"""Milliseconds as on Coder's page. Grafana's unit ``ms`` turns 1000 ms into 1 s."""

SHARE: Final = Unit("percentunit", "share", 0)
RELATIVE_CHANGE: Final = Unit("percentunit", "change relative to the earlier value", 0)
PERCENT: Final = Unit("percent", "percent", 0)
BYTES: Final = Unit("bytes", "bytes")
TIME_AGO: Final = Unit("dateTimeFromNow", "time ago")
DATE: Final = Unit("time:YYYY-MM-DD", "date")
BOOLEAN: Final = Unit("none", "1 for yes, 0 for no", 0)
