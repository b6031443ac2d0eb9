"""Which templates a range can have numbers of, and whether they can have moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Protocol

from insights_exporter.coder import time_ranges
from insights_exporter.insights.normalization import UsageReport
from insights_exporter.insights.query_plan import InsightsEndpoint, Query, QueryKey, QueryPlan

__all__ = [
    "ActivityStatus",
    "AlwaysActiveDetector",
    "ChangeDetector",
    "DeploymentReportDetector",
    "TemplateReportDetector",
]


class ActivityStatus(Enum):
    """What is known of a range before it is asked for."""

    NONE = "none"
    """Nothing happened in it: it needs no question."""
    SOME = "some"
    UNKNOWN = "unknown"
    """Whether anything happened could not be found out in this poll."""


class ChangeDetector(Protocol):
    """What is known of one template before it is asked for."""

    def activity_in(self, query: Query) -> ActivityStatus:
        """Say whether anything happened in the range of a question."""
        ...

    def activity_since(self, day: date) -> ActivityStatus:
        """Say whether anything happened on the closed days after ``day``."""
        ...

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Say whether an answer of that moment can have changed."""
        ...


class AlwaysActiveDetector:
    """The deployment as a whole: always in use, and moving while any day of the range is open."""

    def __init__(self, plan: QueryPlan) -> None:
        self._plan = plan

    def activity_in(self, query: Query) -> ActivityStatus:
        """Say that something may have happened."""
        return ActivityStatus.SOME

    def activity_since(self, day: date) -> ActivityStatus:
        """Say that something may have happened."""
        return ActivityStatus.SOME

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Say whether a day of the range was open at that moment."""
        return any(True for _ in unsettled_days_in(self._plan, query, since))


class DeploymentReportDetector:
    """One template, judged by the deployment's answers, which name the templates they are made of."""

    def __init__(self, template_id: str, active_templates: ActiveTemplates) -> None:
        self._template_id = template_id
        self._active_templates = active_templates

    def activity_in(self, query: Query) -> ActivityStatus:
        """Say whether the deployment's answers on the range name the template."""
        template_ids = self._active_templates.active_in(query)
        if template_ids is None:
            return ActivityStatus.UNKNOWN
        return ActivityStatus.SOME if self._template_id in template_ids else ActivityStatus.NONE

    def activity_since(self, day: date) -> ActivityStatus:
        """Say whether the deployment's answers on the days after ``day`` name the template."""
        template_ids = self._active_templates.active_since(day)
        if template_ids is None:
            return ActivityStatus.UNKNOWN
        return ActivityStatus.SOME if self._template_id in template_ids else ActivityStatus.NONE

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Say whether the template was used on a day of the range that was open at that moment."""
        return self._template_id in self._active_templates.possibly_changed(query, since)


class TemplateReportDetector:
    """One template, judged by its own reports on the open days, where the deployment's are not permitted."""

    def __init__(self, plan: QueryPlan, report_of: Callable[[QueryKey], UsageReport | None]) -> None:
        self._plan = plan
        self._report_of = report_of

    def activity_in(self, query: Query) -> ActivityStatus:
        """Say that something may have happened."""
        return ActivityStatus.SOME

    def activity_since(self, day: date) -> ActivityStatus:
        """Say that something may have happened."""
        return ActivityStatus.SOME

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Say whether the template was used on a day of the range that was open at that moment."""
        for day in unsettled_days_in(self._plan, query, since):
            report = self._report_of(day_report_key(self._plan, day))
            if report is None or report.active_users != 0 or report.parameters:
                return True
        return False


class ActiveTemplates:
    """The templates that the deployment's answers name, by range."""

    def __init__(self, plan: QueryPlan, reports: Mapping[QueryKey, tuple[Query, UsageReport]]) -> None:
        self._plan = plan
        self._planned_keys = {query.key for query in plan.queries}
        self._reports = reports
        self._active_cache: dict[QueryKey, frozenset[str] | None] = {}
        self._changed_cache: dict[tuple[QueryKey, datetime], frozenset[str] | UniversalSet] = {}
        self._settled_template_ids: list[tuple[date, frozenset[str]]] = []
        self._settled_through: date | None = None

    def set_settled_days(
        self, settled_template_ids: list[tuple[date, frozenset[str]]], settled_through: date
    ) -> None:
        """Take which templates were used on closed days: up to which day, and which since the one before."""
        self._settled_template_ids = settled_template_ids
        self._settled_through = settled_through

    def active_in(self, query: Query) -> frozenset[str] | None:
        """Return the templates of a range; None where the deployment's answer on it is missing."""
        if query.key not in self._active_cache:
            self._active_cache[query.key] = self._compute_active(query)
        return self._active_cache[query.key]

    def _compute_active(self, query: Query) -> frozenset[str] | None:
        key = query.key._replace(endpoint=InsightsEndpoint.REPORT)
        covering = self._reports.get(key) if key in self._planned_keys else self._enclosing_report(query)
        if covering is None:
            return None
        usage_only = query.key.endpoint is not InsightsEndpoint.REPORT or not query.include_report
        # A long range is asked for less often; what is newer stands in the answers on the ranges inside it.
        contained_reports = (
            report
            for other_query, report in self._reports.values()
            if query.window.start <= other_query.window.start and other_query.window.end <= query.window.end
        )
        template_id_sets = (
            report.active_template_ids if usage_only else report.mentioned_template_ids
            for report in (covering[1], *contained_reports)
        )
        return frozenset().union(*template_id_sets)

    def _enclosing_report(self, query: Query) -> tuple[Query, UsageReport] | None:
        """Return the shortest known range around one of which only the users are asked for."""
        enclosing = (
            (other_query, report)
            for other_query, report in self._reports.values()
            if other_query.window.start <= query.window.start and query.window.end <= other_query.window.end
        )
        return min(enclosing, key=lambda candidate: candidate[0].window.seconds, default=None)

    def active_since(self, day: date) -> frozenset[str] | None:
        """Return the templates used on the closed days after ``day``; None where that is unknown."""
        if self._settled_through != self._plan.last_settled_day:
            return None
        return frozenset().union(
            *(
                template_ids
                for settled_through, template_ids in self._settled_template_ids
                if settled_through > day
            )
        )

    def possibly_changed(self, query: Query, since: datetime) -> frozenset[str] | UniversalSet:
        """Return the templates used on a day of the range that was open at that moment."""
        # Nearly all templates were asked at the same moment, that of the last poll.
        cached = self._changed_cache.get((query.key, since))
        if cached is None:
            cached = self._changed_cache[query.key, since] = self._possibly_active_on_days(
                unsettled_days_in(self._plan, query, since), query
            )
        return cached

    def _possibly_active_on_days(self, days: Iterable[date], query: Query) -> frozenset[str] | UniversalSet:
        template_ids: frozenset[str] = frozenset()
        for day in days:
            day_template_ids = self._possibly_active_on(day, query)
            if isinstance(day_template_ids, UniversalSet):
                return day_template_ids
            template_ids |= day_template_ids
        return template_ids

    def _possibly_active_on(self, day: date, query: Query) -> frozenset[str] | UniversalSet:
        """Return the templates that a question on a day can have found."""
        entry = self._reports.get(day_report_key(self._plan, day))
        if entry is None:
            return UNIVERSAL_SET
        report = entry[1]
        return (
            report.mentioned_template_ids
            if query.key.endpoint is InsightsEndpoint.REPORT and query.include_report
            else report.active_template_ids
        )


class UniversalSet:
    """A set that holds whatever it is asked for."""

    def __contains__(self, item: object) -> bool:
        return True


UNIVERSAL_SET = UniversalSet()


def day_report_key(plan: QueryPlan, day: date) -> QueryKey:
    """Return the key of the report on one day."""
    window = time_ranges.full_day(day, plan.utc_offset)
    return plan.key(InsightsEndpoint.REPORT, window)


def unsettled_days_in(plan: QueryPlan, query: Query, since: datetime) -> Iterator[date]:
    """Yield the days of a question's range whose numbers could still change at that moment."""
    first_unsettled = plan.last_settled_day_at(since) + timedelta(days=1)
    zone = time_ranges.fixed_timezone(plan.utc_offset)
    day = max(first_unsettled, query.window.start.astimezone(zone).date())
    while (
        day <= plan.today.start.date() and time_ranges.full_day(day, plan.utc_offset).start < query.window.end
    ):
        yield day
        day += timedelta(days=1)
