"""Numbers of the two windows of a report: ratios, changes and latency bands.

A number is None if it is unknown, or withheld by the privacy rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from insights_exporter.landing_page.formatting import LatencyBand, latency_band
from insights_exporter.report.data import CURRENT, PREVIOUS
from insights_exporter.report.document import LatencyBands, Measure
from insights_exporter.snapshot import TemplateUsage, WindowUsage

__all__ = [
    "Comparison",
    "WindowPair",
    "complete_sum",
    "good_latency_ratio",
    "known_sum",
    "latency_bands",
    "ratio",
]


@dataclass(frozen=True, slots=True)
class WindowPair:
    """The usage of the period and of the period before; None if a minimum group size withholds it."""

    current: WindowUsage | None
    previous: WindowUsage | None

    @classmethod
    def of(cls, usage: TemplateUsage) -> WindowPair:
        """Return the windows of a template or of the deployment."""
        windows = {window.window: window for window in usage.windows}
        return cls(windows.get(CURRENT), windows.get(PREVIOUS))

    @property
    def users(self) -> int | None:
        """Active users of the period."""
        return None if self.current is None else self.current.active_users

    @property
    def previous_users(self) -> int | None:
        """Active users of the period before."""
        return None if self.previous is None else self.previous.active_users

    @property
    def seconds(self) -> float | None:
        """Time of the period."""
        return None if self.current is None else self.current.seconds

    @property
    def previous_seconds(self) -> float | None:
        """Time of the period before."""
        return None if self.previous is None else self.previous.seconds

    @property
    def is_used(self) -> bool:
        """Whether there was usage in the period; withheld usage is some."""
        return self.current is None or bool(self.current.active_users)

    @property
    def was_used(self) -> bool:
        """Whether there was usage in the period before."""
        return self.previous is None or bool(self.previous.active_users)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares numbers with those of the period before, if Coder has data of it."""

    has_previous: bool

    def measure(self, value: float | None, previous: float | None) -> Measure:
        """Return a number with its change."""
        if not self.has_previous:
            return Measure(value=value)
        change = None if value is None or not previous else (value - previous) / previous
        return Measure(value=value, previous=previous, change=change)

    def users(self, usage: WindowPair) -> Measure:
        """Return the active users."""
        return self.measure(usage.users, usage.previous_users)

    def seconds(self, usage: WindowPair) -> Measure:
        """Return the time of all users."""
        return self.measure(usage.seconds, usage.previous_seconds)


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return the quotient; None if a part is unknown or the whole is 0."""
    return None if part is None or not whole else part / whole


def known_sum(values: Iterable[float | None]) -> float:
    """Return the sum of the values that are neither unknown nor withheld."""
    return sum(value for value in values if value is not None)


def complete_sum(values: Iterable[float | None]) -> float | None:
    """Return a sum; None if a value is unknown or withheld, as it would follow from the sum."""
    values = tuple(values)
    return None if None in values else known_sum(values)


def latency_bands(usage: WindowUsage | None) -> LatencyBands:
    """Return the users by latency band."""
    if usage is None or usage.latency.withheld:
        return LatencyBands()
    latency = usage.latency
    counts = dict.fromkeys(LatencyBand, 0)
    for seconds in latency.p50.values():
        counts[latency_band(seconds)] += 1
    return LatencyBands(
        good=counts[LatencyBand.GOOD],
        fair=counts[LatencyBand.FAIR],
        slow=counts[LatencyBand.SLOW],
        unmeasured=len(set(latency.users).union(usage.activity) - latency.p50.keys()),
        median_seconds=median(latency.p50.values()) if latency.p50 else None,
    )


def good_latency_ratio(bands: LatencyBands) -> float | None:
    """Return the share of the measured users in the best band."""
    if bands.good is None or bands.fair is None or bands.slow is None:
        return None
    return ratio(bands.good, bands.good + bands.fair + bands.slow)
