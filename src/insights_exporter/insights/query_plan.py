"""The query plan: the time ranges that a poll needs, and the requests that cover them.

Seconds add up over days. A window that reaches into today is therefore requested in two parts: the days
before today, whose response is cached, and today. Distinct users come from the users of both parts.
Parameters, opens and percentiles do not add up. They come from a request for the whole window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from insights_exporter.coder import time_ranges
from insights_exporter.coder.time_ranges import Window
from insights_exporter.config.settings import InsightsSettings

__all__ = ["InsightsEndpoint", "Query", "QueryKey", "QueryPlan", "Stage", "WindowQueries", "build_plan"]

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
LONG_REFRESH_FACTOR: Final = 4
"""Refresh intervals between two refreshes of a range of more than a week."""


class InsightsEndpoint(StrEnum):
    """The three insights endpoints. Strings cache their hash, and every query key contains one."""

    REPORT = "report"
    ACTIVITY = "activity"
    LATENCY = "latency"


class Stage(IntEnum):
    """The order of the requests in a poll: current data first, the history of the totals last."""

    TODAY = 0
    RECENT = 1
    """Windows of up to seven days that reach into today, and days that may still change."""
    LONG = 2
    """All other windows, days and weeks."""
    HISTORY = 3
    """All days since the anchor."""


class QueryKey(NamedTuple):
    """The identity of a query; ``end`` is None if the range reaches into today."""

    endpoint: InsightsEndpoint
    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Query:
    """One request for a template, or for the deployment."""

    key: QueryKey
    window: Window
    stage: Stage

    @property
    def refreshes_every_poll(self) -> bool:
        """Whether changes are requested in every poll; longer ranges are refreshed hourly."""
        return self.window.end - self.window.start <= DAY

    @property
    def refresh_factor(self) -> int:
        """Refresh intervals between two refreshes; an hour changes a month less than a week."""
        return LONG_REFRESH_FACTOR if self.window.end - self.window.start > WEEK else 1


class WindowQueries(NamedTuple):
    """The queries of a window.

    ``report`` and ``latency`` cover the whole window. ``report_parts`` and ``activity_parts`` cover the days
    before today and today; their seconds add up.
    """

    report: Query
    latency: Query
    report_parts: tuple[Query, ...]
    activity_parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """All ranges of a poll; the same for every template.

    ``unsettled_days`` are the days since the anchor whose data may still change, including today. Data of
    ``last_settled_day`` and before is final, except for late rollups. ``days[n]`` and ``weeks[n]`` are the
    activity queries n days or weeks ago.
    """

    now: datetime
    today: Window
    utc_offset: int
    anchor: date
    last_settled_day: date
    windows: tuple[Window, ...]
    unsettled_days: tuple[Window, ...]
    window_queries: Mapping[Window, WindowQueries]
    days: tuple[Query, ...]
    weeks: tuple[Query, ...]
    all_weeks: Query
    template_queries: tuple[Query, ...]
    deployment_queries: tuple[Query, ...]

    @property
    def organization_queries(self) -> tuple[Query, ...]:
        """The queries of a template for an account without access to deployment-wide insights."""
        queries = (*self.template_queries, *self.days, self.all_weeks, *self.weeks)
        return tuple({query.key: query for query in queries}.values())

    def key(self, endpoint: InsightsEndpoint, window: Window) -> QueryKey:
        """Return the key of a query for a whole range."""
        return _query_key(endpoint, window, self.today.start)

    def settled_queries(self, after: date) -> tuple[Query, ...]:
        """Return the report and the activity query for all settled days after ``after``, if any."""
        window = time_ranges.settled_days(after + DAY, self.now, self.utc_offset)
        if window is None:
            return ()
        stage = Stage.HISTORY if after < self.anchor else Stage.RECENT
        return tuple(
            Query(self.key(endpoint, window), window, stage)
            for endpoint in (InsightsEndpoint.REPORT, InsightsEndpoint.ACTIVITY)
        )

    def history_queries(self) -> tuple[Query, ...]:
        """Return the report and the activity query for all settled days since the anchor."""
        return self.settled_queries(self.anchor - DAY)

    def last_settled_day_at(self, timestamp: datetime) -> date:
        """Return the newest day whose data was settled at that time."""
        return time_ranges.last_settled_day(timestamp, self.utc_offset)

    def unsettled_days_in(self, query: Query, since: datetime) -> Iterator[date]:
        """Yield the days of a query's range whose data could still change at that time."""
        zone = time_ranges.fixed_timezone(self.utc_offset)
        day = max(self.last_settled_day_at(since) + DAY, query.window.start.astimezone(zone).date())
        today = self.today.start.date()
        while day <= today and time_ranges.full_day(day, self.utc_offset).start < query.window.end:
            yield day
            day += DAY

    def day_key(self, endpoint: InsightsEndpoint, day: date) -> QueryKey:
        """Return the key of the query for one day."""
        return self.key(endpoint, time_ranges.full_day(day, self.utc_offset))


def build_plan(settings: InsightsSettings, now: datetime) -> QueryPlan:
    """Return the plan for ``now``, the server's time."""
    offset = settings.utc_offset
    today = time_ranges.today_so_far(now, offset)
    windows = tuple(time_ranges.parse_window(name, now, offset) for name in settings.windows)
    anchor = settings.anchor or time_ranges.first_day_of_quarter(now, offset)
    last_settled_day = time_ranges.last_settled_day(now, offset)
    unsettled_days = tuple(_unsettled_days(now, offset, max(anchor, last_settled_day + DAY)))
    window_queries = {window: _window_queries(window, today) for window in (*windows, *unsettled_days)}
    days = tuple(
        _query(InsightsEndpoint.ACTIVITY, time_ranges.day_ago(now, ago, offset), today)
        for ago in range(settings.days)
    )
    all_weeks = time_ranges.past_weeks(now, settings.weeks, offset)
    weeks = tuple(
        _query(InsightsEndpoint.ACTIVITY, Window("week", end - WEEK, end), today)
        for end in (all_weeks.end - ago * WEEK for ago in range(settings.weeks))
    )
    # Reports and activity of today and of the unsettled days are always part of the plan: the totals need
    # them.
    additive = [_window_queries(window, today) for window in (today, *unsettled_days)]
    additive_queries = [
        query for queries in additive for query in (*queries.report_parts, *queries.activity_parts)
    ]
    deployment_queries, template_queries = list(additive_queries), list(additive_queries)
    for window in windows:
        queries = window_queries[window]
        parts = (*queries.report_parts, *queries.activity_parts)
        deployment_queries += parts
        template_queries += (*parts, queries.report, queries.latency)
    return QueryPlan(
        now=now,
        today=today,
        utc_offset=offset,
        anchor=anchor,
        last_settled_day=last_settled_day,
        windows=windows,
        unsettled_days=unsettled_days,
        window_queries=window_queries,
        days=days,
        weeks=weeks,
        all_weeks=_query(InsightsEndpoint.ACTIVITY, all_weeks, today),
        template_queries=_deduplicate(template_queries),
        deployment_queries=_deduplicate([*deployment_queries, *days, *weeks]),
    )


def _window_queries(window: Window, today: Window) -> WindowQueries:
    parts = _split_at_midnight(window, today.start)
    stage = _stage(window, today)
    return WindowQueries(
        _query(InsightsEndpoint.REPORT, window, today, stage),
        _query(InsightsEndpoint.LATENCY, window, today, stage),
        tuple(_query(InsightsEndpoint.REPORT, part, today, stage) for part in parts),
        tuple(_query(InsightsEndpoint.ACTIVITY, part, today, stage) for part in parts),
    )


def _split_at_midnight(window: Window, midnight: datetime) -> tuple[Window, ...]:
    """Return the parts of a window before and after midnight.

    Coder counts half hours, and midnight is the boundary of one. Therefore the seconds of the parts add up.
    """
    if not window.start < midnight < window.end:
        return (window,)
    return replace(window, end=midnight), replace(window, start=midnight)


def _query(endpoint: InsightsEndpoint, window: Window, today: Window, stage: Stage | None = None) -> Query:
    if window.start == today.start:
        stage = Stage.TODAY
    return Query(
        _query_key(endpoint, window, today.start), window, _stage(window, today) if stage is None else stage
    )


def _query_key(endpoint: InsightsEndpoint, window: Window, midnight: datetime) -> QueryKey:
    return QueryKey(endpoint, window.start, window.end if window.end <= midnight else None)


def _stage(window: Window, today: Window) -> Stage:
    if window.start == today.start:
        return Stage.TODAY
    return Stage.RECENT if window.end == today.end and window.end - window.start <= WEEK else Stage.LONG


def _deduplicate(queries: list[Query]) -> tuple[Query, ...]:
    """Return each query once, in the order of the stages."""
    by_key: dict[QueryKey, Query] = {}
    for query in sorted(queries, key=lambda query: query.stage):
        by_key.setdefault(query.key, query)
    return tuple(by_key.values())


def _unsettled_days(now: datetime, offset: int, first_day: date) -> Iterator[Window]:
    """Yield the days from ``first_day`` to today, the oldest first."""
    today = time_ranges.local_day(now, offset)
    for days_ago in range((today - first_day).days, -1, -1):
        yield time_ranges.day_ago(now, days_ago, offset)
