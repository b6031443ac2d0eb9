"""Which ranges are asked for, and how ranges that several numbers need become one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from insights_exporter.coder import time_ranges
from insights_exporter.coder.client import Interval
from insights_exporter.coder.time_ranges import Window
from insights_exporter.config.settings import InsightsSettings

__all__ = ["InsightsEndpoint", "Query", "QueryKey", "QueryPlan", "WindowQueries", "build_plan"]

DAY = timedelta(days=1)
SHORT_WINDOW = timedelta(days=7)
"""Windows up to this length are read anew at each poll while they move; in longer ones little changes."""


class InsightsEndpoint(StrEnum):
    """The three routes; texts, whose hash the interpreter keeps, as each key holds one."""

    REPORT = "report"
    ACTIVITY = "activity"
    LATENCY = "latency"


class QueryKey(NamedTuple):
    """What makes two questions the same; ``end`` is None where the range reaches into today."""

    endpoint: InsightsEndpoint
    start: datetime
    end: datetime | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One question on one template, or on all of them.

    ``interval`` adds counts per day or week; ``report`` is False where these are all that is wanted.
    ``additive`` says that its seconds go into totals.
    """

    key: QueryKey
    window: Window
    interval: Interval | None = None
    include_report: bool = True
    additive: bool = False

    @property
    def refresh_every_poll(self) -> bool:
        """Whether it is asked at each poll while its numbers move."""
        return self.additive or self.window.end - self.window.start <= SHORT_WINDOW

    @property
    def interval_count(self) -> int:
        """How many intervals the range has."""
        step = DAY * (7 if self.interval == "week" else 1)
        return -(-(self.window.end - self.window.start) // step) if self.interval else 0


class WindowQueries(NamedTuple):
    """The questions whose answers make up a range."""

    report: Query
    latency: Query
    activity: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """All ranges of a poll; the same for every template.

    ``parts`` says what the windows and the open days are made of.
    ``open_days`` are those since the anchor whose numbers may still change, today included. ``last_closed``
    is the newest day whose numbers do not.
    """

    now: datetime
    today: Window
    utc_offset: int
    anchor: date
    last_settled_day: date
    windows: tuple[Window, ...]
    unsettled_days: tuple[Window, ...]
    window_queries: Mapping[Window, WindowQueries]
    queries: tuple[Query, ...]
    daily_query: Query
    weekly_query: Query

    def key(self, endpoint: InsightsEndpoint, window: Window) -> QueryKey:
        """Return the key of a question on a range as a whole."""
        return _query_key(endpoint, window, self.today.start)

    def settled_queries(self, after: date) -> tuple[Query, ...]:
        """Return what must be asked to know all closed days after ``through``."""
        window = time_ranges.settled_days(after + DAY, self.now, self.utc_offset)
        if window is None:
            return ()
        return tuple(
            Query(self.key(endpoint, window), window, additive=True)
            for endpoint in (InsightsEndpoint.REPORT, InsightsEndpoint.ACTIVITY)
        )

    def last_settled_day_at(self, timestamp: datetime) -> date:
        """Return the newest day whose numbers no longer changed at that moment."""
        return time_ranges.last_settled_day(timestamp, self.utc_offset)


def build_plan(settings: InsightsSettings, now: datetime) -> QueryPlan:
    """Return what is to be asked at ``now``, the server's time."""
    offset = settings.utc_offset
    today = time_ranges.today_so_far(now, offset)
    configured_windows = tuple(time_ranges.parse_window(name, now, offset) for name in settings.windows)
    anchor = settings.anchor or time_ranges.first_day_of_quarter(now, offset)
    last_settled_day = time_ranges.last_settled_day(now, offset)
    unsettled_days = tuple(_unsettled_days(now, offset, max(anchor, last_settled_day + DAY)))
    queries: dict[QueryKey, Query] = {}
    # Today comes first: it tells what moves.
    for window in (today, *unsettled_days):
        for endpoint in (InsightsEndpoint.REPORT, InsightsEndpoint.ACTIVITY):
            key = _query_key(endpoint, window, today.start)
            queries[key] = Query(key, window, additive=True)
    for window in configured_windows:
        is_single_day = window.end - window.start <= DAY
        for endpoint in InsightsEndpoint:
            subwindows = (
                _split_at_midnight(window, today.start)
                if endpoint is InsightsEndpoint.ACTIVITY
                else (window,)
            )
            for subwindow in subwindows:
                key = _query_key(endpoint, subwindow, today.start)
                queries.setdefault(
                    key,
                    Query(
                        key, subwindow, additive=is_single_day and endpoint is not InsightsEndpoint.LATENCY
                    ),
                )
    daily_query = _add_interval_query(
        queries, time_ranges.last_days(now, settings.days, offset), "day", today.start
    )
    weekly_query = _add_interval_query(
        queries, time_ranges.past_weeks(now, settings.weeks, offset), "week", today.start
    )
    return QueryPlan(
        now=now,
        today=today,
        utc_offset=offset,
        anchor=anchor,
        last_settled_day=last_settled_day,
        windows=configured_windows,
        unsettled_days=unsettled_days,
        window_queries={
            window: _window_queries(window, today.start) for window in (*configured_windows, *unsettled_days)
        },
        queries=tuple(queries.values()),
        daily_query=daily_query,
        weekly_query=weekly_query,
    )


def _window_queries(window: Window, midnight: datetime) -> WindowQueries:
    report, latency = (
        Query(_query_key(endpoint, window, midnight), window)
        for endpoint in (InsightsEndpoint.REPORT, InsightsEndpoint.LATENCY)
    )
    subwindows = _split_at_midnight(window, midnight)
    return WindowQueries(
        report,
        latency,
        tuple(
            Query(_query_key(InsightsEndpoint.ACTIVITY, subwindow, midnight), subwindow)
            for subwindow in subwindows
        ),
    )


def _split_at_midnight(window: Window, midnight: datetime) -> tuple[Window, ...]:
    """Return the ranges whose seconds add up to those of a window.

    Each half hour counts for itself, so days may be added; those before today hardly ever change.
    """
    if not window.start < midnight < window.end:
        return (window,)
    return replace(window, end=midnight), replace(window, start=midnight)


def _query_key(endpoint: InsightsEndpoint, window: Window, midnight: datetime) -> QueryKey:
    return QueryKey(endpoint, window.start, window.end if window.end <= midnight else None)


def _add_interval_query(
    queries: dict[QueryKey, Query], window: Window, interval: Interval, midnight: datetime
) -> Query:
    """Add counts per interval, to a question on the same range if there is one."""
    report_key = _query_key(InsightsEndpoint.REPORT, window, midnight)
    existing = queries.get(report_key)
    if existing is not None:
        query = replace(existing, interval=interval)
    else:
        query = Query(report_key._replace(interval=interval), window, interval, include_report=False)
    queries[query.key] = query
    return query


def _unsettled_days(now: datetime, offset: int, first_day: date) -> Iterator[Window]:
    today = time_ranges.local_day(now, offset)
    for days_ago in range((today - first_day).days, -1, -1):
        yield time_ranges.day_ago(now, days_ago, offset)
