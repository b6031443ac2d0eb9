"""Which ranges are asked for, and how ranges that several numbers need become one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from insights_exporter.coder import windows
from insights_exporter.coder.client import Interval
from insights_exporter.coder.windows import Window
from insights_exporter.settings import InsightsSettings

__all__ = ["Ask", "AskKey", "Endpoint", "Parts", "Plan", "plan"]

DAY = timedelta(days=1)
LIVELY = timedelta(days=7)
"""Windows up to this length are read anew at each poll while they move; in longer ones little changes."""


class Endpoint(StrEnum):
    """The three routes; texts, whose hash the interpreter keeps, as each key holds one."""

    REPORT = "report"
    ACTIVITY = "activity"
    LATENCY = "latency"


class AskKey(NamedTuple):
    """What makes two questions the same; ``end`` is None where the range reaches into today."""

    endpoint: Endpoint
    start: datetime
    end: datetime | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One question on one template, or on all of them.

    ``interval`` adds counts per day or week; ``report`` is False where these are all that is wanted.
    ``additive`` says that its seconds go into totals.
    """

    key: AskKey
    window: Window
    interval: Interval | None = None
    report: bool = True
    additive: bool = False

    @property
    def lively(self) -> bool:
        """Whether it is asked at each poll while its numbers move."""
        return self.additive or self.window.end - self.window.start <= LIVELY

    @property
    def intervals(self) -> int:
        """How many intervals the range has."""
        step = DAY * (7 if self.interval == "week" else 1)
        return -(-(self.window.end - self.window.start) // step) if self.interval else 0


class Parts(NamedTuple):
    """The questions whose answers make up a range."""

    report: Ask
    latency: Ask
    activity: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All ranges of a poll; the same for every template.

    ``parts`` says what the windows and the open days are made of.
    ``open_days`` are those since the anchor whose numbers may still change, today included. ``last_closed``
    is the newest day whose numbers do not.
    """

    now: datetime
    today: Window
    utc_offset: int
    anchor: date
    last_closed: date
    windows: tuple[Window, ...]
    open_days: tuple[Window, ...]
    parts: Mapping[Window, Parts]
    asks: tuple[Ask, ...]
    days: Ask
    weeks: Ask

    def key(self, endpoint: Endpoint, window: Window) -> AskKey:
        """Return the key of a question on a range as a whole."""
        return _key(endpoint, window, self.today.start)

    def closed_asks(self, through: date) -> tuple[Ask, ...]:
        """Return what must be asked to know all closed days after ``through``."""
        window = windows.closed_days(through + DAY, self.now, self.utc_offset)
        if window is None:
            return ()
        return tuple(
            Ask(self.key(endpoint, window), window, additive=True)
            for endpoint in (Endpoint.REPORT, Endpoint.ACTIVITY)
        )

    def last_closed_at(self, moment: datetime) -> date:
        """Return the newest day whose numbers no longer changed at that moment."""
        return windows.last_closed_day(moment, self.utc_offset)


def plan(settings: InsightsSettings, now: datetime) -> Plan:
    """Return what is to be asked at ``now``, the server's time."""
    offset = settings.utc_offset
    today = windows.today_so_far(now, offset)
    named = tuple(windows.named(name, now, offset) for name in settings.windows)
    anchor = settings.anchor or windows.first_day_of_quarter(now, offset)
    last_closed = windows.last_closed_day(now, offset)
    open_days = tuple(_open_days(now, offset, max(anchor, last_closed + DAY)))
    asks: dict[AskKey, Ask] = {}
    # Today comes first: it tells what moves.
    for window in (today, *open_days):
        for endpoint in (Endpoint.REPORT, Endpoint.ACTIVITY):
            key = _key(endpoint, window, today.start)
            asks[key] = Ask(key, window, additive=True)
    for window in named:
        single = window.end - window.start <= DAY
        for endpoint in Endpoint:
            spans = _spans(window, today.start) if endpoint is Endpoint.ACTIVITY else (window,)
            for span in spans:
                key = _key(endpoint, span, today.start)
                asks.setdefault(key, Ask(key, span, additive=single and endpoint is not Endpoint.LATENCY))
    days = _with_intervals(asks, windows.last_days(now, settings.days, offset), "day", today.start)
    weeks = _with_intervals(asks, windows.weeks(now, settings.weeks, offset), "week", today.start)
    return Plan(
        now=now,
        today=today,
        utc_offset=offset,
        anchor=anchor,
        last_closed=last_closed,
        windows=named,
        open_days=open_days,
        parts={window: _parts(window, today.start) for window in (*named, *open_days)},
        asks=tuple(asks.values()),
        days=days,
        weeks=weeks,
    )


def _parts(window: Window, midnight: datetime) -> Parts:
    report, latency = (
        Ask(_key(endpoint, window, midnight), window) for endpoint in (Endpoint.REPORT, Endpoint.LATENCY)
    )
    spans = _spans(window, midnight)
    return Parts(report, latency, tuple(Ask(_key(Endpoint.ACTIVITY, span, midnight), span) for span in spans))


def _spans(window: Window, midnight: datetime) -> tuple[Window, ...]:
    """Return the ranges whose seconds add up to those of a window.

    Each half hour counts for itself, so days may be added; those before today hardly ever change.
    """
    if not window.start < midnight < window.end:
        return (window,)
    return replace(window, end=midnight), replace(window, start=midnight)


def _key(endpoint: Endpoint, window: Window, midnight: datetime) -> AskKey:
    return AskKey(endpoint, window.start, window.end if window.end <= midnight else None)


def _with_intervals(asks: dict[AskKey, Ask], window: Window, interval: Interval, midnight: datetime) -> Ask:
    """Add counts per interval, to a question on the same range if there is one."""
    whole = _key(Endpoint.REPORT, window, midnight)
    shared = asks.get(whole)
    if shared is not None:
        ask = replace(shared, interval=interval)
    else:
        ask = Ask(whole._replace(interval=interval), window, interval, report=False)
    asks[ask.key] = ask
    return ask


def _open_days(now: datetime, offset: int, first: date) -> Iterator[Window]:
    today = windows.local_day(now, offset)
    for ago in range((today - first).days, -1, -1):
        yield windows.day_ago(now, ago, offset)
