"""Build the document of a report from collected data, under the privacy rules of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Final

from insights_exporter import __version__
from insights_exporter.config.settings import Settings
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.report.data import ReportData
from insights_exporter.report.document import (
    DayRow,
    Measure,
    PeriodInfo,
    PrivacyInfo,
    Report,
    Source,
    Summary,
    UserRow,
    WeekRow,
)
from insights_exporter.report.measures import (
    Comparison,
    WindowPair,
    complete_sum,
    good_latency_ratio,
    latency_bands,
    ratio,
)
from insights_exporter.report.period import Period
from insights_exporter.report.rows import (
    app_rows,
    organization_rows,
    parameter_rows,
    template_rows,
    unused_templates,
)
from insights_exporter.snapshot import Template, TemplateUsage, WindowUsage

__all__ = ["ReportBuilder"]

SEATS: Final = "user_limit"
"""Feature of the licence that limits accounts."""

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ReportBuilder:
    """Builds the document of one report; ``data`` has passed the minimum group size."""

    data: ReportData
    settings: Settings
    username_policy: UsernamePolicy

    def build(self) -> Report:
        """Return the document."""
        data, comparison = self.data, self._comparison
        deployment = WindowPair.of(self.data.insights.deployment)
        usages = self._usages()
        return Report(
            period=self._period_info(data.periods.period),
            previous_period=self._period_info(data.periods.previous) if data.has_previous else None,
            is_over=data.periods.is_over,
            is_final=data.periods.is_settled,
            source=self._source(),
            privacy=PrivacyInfo(
                usernames=self.settings.privacy.users.value,
                has_filters=self._has_filters,
                min_group_size=self.settings.privacy.min_group_size,
            ),
            notes=tuple(self._notes()),
            summary=self._summary(deployment, usages),
            weeks=self._weeks(),
            days=self._days(),
            organizations=organization_rows(self.data.templates, usages, data.organization_users, comparison),
            templates=template_rows(usages, comparison),
            unused_templates=unused_templates(self.data.templates, usages),
            apps=app_rows(deployment.current, deployment.previous, comparison),
            latency=latency_bands(deployment.current),
            previous_latency=latency_bands(deployment.previous) if data.has_previous else None,
            parameters=tuple(
                parameter_rows(usages, show_free_text=self.settings.privacy.parameter_free_text)
            ),
            users=self._users(deployment.current),
            idle_accounts=self._pseudonyms(data.idle_accounts or ()),
        )

    @property
    def _comparison(self) -> Comparison:
        return Comparison(self.data.has_previous)

    def _usages(self) -> list[tuple[Template, TemplateUsage]]:
        templates = {template.key: template for template in self.data.templates}
        return [
            (templates[usage.key], usage) for usage in self.data.insights.templates if usage.key is not None
        ]

    # Source and notes

    @property
    def _has_filters(self) -> bool:
        filters = self.settings.filters
        names = (filters.organizations, filters.templates, filters.users)
        return any(name_filter.allow or name_filter.deny for name_filter in names)

    def _source(self) -> Source:
        return Source(
            coder_url=self.data.deployment.dashboard_url or self.settings.coder.url,
            coder_version=self.data.deployment.version,
            exporter_version=__version__,
            collected_at=self.data.snapshot.collected_at,
            utc_offset_hours=self.settings.insights.utc_offset,
            organizations=tuple(self.data.organizations),
        )

    def _period_info(self, period: Period) -> PeriodInfo:
        window = period.window(self.data.snapshot.collected_at, self.settings.insights.utc_offset)
        return PeriodInfo(
            name=period.name,
            title=period.title,
            first_day=period.first_day,
            last_day=period.last_day,
            days=period.days,
            start=window.start.astimezone(UTC),
            end=window.end.astimezone(UTC),
        )

    def _notes(self) -> Iterator[str]:
        """Yield sentences about what limits the numbers."""
        data, periods = self.data, self.data.periods
        if not periods.is_over:
            yield (
                f"The period is not over. The report covers {periods.period.day_range} and compares with "
                f"{periods.previous.day_range}."
            )
        elif not periods.is_settled:
            yield "Coder may still change the last hours. Numbers are final three hours after the period."
        if data.first_day is not None and data.first_day > periods.period.first_day:
            yield f"Coder's oldest account or template is from {data.first_day}; there is no earlier usage."
        elif not data.has_previous:
            yield (
                f"Coder's oldest account or template is from {data.first_day}: there is no complete period "
                "to compare with."
            )
        if data.organizations:
            names = ", ".join(data.organizations)
            yield f"The account can read these organizations only: {names}. All numbers are theirs."
        if self._has_filters:
            yield "Filters leave out templates or users. Totals of the deployment contain them."
        if (minimum := self.settings.privacy.min_group_size) > 1:
            yield (
                f"Numbers about fewer than {minimum} people are withheld, and others from which they would "
                "follow."
            )
        yield from data.warnings

    # Headline numbers

    def _summary(self, usage: WindowPair, usages: Sequence[tuple[Template, TemplateUsage]]) -> Summary:
        data, deployment, measure = self.data, self.data.deployment, self._comparison.measure
        accounts, users = deployment.users.get("active"), usage.users
        seats, seats_used = deployment.license_limits.get(SEATS), deployment.license_used.get(SEATS)
        active_days = self._active_days(usage)
        pairs = [WindowPair.of(template_usage) for _, template_usage in usages]
        return Summary(
            active_users=self._comparison.users(usage),
            new_users=measure(data.user_changes.new, data.user_changes.previous_new),
            lost_users=data.user_changes.lost if data.has_previous else None,
            usage_seconds=self._comparison.seconds(usage),
            usage_seconds_per_user=measure(
                ratio(usage.seconds, users), ratio(usage.previous_seconds, usage.previous_users)
            ),
            daily_active_users=self._daily_active_users(),
            active_days_per_user=active_days,
            active_days_ratio=ratio(active_days.value, data.periods.period.days),
            templates_in_use=measure(
                sum(pair.is_used for pair in pairs), sum(pair.was_used for pair in pairs)
            ),
            templates=len(self.data.templates),
            good_latency_ratio=measure(
                good_latency_ratio(latency_bands(usage.current)),
                good_latency_ratio(latency_bands(usage.previous)),
            ),
            accounts=accounts,
            adoption_ratio=ratio(users, accounts),
            idle_accounts=None if data.idle_accounts is None else len(data.idle_accounts),
            seats=None if seats is None else int(seats),
            seats_used=None if seats_used is None else int(seats_used),
            seats_ratio=ratio(seats_used, seats),
        )

    def _daily_active_users(self) -> Measure:
        """Return the mean of the active users by day."""
        days, previous_days = self.data.insights.deployment.days, self.data.previous_days
        return self._comparison.measure(
            ratio(complete_sum(days), len(days)), ratio(complete_sum(previous_days), len(previous_days))
        )

    def _active_days(self, usage: WindowPair) -> Measure:
        """Return the mean number of days on which an active user was active."""
        return self._comparison.measure(
            ratio(complete_sum(self.data.insights.deployment.days), usage.users),
            ratio(complete_sum(self.data.previous_days), usage.previous_users),
        )

    # Active users over time

    def _weeks(self) -> tuple[WeekRow, ...]:
        users = self.data.insights.deployment.weeks
        rows = [
            WeekRow(
                first_day=week.first_day, last_day=week.last_day, active_users=count, is_over=week.is_over
            )
            for week, count in zip(self.data.weeks, users, strict=True)
            if self.data.first_day is None or week.last_day >= self.data.first_day
        ]
        return tuple(rows[::-1])

    def _days(self) -> tuple[DayRow, ...]:
        last_day, users = self.data.periods.period.last_day, self.data.insights.deployment.days
        rows = [
            DayRow(
                day=last_day - days_ago * DAY,
                active_users=count,
                is_over=days_ago > 0 or self.data.periods.is_over,
            )
            for days_ago, count in enumerate(users)
        ]
        return tuple(rows[::-1])

    # Users

    def _users(self, usage: WindowUsage | None) -> tuple[UserRow, ...]:
        if usage is None or self.username_policy.hides_users:
            return ()
        rows = [
            UserRow(
                user=self.username_policy.pseudonymize(username) or "",
                usage_seconds=seconds,
                latency_p50_seconds=usage.latency.p50.get(username),
                latency_p95_seconds=usage.latency.p95.get(username),
            )
            for username, seconds in usage.activity.items()
        ]
        return tuple(sorted(rows, key=lambda row: (-row.usage_seconds, row.user)))

    def _pseudonyms(self, usernames: Iterable[str]) -> tuple[str, ...]:
        if self.username_policy.hides_users:
            return ()
        return tuple(sorted(self.username_policy.pseudonymize(username) or "" for username in usernames))
