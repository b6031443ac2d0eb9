"""Change detection: which templates a range can contain, and whether a cached response may have changed.

The deployment-wide user activity lists the templates of each user. It answers for every template at once
whether the template was used in a range, and by how many users. An account without access to it falls back to
the template's own activity.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final

from insights_exporter.coder.time_ranges import Window
from insights_exporter.insights.query_plan import InsightsEndpoint, Query, QueryKey, QueryPlan
from insights_exporter.insights.reports import UsageReport
from insights_exporter.insights.template_state import ActivityStatus, CachedResponse, TemplateState
from insights_exporter.insights.users import ActivityReport

__all__ = ["ActiveTemplates", "DeploymentDetector", "OrganizationDetector", "TemplateDetector"]

CHANGE_DELAY: Final = timedelta(minutes=30)
"""The time after a change in the deployment's responses in which a template's own may still change.

Coder limits a user's seconds to those of a half hour. Then the user's time stands still in the deployment's
activity, although it grows in each of several templates. The time of an app can arrive later than the user's.
"""


class DeploymentDetector:
    """The deployment as a whole: it counts as always active."""

    def __init__(self, plan: QueryPlan, state: TemplateState) -> None:
        self._plan = plan
        self._state = state

    def activity_in(self, query: Query) -> ActivityStatus:  # noqa: ARG002  # Part of the protocol.
        """Return SOME."""
        return ActivityStatus.SOME

    def activity_since(self, day: date) -> ActivityStatus:  # noqa: ARG002  # Part of the protocol.
        """Return SOME."""
        return ActivityStatus.SOME

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Return whether a day of the range was unsettled at that time."""
        return next(self._plan.unsettled_days_in(query, since), None) is not None

    def active_users(self, query: Query) -> int | None:
        """Return the users of the deployment's activity."""
        return count_users(self._state.response_cache.get(query.key))

    def derive_activity(self, query: Query) -> None:
        """Return None."""


class ActiveTemplates:
    """The templates in the deployment's responses, by query; create it anew after new responses."""

    def __init__(self, plan: QueryPlan, deployment: TemplateState) -> None:
        self.plan = plan
        self.deployment = deployment
        self._active_cache: dict[QueryKey, tuple[frozenset[str], bool]] = {}
        self._settled_cache: dict[date, frozenset[str]] = {}

    def active_in(self, query: Query) -> tuple[frozenset[str], bool]:
        """Return the templates in the query's range, and whether none can be missing."""
        active = self._active_cache.get(query.key)
        if active is None:
            queries = self.plan.window_queries.get(query.window)
            windows = [query.window] if queries is None else [part.window for part in queries.activity_parts]
            cached = [
                self.deployment.response_cache.get(self.plan.key(endpoint, window))
                for window in windows
                for endpoint in _endpoints(query)
            ]
            # A response with dropped rows may have lost a template.
            is_complete = all(one is not None and one.complete for one in cached)
            template_ids = frozenset[str]().union(*(_template_ids(one) for one in cached if one is not None))
            active = self._active_cache[query.key] = template_ids, is_complete
        return active

    def may_have_changed(self, template_id: str, query: Query, since: datetime) -> bool:
        """Return whether a template changed on a day of the range, or whether that is unknown."""
        for day in self.plan.unsettled_days_in(query, since):
            for endpoint in _endpoints(query):
                cached = self.deployment.response_cache.get(self.plan.day_key(endpoint, day))
                if cached is None or not cached.complete:
                    return True
                changed_at = cached.changed_at.get(template_id)
                if changed_at is not None and self._is_outdated(cached, day):
                    return True
                if changed_at is not None and since < changed_at + CHANGE_DELAY:
                    return True
        return False

    def _is_outdated(self, cached: CachedResponse, day: date) -> bool:
        """Return whether the last refresh of a response for one day failed."""
        return cached.fetched_at != self.plan.now and self.plan.last_settled_day_at(cached.fetched_at) < day

    def active_since(self, day: date) -> frozenset[str] | None:
        """Return the templates used on the settled days after ``day``; None if that is unknown."""
        totals = self.deployment.anchored_totals
        if totals.settled_through != self.plan.last_settled_day:
            return None
        if day not in self._settled_cache:
            self._settled_cache[day] = totals.template_ids_since(day)
        return self._settled_cache[day]


class TemplateDetector:
    """One template, according to the deployment's responses."""

    def __init__(self, template_id: str, active: ActiveTemplates) -> None:
        self._template_id = template_id
        self._active = active

    def activity_in(self, query: Query) -> ActivityStatus:
        """Return whether the deployment's responses for the range contain the template."""
        template_ids, is_complete = self._active.active_in(query)
        if self._template_id in template_ids:
            return ActivityStatus.SOME
        return ActivityStatus.NONE if is_complete else ActivityStatus.UNKNOWN

    def activity_since(self, day: date) -> ActivityStatus:
        """Return whether the template was used on the settled days after ``day``."""
        template_ids = self._active.active_since(day)
        if template_ids is None:
            return ActivityStatus.UNKNOWN
        return ActivityStatus.SOME if self._template_id in template_ids else ActivityStatus.NONE

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Return whether the template changed on a day of the range that was unsettled at that time."""
        return self._active.may_have_changed(self._template_id, query, since)

    def active_users(self, query: Query) -> int | None:
        """Return the users of the template in the deployment's activity."""
        return count_users(self._active.deployment.response_cache.get(query.key), self._template_id)

    def derive_activity(self, query: Query) -> tuple[ActivityReport, datetime] | None:
        """Return the template's part of the deployment's activity, if it can be split."""
        cached = self._active.deployment.response_cache.get(query.key)
        if cached is None or not cached.complete or not isinstance(cached.response, ActivityReport):
            return None
        activity = cached.response.of_template(self._template_id)
        return None if activity is None or not activity.seconds_by_user else (activity, cached.fetched_at)


class OrganizationDetector:
    """One template, according to its own responses, for an account without deployment-wide insights."""

    def __init__(self, plan: QueryPlan, state: TemplateState) -> None:
        self._plan = plan
        self._state = state

    def activity_in(self, query: Query) -> ActivityStatus:
        """Return NONE if a current activity response around the range has no users."""
        if query.key.endpoint is InsightsEndpoint.REPORT:
            return ActivityStatus.SOME
        is_idle = any(
            self._is_without_users(cached, query.window)
            for cached in self._state.response_cache.values()
            if cached.query.key != query.key
        )
        return ActivityStatus.NONE if is_idle else ActivityStatus.SOME

    def _is_without_users(self, cached: CachedResponse, window: Window) -> bool:
        response, cached_window = cached.response, cached.query.window
        return (
            isinstance(response, ActivityReport)
            and not response.seconds_by_user
            and cached.complete
            and cached_window.start <= window.start
            and window.end <= cached_window.end
            # A response that reaches into today must be current.
            and (cached.query.key.end is not None or cached.fetched_at == self._plan.now)
        )

    def activity_since(self, day: date) -> ActivityStatus:  # noqa: ARG002  # Part of the protocol.
        """Return SOME."""
        return ActivityStatus.SOME

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Return whether the template was active on a day of the range that was unsettled at that time."""
        for day in self._plan.unsettled_days_in(query, since):
            keys = [
                self._plan.day_key(endpoint, day)
                for endpoint in (InsightsEndpoint.REPORT, InsightsEndpoint.ACTIVITY)
            ]
            if query.key in keys:
                return True
            for key in keys:
                response = self._state.response(key)
                if response is None or (isinstance(response, UsageReport) and response.parameters):
                    return True
                if isinstance(response, ActivityReport) and response.seconds_by_user:
                    return True
        return False

    def active_users(self, query: Query) -> int | None:
        """Return the users of the template's own activity."""
        if self.activity_in(query) is ActivityStatus.NONE:
            return 0
        return count_users(self._state.response_cache.get(query.key))

    def derive_activity(self, query: Query) -> None:
        """Return None."""


def count_users(cached: CachedResponse | None, template_id: str | None = None) -> int | None:
    """Return the users of an activity response, or those of one template; None if rows are missing."""
    if cached is None or not cached.complete or not isinstance(cached.response, ActivityReport):
        return None
    if template_id is None:
        return len(cached.response.seconds_by_user)
    return len(cached.response.users_by_template.get(template_id, ()))


def _endpoints(query: Query) -> tuple[InsightsEndpoint, ...]:
    """Return the endpoints that show whether a template is in the query's response.

    A report also contains templates without use whose workspaces were built.
    """
    if query.key.endpoint is InsightsEndpoint.REPORT:
        return InsightsEndpoint.ACTIVITY, InsightsEndpoint.REPORT
    return (InsightsEndpoint.ACTIVITY,)


def _template_ids(cached: CachedResponse) -> Iterable[str]:
    """Return the templates in a response of the deployment."""
    if isinstance(cached.response, ActivityReport):
        return cached.response.users_by_template
    return cached.response.mentioned_template_ids if isinstance(cached.response, UsageReport) else ()
