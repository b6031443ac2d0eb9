"""Requests for the usage of a range, as parts of a snapshot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from insights_exporter.coder import models, time_ranges
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.time_ranges import Window
from insights_exporter.collectors.base import run_limited_unwrapped
from insights_exporter.insights.reports import UsageReport, normalize_report
from insights_exporter.insights.users import (
    ActivityReport,
    UsernameIndex,
    group_templates,
    normalize_activity,
    normalize_latency,
    request_group,
    sum_by_username,
)
from insights_exporter.report.period import Week
from insights_exporter.snapshot import Latency, WindowUsage

__all__ = ["RangeReport", "UsageFetcher"]

R = TypeVar("R", models.UserActivityReport, models.UserLatencyReport)

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RangeReport:
    """The report of a range, and its active users by day, the last day first."""

    usage: UsageReport
    days: tuple[int, ...]


@dataclass(slots=True)
class UsageFetcher:
    """Requests usage of the deployment and of templates.

    Users that ``user_filter`` rejects count in sums only; None admits all users. ``scope`` are the templates
    of requests for the deployment; empty for all. ``dropped`` counts invalid rows of responses.
    """

    coder: CoderClient
    utc_offset: int
    user_filter: Callable[[str], bool] | None
    scope: tuple[str, ...] = ()
    dropped: int = 0
    _usernames: UsernameIndex = field(default_factory=UsernameIndex)

    # Users

    async def fetch_activity(self, window: Window) -> ActivityReport:
        """Return the seconds of each user of the deployment, and the users of each template."""
        return normalize_activity(await self._request_activity(window, self.scope), by_template=True)

    async def fetch_latency(self, window: Window) -> Latency:
        """Return the latency of the admitted users of the deployment."""
        return self._latency(await self._request_latency(window, self.scope))

    async def fetch_template_activities(
        self, window: Window, deployment: ActivityReport, template_ids: Sequence[str]
    ) -> dict[str, ActivityReport]:
        """Return the activity of each template, without a request where the deployment's contains it."""
        derived = {} if self.dropped else {key: deployment.of_template(key) for key in template_ids}
        activities = {key: activity for key, activity in derived.items() if activity is not None}
        remaining = [key for key in template_ids if key not in activities]
        reports = await self._request_groups(window, deployment, remaining, self._request_activity)
        return activities | {key: normalize_activity(report) for key, report in reports.items()}

    async def fetch_template_latencies(
        self, window: Window, deployment: ActivityReport, template_ids: Sequence[str]
    ) -> dict[str, Latency]:
        """Return the latency of the admitted users of each template."""
        reports = await self._request_groups(window, deployment, template_ids, self._request_latency)
        return {key: self._latency(report) for key, report in reports.items()}

    async def _request_groups(
        self,
        window: Window,
        deployment: ActivityReport,
        template_ids: Sequence[str],
        request: Callable[[Window, Sequence[str]], Awaitable[R]],
    ) -> dict[str, R]:
        """Return the response for each template, with one request for those without a common user."""
        reports: dict[str, R] = {}

        async def fetch(group: Sequence[str]) -> None:
            reports.update(await request_group(group, partial(request, window)))

        # A response with invalid rows may lack a user.
        groups = (
            [[key] for key in template_ids] if self.dropped else group_templates(template_ids, deployment)
        )
        await run_limited_unwrapped(partial(fetch, group) for group in groups)
        return reports

    async def _request_activity(
        self, window: Window, template_ids: Sequence[str]
    ) -> models.UserActivityReport:
        report = await self.coder.user_activity(window.start, window.end, template_ids=template_ids)
        self._learn(report)
        return report

    async def _request_latency(self, window: Window, template_ids: Sequence[str]) -> models.UserLatencyReport:
        report = await self.coder.user_latency(window.start, window.end, template_ids=template_ids)
        self._learn(report)
        return report

    def _latency(self, report: models.UserLatencyReport) -> Latency:
        return normalize_latency(report).by_username(self._usernames, self.user_filter)

    def _learn(self, report: models.UserActivityReport | models.UserLatencyReport) -> None:
        """Take the usernames of a response, and count its invalid rows."""
        self.dropped += report.dropped
        self._usernames.update({user.user_id: user.username for user in report.users if user.username})

    # Reports

    async def fetch_report(self, window: Window, template_id: str = "") -> RangeReport:
        """Return apps, parameters and active users by day."""
        response = await self.coder.template_insights(
            window.start,
            window.end,
            template_ids=(template_id,) if template_id else self.scope,
            interval="day",
            sections=("report", "interval_reports"),
        )
        self.dropped += response.dropped
        users = {row.start_time: row.active_users for row in response.interval_reports}
        days = tuple(users.get(start, 0) for start in _day_starts(window))
        return RangeReport(normalize_report(response), days)

    async def fetch_weeks(self, weeks: Sequence[Week], now: datetime) -> tuple[int, ...]:
        """Return the active users of consecutive weeks, the last one first.

        The weeks that are over need one request. Coder has no interval for a part of a week.
        """
        users: dict[date, int] = {}
        complete = [week for week in weeks if week.is_over]
        if complete:
            users |= await self._fetch_complete_weeks(complete[-1].first_day, complete[0].last_day)
        for week in weeks:
            if not week.is_over:
                start = time_ranges.full_day(week.first_day, self.utc_offset).start
                end = time_ranges.today_so_far(now, self.utc_offset).end
                activity = await self.fetch_activity(Window("week", start, end))
                users[week.first_day] = len(activity.seconds_by_user)
        return tuple(users.get(week.first_day, 0) for week in weeks)

    async def _fetch_complete_weeks(self, first_day: date, last_day: date) -> Mapping[date, int]:
        response = await self.coder.template_insights(
            time_ranges.full_day(first_day, self.utc_offset).start,
            time_ranges.full_day(last_day, self.utc_offset).end,
            template_ids=self.scope,
            interval="week",
            sections=("interval_reports",),
        )
        self.dropped += response.dropped
        zone = time_ranges.fixed_timezone(self.utc_offset)
        return {row.start_time.astimezone(zone).date(): row.active_users for row in response.interval_reports}

    # Snapshot

    def window_usage(
        self, window: Window, activity: ActivityReport, report: UsageReport, latency: Latency
    ) -> WindowUsage:
        """Return the usage of a range in the snapshot's form."""
        seconds_by_username = sum_by_username(activity.seconds_by_user, self._usernames)
        return WindowUsage(
            window=window.name,
            start=window.start.astimezone(UTC),
            end=window.end.astimezone(UTC),
            active_users=len(activity.seconds_by_user),
            seconds=sum(activity.seconds_by_user.values()),
            apps=report.apps,
            activity={
                username: seconds
                for username, seconds in seconds_by_username.items()
                if self.user_filter is None or self.user_filter(username)
            },
            latency=latency,
        )


def _day_starts(window: Window) -> list[datetime]:
    """Return the midnights of a range, the last one first."""
    starts = []
    start = window.start
    while start < window.end:
        starts.append(start)
        start += DAY
    return starts[::-1]
