"""The time ranges that a backfill requests, and how much of each.

Coder answers for whole past days only, and for today up to a full hour. The days before the first written one
are requested in part: windows, weeks and counters reach back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Final

from insights_exporter.coder import time_ranges
from insights_exporter.coder.time_ranges import SETTLED_AFTER, Window
from insights_exporter.config.settings import InsightsSettings
from insights_exporter.errors import ConfigError

__all__ = ["Scope", "Step", "build_schedule", "end_of_backfill", "multi_day_windows"]

DAY: Final = timedelta(days=1)


class Scope(IntEnum):
    """How much of a range is requested; each includes the ones before it."""

    USERS = 0
    """Active users of the deployment, for weeks."""
    USAGE = 1
    """Apps and seconds of the deployment and of used templates, for windows and counters."""
    ALL = 2
    """Parameters, opens and latency, for the range itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """A range to request; samples are written for it if ``is_written``."""

    window: Window
    scope: Scope
    is_written: bool = False

    @property
    def name(self) -> str:
        """The first day, or the first and the last day of a longer range."""
        start, end = self.window.start, self.window.end
        last = (end - timedelta(microseconds=1)).astimezone(start.tzinfo).date()
        return (
            start.date().isoformat()
            if last == start.date()
            else f"{start.date().isoformat()}_{last.isoformat()}"
        )

    @property
    def poll_time(self) -> datetime:
        """The last second of the range: a poll at that time requests windows that end with the range."""
        return self.window.end - timedelta(seconds=1)


def end_of_backfill(first_day: date, last_day: date | None, now: datetime, offset: int) -> datetime:
    """Return where the samples end: after the last day, or at the newest full hour that is settled.

    Raises ConfigError for a range that Coder cannot answer. Data younger than three hours may still change.
    """
    newest = _newest_settled_end(now, offset)
    today = time_ranges.local_day(now, offset)
    for flag, day in (("--from", first_day), ("--to", last_day)):
        if day is not None and day > today:
            raise ConfigError(f"{flag}: expected a day up to today, {today}, got {day}")
    if last_day is not None and last_day < first_day:
        raise ConfigError(f"--to: expected a day from --from, {first_day}, on, got {last_day}")
    end = newest if last_day is None or last_day == today else time_ranges.full_day(last_day, offset).end
    if end > newest:
        raise ConfigError(
            f"--to: expected a day that ended at least three hours ago, got {last_day}; "
            "Coder still computes the last hours"
        )
    if end <= time_ranges.full_day(first_day, offset).start:
        raise ConfigError(
            f"--from: expected a day that began at least four hours ago, got {first_day}; "
            "Coder still computes the last hours"
        )
    return end


def _newest_settled_end(now: datetime, offset: int) -> datetime:
    """Return the newest end of a range that Coder accepts and no longer changes."""
    zone = time_ranges.fixed_timezone(offset)
    settled = (now - SETTLED_AFTER).astimezone(zone)
    if settled.date() == time_ranges.local_day(now, offset):
        return settled.replace(minute=0, second=0, microsecond=0)
    # Of a past day, Coder accepts no other end than its midnight.
    return time_ranges.full_day(settled.date(), offset).start


def build_schedule(first_day: date, end: datetime, settings: InsightsSettings) -> tuple[Step, ...]:
    """Return all ranges in the order of time.

    The day before the first one is requested as a whole: it is "yesterday" of the first day, and the counters
    rise from its values.
    """
    offset = settings.utc_offset
    baseline = first_day - DAY
    usage_start = baseline - (max(map(_days_back, settings.windows))) * DAY
    users_start = baseline - max(settings.days, 7 * settings.weeks + 1) * DAY
    steps = list(_anchor_range(baseline, usage_start, settings))
    day = min(users_start, usage_start)
    while (window := time_ranges.full_day(day, offset)).start < end:
        scope = Scope.ALL if day >= baseline else Scope.USAGE if day >= usage_start else Scope.USERS
        window = Window(window.name, window.start, min(window.end, end))
        steps.append(Step(window, scope, is_written=day >= first_day))
        day += DAY
    return tuple(steps)


def _anchor_range(baseline: date, usage_start: date, settings: InsightsSettings) -> Iterator[Step]:
    """Yield the range from the anchor to the first day with usage of its own, if there is any."""
    offset = settings.utc_offset
    anchor = settings.anchor or time_ranges.first_day_of_quarter(
        time_ranges.full_day(baseline, offset).start, offset
    )
    if anchor < usage_start:
        start, end = (time_ranges.full_day(day, offset).start for day in (anchor, usage_start))
        yield Step(Window("anchor", start, end), Scope.USAGE)


def _days_back(window_name: str) -> int:
    """Return how many days before today a window begins."""
    if window_name == "today":
        return 0
    return 1 if window_name == "yesterday" else int(window_name.removesuffix("d")) - 1


def multi_day_windows(settings: InsightsSettings, now: datetime) -> tuple[Window, ...]:
    """Return the windows whose parameters, opens and latency do not follow from single days."""
    windows = (time_ranges.parse_window(name, now, settings.utc_offset) for name in settings.windows)
    return tuple(window for window in windows if window.end - window.start > DAY)
