"""The collector of a report: the usage of a period and of the period before it, requested from Coder.

The deployment is requested first. Its user activity shows which templates were used; idle templates cost no
request. It also contains the seconds of a template whose users used no other template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from insights_exporter.clock import Clock
from insights_exporter.coder import models, time_ranges
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.models import PERMISSION_CHECKS, none_if_zero_time
from insights_exporter.coder.time_ranges import Window
from insights_exporter.collectors.base import run_limited_unwrapped
from insights_exporter.collectors.deployment import DeploymentCollector
from insights_exporter.collectors.inventory import merge_parameters, select_templates
from insights_exporter.config.settings import Settings
from insights_exporter.errors import (
    BadResponse,
    ConfigError,
    Forbidden,
    NotFoundOrForbidden,
    NotReady,
    RequestTimeout,
    ServerError,
)
from insights_exporter.insights.reports import EMPTY_REPORT, with_unused_options
from insights_exporter.insights.users import EMPTY_ACTIVITY, ActivityReport
from insights_exporter.privacy import Filters
from insights_exporter.report.data import CURRENT, PREVIOUS, ReportData, UserChanges
from insights_exporter.report.fetcher import RangeReport, UsageFetcher
from insights_exporter.report.period import ComparedPeriods, PeriodRequest, Week, compare_periods
from insights_exporter.snapshot import (
    Deployment,
    Insights,
    Inventory,
    Latency,
    Parameter,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    Timestamped,
)
from insights_exporter.telemetry import Telemetry

__all__ = ["ReportCollector"]

LOOKBACK: Final = timedelta(days=365)
"""The time before the two periods in which a user without usage is new."""


@dataclass(frozen=True, slots=True)
class _Ranges:
    """The two ranges of a report, and the deployment's user activity in them and in the year before."""

    current: Window
    previous: Window
    activity: ActivityReport
    previous_activity: ActivityReport
    earlier_activity: ActivityReport | None

    def user_changes(self) -> UserChanges:
        """Return the numbers of new and of lost users."""
        users, before = self.activity.seconds_by_user.keys(), self.previous_activity.seconds_by_user.keys()
        if self.earlier_activity is None:
            return UserChanges(lost=len(before - users))
        earlier = self.earlier_activity.seconds_by_user.keys()
        return UserChanges(len(users - before - earlier), len(before - earlier), len(before - users))

    def contains(self, template_id: str) -> bool:
        """Return whether a template was used in one of the ranges."""
        return any(
            template_id in activity.users_by_template for activity in (self.activity, self.previous_activity)
        )


@dataclass(frozen=True, slots=True)
class _DeploymentUsage:
    """The usage of the deployment, and the templates in its report: with use, or with a build only."""

    usage: TemplateUsage
    previous_days: tuple[int, ...]
    mentioned_template_ids: frozenset[str]


@dataclass(slots=True)
class _TemplateData:
    """The responses for templates with use or builds, by id."""

    activities: Mapping[str, ActivityReport]
    previous_activities: Mapping[str, ActivityReport]
    latencies: dict[str, Latency] = field(default_factory=dict)
    reports: dict[str, RangeReport] = field(default_factory=dict)
    parameters: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)


class ReportCollector:
    """Requests the data of one report.

    Every request that fails ends the report, except those for accounts, the licence, declared parameters and
    the year before; without these, the report has a warning.
    """

    def __init__(self, coder: CoderClient, settings: Settings, *, clock: Clock) -> None:
        self._coder = coder
        self._settings = settings
        self._clock = clock
        self._filters = Filters(settings.filters)
        self._fetcher = UsageFetcher(
            coder,
            settings.insights.utc_offset,
            None if self._filters.allows_all_users else self._filters.allows_user,
        )
        self._warnings: list[str] = []

    async def collect(self, request: PeriodRequest) -> ReportData:
        """Return the data of a period.

        Raises ConfigError for a period without data in Coder, and UpstreamError if a request fails.
        """
        offset = self._settings.insights.utc_offset
        # Invalid options fail before the first request. After it, the server's time is known.
        request.resolve(time_ranges.local_day(self._clock.now(), offset))
        deployment = await self._fetch_deployment()
        now = self._clock.now() + timedelta(seconds=self._coder.clock_skew or 0.0)
        periods = compare_periods(request, now, offset)
        templates = await self._coder.templates()
        self._fetcher.dropped += templates.dropped
        allowed = await self._coder.authcheck(
            {name: PERMISSION_CHECKS[name] for name in ("users", "insights")}
        )
        accounts = await self._fetch_accounts(allowed=allowed.get("users", False))
        first_day = _first_day([*templates, *(accounts or ())], offset)
        if first_day is not None and periods.period.last_day < first_day:
            raise ConfigError(
                f"{request.option}: expected a period that ends on {first_day} or later, as Coder's oldest "
                f"account or template is from that day, got {periods.period.title}"
            )
        organizations = () if allowed.get("insights") else await self._restrict_scope(templates)
        rows = select_templates(templates, self._filters)
        if organizations:
            rows = {key: row for key, row in rows.items() if row.id in self._fetcher.scope}
        ranges = await self._fetch_ranges(periods, now, first_day)
        weeks = tuple(periods.weeks(time_ranges.local_day(now, offset)))[::-1]
        total = await self._fetch_total(ranges, weeks, now)
        inventory, usages = await self._fetch_templates(rows, ranges, total.mentioned_template_ids)
        if self._fetcher.dropped:
            self._warnings.append(
                f"{self._fetcher.dropped} rows of Coder's responses are invalid and left out; numbers can be "
                "too low."
            )
        return ReportData(
            periods,
            Snapshot(
                now,
                inventory=Timestamped(inventory, now),
                insights=Timestamped(Insights(total.usage, usages), now),
                deployment=Timestamped(deployment, now),
            ),
            weeks=weeks,
            previous_days=total.previous_days,
            organization_users=_users_by_organization(rows, ranges),
            user_changes=ranges.user_changes(),
            idle_accounts=self._idle_accounts(accounts, ranges),
            first_day=first_day,
            organizations=organizations,
            warnings=tuple(self._warnings),
        )

    # Deployment, accounts and access

    async def _fetch_deployment(self) -> Deployment:
        collector = DeploymentCollector(poll=self._settings.poll, telemetry=Telemetry())
        result = await collector.collect(self._coder, now=self._clock.now())
        if result.error_count:
            self._warnings.append("Coder did not return all numbers of accounts and of the licence.")
        return result.value

    async def _fetch_accounts(self, *, allowed: bool) -> list[models.User] | None:
        """Return all accounts; None if the token may not list them."""
        if not allowed:
            self._warnings.append("The token cannot list accounts: accounts without usage are unknown.")
            return None
        return await self._coder.users()

    async def _restrict_scope(self, templates: Iterable[models.Template]) -> tuple[str, ...]:
        """Restrict the report to the organizations that the account can read, and return their names.

        Empty if the account can read none: then the next request fails with the reason.
        """
        rows_by_organization: dict[str, list[models.Template]] = {}
        for row in templates:
            rows_by_organization.setdefault(row.organization_id, []).append(row)
        answers = await self._coder.authcheck(
            {
                organization_id: msgspec.structs.replace(
                    PERMISSION_CHECKS["insights"], organization_id=organization_id
                )
                for organization_id in rows_by_organization
            }
        )
        readable = [rows for key, rows in rows_by_organization.items() if answers.get(key)]
        self._fetcher.scope = tuple(row.id for rows in readable for row in rows)
        return tuple(sorted({row.organization_name for rows in readable for row in rows}))

    def _idle_accounts(
        self, accounts: Sequence[models.User] | None, ranges: _Ranges
    ) -> tuple[str, ...] | None:
        """Return the active accounts that existed in the period and had no usage in it."""
        if accounts is None:
            return None
        return tuple(
            account.username
            for account in accounts
            if account.status == "active"
            and not account.is_service_account
            and account.id not in ranges.activity.seconds_by_user
            and (none_if_zero_time(account.created_at) or ranges.current.start) < ranges.current.end
            and self._filters.allows_user(account.username)
        )

    # Usage of the deployment

    async def _fetch_ranges(self, periods: ComparedPeriods, now: datetime, first_day: date | None) -> _Ranges:
        offset = self._settings.insights.utc_offset
        current = replace(periods.period.window(now, offset), name=CURRENT)
        previous = replace(periods.previous.window(now, offset), name=PREVIOUS)
        activity = await self._fetcher.fetch_activity(current)
        return _Ranges(
            current,
            previous,
            activity,
            await self._fetcher.fetch_activity(previous),
            await self._fetch_earlier_activity(previous, first_day),
        )

    async def _fetch_earlier_activity(
        self, previous: Window, first_day: date | None
    ) -> ActivityReport | None:
        """Return the activity of the year before both periods; None if the database is too slow for it."""
        start = previous.start - LOOKBACK
        if first_day is not None:
            start = max(start, time_ranges.full_day(first_day, self._settings.insights.utc_offset).start)
        window = Window("earlier", start, previous.start)
        if window.start >= window.end:
            return EMPTY_ACTIVITY
        try:
            return await self._fetcher.fetch_activity(window)
        except (RequestTimeout, ServerError) as error:
            self._warnings.append(f"New users are unknown, as Coder did not return the year before: {error}")
            return None

    async def _fetch_total(self, ranges: _Ranges, weeks: Sequence[Week], now: datetime) -> _DeploymentUsage:
        report = await self._fetcher.fetch_report(ranges.current)
        previous_report = await self._fetcher.fetch_report(ranges.previous)
        usage = TemplateUsage(
            None,
            windows=(
                self._fetcher.window_usage(
                    ranges.current,
                    ranges.activity,
                    report.usage,
                    await self._fetcher.fetch_latency(ranges.current),
                ),
                self._fetcher.window_usage(
                    ranges.previous,
                    ranges.previous_activity,
                    previous_report.usage,
                    await self._fetcher.fetch_latency(ranges.previous),
                ),
            ),
            days=report.days,
            weeks=await self._fetcher.fetch_weeks(weeks, now),
        )
        return _DeploymentUsage(usage, previous_report.days, report.usage.mentioned_template_ids)

    # Usage of templates

    async def _fetch_templates(
        self, rows: Mapping[TemplateKey, models.Template], ranges: _Ranges, mentioned: frozenset[str]
    ) -> tuple[Inventory, tuple[TemplateUsage, ...]]:
        """Return all templates, and the usage of those with use or builds."""
        # A response with invalid rows may lack a template.
        fetched = {
            key: row
            for key, row in rows.items()
            if row.id in mentioned or ranges.contains(row.id) or self._fetcher.dropped
        }
        ids = [row.id for row in fetched.values()]
        data = _TemplateData(
            await self._fetcher.fetch_template_activities(ranges.current, ranges.activity, ids),
            await self._fetcher.fetch_template_activities(ranges.previous, ranges.previous_activity, ids),
        )
        active = [template_id for template_id in ids if data.activities[template_id].seconds_by_user]
        data.latencies |= await self._fetcher.fetch_template_latencies(
            ranges.current, ranges.activity, active
        )

        async def fetch(key: TemplateKey, row: models.Template) -> None:
            data.parameters[row.id] = await self._fetch_parameters(key, row)
            data.reports[row.id] = await self._fetcher.fetch_report(ranges.current, row.id)

        await run_limited_unwrapped(partial(fetch, key, row) for key, row in fetched.items())
        templates = tuple(
            Template(
                row.id,
                key,
                row.display_name,
                created_at=none_if_zero_time(row.created_at),
                deprecated=row.deprecated,
                parameters=data.parameters.get(row.id, ()),
            )
            for key, row in rows.items()
        )
        return Inventory(templates), tuple(
            self._template_usage(key, row.id, ranges, data) for key, row in fetched.items()
        )

    def _template_usage(
        self, key: TemplateKey, template_id: str, ranges: _Ranges, data: _TemplateData
    ) -> TemplateUsage:
        report, activity = data.reports[template_id], data.activities[template_id]
        latency = data.latencies.get(template_id, Latency())
        usage = self._fetcher.window_usage(ranges.current, activity, report.usage, latency)
        parameters = with_unused_options(report.usage.parameters, data.parameters[template_id])
        previous = self._fetcher.window_usage(
            ranges.previous, data.previous_activities[template_id], EMPTY_REPORT, Latency()
        )
        return TemplateUsage(key, windows=(replace(usage, parameters=parameters), previous), days=report.days)

    async def _fetch_parameters(self, key: TemplateKey, row: models.Template) -> tuple[Parameter, ...]:
        """Return the parameters that the active version declares; the report can do without them."""
        try:
            rows = await self._coder.rich_parameters(row.active_version_id)
        except (NotReady, NotFoundOrForbidden, Forbidden, BadResponse, ServerError) as error:
            self._warnings.append(
                f"Options of {'/'.join(key)} without a workspace may be missing, as its parameters could not "
                f"be read: {error}"
            )
            return ()
        return merge_parameters(rows)


def _first_day(rows: Iterable[models.Template | models.User], offset: int) -> date | None:
    """Return the day of the oldest creation; before it, Coder has no data."""
    created = [created_at for row in rows if (created_at := none_if_zero_time(row.created_at)) is not None]
    return time_ranges.local_day(min(created), offset) if created else None


def _users_by_organization(
    rows: Mapping[TemplateKey, models.Template], ranges: _Ranges
) -> dict[str, dict[str, int]]:
    users: dict[str, dict[str, int]] = {}
    for name, activity in ((CURRENT, ranges.activity), (PREVIOUS, ranges.previous_activity)):
        ids: dict[str, set[str]] = {}
        for key, row in rows.items():
            ids.setdefault(key.organization_name, set()).update(activity.users_by_template.get(row.id, ()))
        for organization, user_ids in ids.items():
            users.setdefault(organization, {})[name] = len(user_ids)
    return users
