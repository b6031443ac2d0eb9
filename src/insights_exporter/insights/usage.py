"""Template usage for the snapshot, built from cached responses; unchanged parts stay the same objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from insights_exporter.coder.time_ranges import Window
from insights_exporter.insights.query_plan import DAY, InsightsEndpoint, Query, QueryPlan
from insights_exporter.insights.reports import (
    BUILTIN_APPS,
    EMPTY_REPORT,
    AppMetadata,
    UsageReport,
    combine_apps,
    with_unused_apps,
    with_unused_options,
)
from insights_exporter.insights.template_state import (
    ActivityStatus,
    CachedUsage,
    ChangeDetector,
    InputFingerprint,
    NormalizedResponse,
    TemplateState,
)
from insights_exporter.insights.users import (
    EMPTY_ACTIVITY,
    EMPTY_LATENCY,
    ActivityReport,
    LatencyReport,
    UsernameIndex,
    accumulate,
    sum_by_username,
)
from insights_exporter.snapshot import (
    Parameter,
    TemplateKey,
    TemplateUsage,
    Totals,
    WindowUsage,
)

__all__ = ["UsageBuilder"]

EMPTY_RESPONSES: Final[Mapping[InsightsEndpoint, NormalizedResponse]] = {
    InsightsEndpoint.REPORT: EMPTY_REPORT,
    InsightsEndpoint.ACTIVITY: EMPTY_ACTIVITY,
    InsightsEndpoint.LATENCY: EMPTY_LATENCY,
}


@dataclass(frozen=True, slots=True)
class WindowResponses:
    """The responses for a window; ``report`` covers the whole window and is None for the deployment."""

    report: UsageReport | None
    report_parts: tuple[UsageReport, ...]
    activity_parts: tuple[ActivityReport, ...]
    latency: LatencyReport


@dataclass(frozen=True, slots=True)
class UsageBuilder:
    """Builds the usages of one poll.

    Users that ``user_filter`` rejects count in sums only; None admits all users. ``on_clamped`` receives the
    number of totals that newly decreased. ``pending`` collects the templates whose totals wait for a
    response, with the reason; the deployment's key is None. ``updated_at`` collects the time of the oldest
    data in each window.
    """

    plan: QueryPlan
    usernames: UsernameIndex
    user_filter: Callable[[str], bool] | None
    on_clamped: Callable[[int], None]
    max_staleness: float
    is_warm: bool
    pending: dict[TemplateKey | None, str] = field(default_factory=dict)
    updated_at: dict[str, datetime] = field(default_factory=dict)

    def build(
        self,
        state: TemplateState,
        detector: ChangeDetector,
        *,
        apps: AppMetadata,
        parameters: Sequence[Parameter] = (),
    ) -> TemplateUsage:
        """Return the usage of a template or of the deployment."""
        known_apps = self._known_apps(state, apps)
        windows = (
            self._build_window(window, state, detector, known_apps, parameters)
            for window in self.plan.windows
        )
        return TemplateUsage(
            key=state.key,
            windows=tuple(usage for usage in windows if usage is not None),
            days=tuple(detector.active_users(query) for query in self.plan.days),
            weeks=tuple(detector.active_users(query) for query in self.plan.weeks),
            totals=self._build_totals(state, detector, known_apps),
        )

    # Windows

    def _response(
        self, query: Query, state: TemplateState, detector: ChangeDetector, *, complete: bool = False
    ) -> NormalizedResponse | None:
        """Return the response to a query; ``complete`` excludes responses with dropped rows."""
        endpoint = query.key.endpoint
        if detector.activity_in(query) is ActivityStatus.NONE:
            return EMPTY_RESPONSES[endpoint]
        cached = state.response_cache.get(query.key)
        if cached is None or (complete and not cached.complete):
            return None
        return cached.response

    def _window_responses(
        self, window: Window, state: TemplateState, detector: ChangeDetector
    ) -> WindowResponses | None:
        """Return the responses for a window; None if one is missing."""
        queries = self.plan.window_queries[window]
        report: NormalizedResponse | None = None
        latency: NormalizedResponse | None = EMPTY_LATENCY
        if state.id is not None:
            report = self._response(queries.report, state, detector)
            latency = self._response(queries.latency, state, detector)
        reports = [self._response(query, state, detector) for query in queries.report_parts]
        activities = [self._response(query, state, detector) for query in queries.activity_parts]
        report_parts = tuple([one for one in reports if isinstance(one, UsageReport)])
        activity_parts = tuple([one for one in activities if isinstance(one, ActivityReport)])
        if (
            len(report_parts) < len(reports)
            or len(activity_parts) < len(activities)
            or not isinstance(latency, LatencyReport)
            or (state.id is not None and not isinstance(report, UsageReport))
        ):
            return None
        whole_report = report if isinstance(report, UsageReport) else None
        return WindowResponses(whole_report, report_parts, activity_parts, latency)

    def _build_window(
        self,
        window: Window,
        state: TemplateState,
        detector: ChangeDetector,
        known_apps: AppMetadata,
        parameters: Sequence[Parameter],
    ) -> WindowUsage | None:
        """Return the usage of a window; if a response is missing, the previous usage until it expires."""
        cached = state.usage_cache.get(window.name)
        responses = self._window_responses(window, state, detector)
        if responses is None:
            is_current = cached is not None and self._age(cached) <= self.max_staleness
            if cached is None or window.end - window.start <= DAY or not is_current:
                state.usage_cache.pop(window.name, None)
                return None
            self._note_age(window, min(cached.validated_at, cached.usage.end))
            return self._with_current_usernames(cached)
        validated_at = self._validate(window, state, detector)
        report, activities = responses.report, responses.activity_parts
        latency = responses.latency.by_username(self.usernames, self.user_filter)
        username_fingerprint = self._username_fingerprint
        fingerprint = InputFingerprint(
            (report, *responses.report_parts, *activities, latency, known_apps),
            (window.start, parameters, username_fingerprint),
        )
        if cached is not None and cached.fingerprint == fingerprint:
            cached.validated_at = validated_at
            return cached.usage
        reported_parameters = () if report is None else report.parameters
        parameter_fingerprint = InputFingerprint((reported_parameters,), (parameters,))
        users, seconds = self._user_seconds(activities)
        usage = WindowUsage(
            window=window.name,
            start=window.start.astimezone(UTC),
            end=window.end.astimezone(UTC),
            active_users=len(set().union(*(activity.seconds_by_user for activity in activities))),
            seconds=seconds,
            apps=with_unused_apps(combine_apps(responses.report_parts, report), known_apps),
            parameters=cached.usage.parameters
            if cached is not None and cached.parameter_fingerprint == parameter_fingerprint
            else with_unused_options(reported_parameters, parameters),
            activity=users,
            latency=latency,
        )
        state.usage_cache[window.name] = CachedUsage(
            fingerprint,
            parameter_fingerprint,
            activities,
            responses.latency,
            username_fingerprint,
            usage,
            validated_at,
        )
        return usage

    def _with_current_usernames(self, cached: CachedUsage) -> WindowUsage:
        """Return the previous usage of a window under current usernames."""
        if cached.username_fingerprint != self._username_fingerprint:
            users, _ = self._user_seconds(cached.activity)
            latency = cached.latency.by_username(self.usernames, self.user_filter)
            cached.usage = replace(cached.usage, activity=users, latency=latency)
            cached.username_fingerprint = self._username_fingerprint
        return cached.usage

    def _age(self, cached: CachedUsage) -> float:
        return (self.plan.now - cached.validated_at).total_seconds()

    def _validate(self, window: Window, state: TemplateState, detector: ChangeDetector) -> datetime:
        """Return up to when all responses of a window were known to be current, and note the oldest one."""
        queries = self.plan.window_queries[window]
        validated_at = updated_at = self.plan.now
        for query in (queries.report, queries.latency, *queries.report_parts, *queries.activity_parts):
            cached = state.response_cache.get(query.key)
            if cached is None or detector.activity_in(query) is ActivityStatus.NONE:
                continue
            validated_at = min(validated_at, cached.validated_at)
            if cached.fetched_at < updated_at and detector.may_have_changed(query, cached.fetched_at):
                updated_at = cached.fetched_at
        self._note_age(window, updated_at)
        return validated_at

    def _note_age(self, window: Window, updated_at: datetime) -> None:
        self.updated_at[window.name] = min(updated_at, self.updated_at.get(window.name, updated_at))

    def _known_apps(self, state: TemplateState, apps: AppMetadata) -> AppMetadata:
        """Return all known apps of the template; the same object while they are unchanged."""
        known_apps = {(slug, "builtin"): metadata for slug, metadata in BUILTIN_APPS.items()} | dict(apps)
        for report in state.reports():
            for app in report.apps:
                known_apps.setdefault((app.slug, app.type), (app.display_name, app.icon))
        for key in state.anchored_totals.used_apps():
            # No current response contains the name; an earlier one may have.
            known_apps.setdefault(key, state.known_apps.get(key, (key[0], "")))
        if known_apps != state.known_apps:
            state.known_apps = known_apps
        return state.known_apps

    # Totals

    def _build_totals(
        self, state: TemplateState, detector: ChangeDetector, known_apps: AppMetadata
    ) -> Totals | None:
        """Return the totals; if a response is missing, the previous totals until they expire."""
        is_settled = state.settle_days(self.plan, detector)
        day_queries = [self.plan.window_queries[day] for day in self.plan.unsettled_days]
        responses = [
            tuple(
                self._response(query, state, detector, complete=True)
                for query in (*day.report_parts, *day.activity_parts)
            )
            for day in day_queries
        ]
        unsettled_days = [
            (report, activity)
            for report, activity in responses
            if isinstance(report, UsageReport) and isinstance(activity, ActivityReport)
        ]
        is_current = is_settled and len(unsettled_days) == len(responses)
        self._note_pending(state, is_current=is_current)
        if not is_current:
            return self._previous_totals(state)
        state.totals_updated_at = self.plan.now
        anchored_totals = state.anchored_totals
        fingerprint = InputFingerprint(
            (
                known_apps,
                anchored_totals,
                anchored_totals.settled_app_seconds,
                anchored_totals.settled_user_seconds,
                *(response for day in unsettled_days for response in day),
            ),
            (self._username_fingerprint,),
        )
        if (
            state.totals is not None
            and not anchored_totals.has_pending_zero
            and state.totals_fingerprint == fingerprint
        ):
            return state.totals
        update = anchored_totals.update(unsettled_days, known_apps=known_apps)
        if update.decrease_count:
            self.on_clamped(update.decrease_count)
        state.totals = Totals(
            since=anchored_totals.since,
            seconds=update.seconds,
            apps=update.apps,
            users=self._total_users(state),
        )
        state.totals_fingerprint = fingerprint
        state.totals_username_fingerprint = self._username_fingerprint
        return state.totals

    def _total_users(self, state: TemplateState) -> dict[str, float]:
        """Return the totals by username."""
        return self._filter_users(sum_by_username(state.anchored_totals.user_totals.values, self.usernames))

    def _previous_totals(self, state: TemplateState) -> Totals | None:
        updated_at = state.totals_updated_at
        if updated_at is not None and (self.plan.now - updated_at).total_seconds() > self.max_staleness:
            state.totals, state.totals_fingerprint, state.totals_updated_at = None, None, None
        if state.totals is not None and state.totals_username_fingerprint != self._username_fingerprint:
            state.totals = replace(state.totals, users=self._total_users(state))
            state.totals_username_fingerprint = self._username_fingerprint
        return state.totals

    def _note_pending(self, state: TemplateState, *, is_current: bool) -> None:
        """Record whether the totals wait for a response, and why."""
        queries = [
            query
            for day in self.plan.unsettled_days
            for query in (
                *self.plan.window_queries[day].report_parts,
                *self.plan.window_queries[day].activity_parts,
            )
        ]
        if not is_current:
            queries += (
                *self.plan.settled_queries(state.anchored_totals.settled_through),
                *self.plan.history_queries(),
            )
        reasons = [state.failures[query.key] for query in queries if query.key in state.failures]
        if state.missing_since is not None:
            self.pending[state.key] = "not_listed"
        elif reasons:
            self.pending[state.key] = reasons[0]
        elif not is_current:
            self.pending[state.key] = "no_response" if self.is_warm else "warming_up"

    # Users

    @property
    def _username_fingerprint(self) -> InputFingerprint:
        """The inputs that determine usernames, and which users are exported."""
        return InputFingerprint((self.usernames.version,), (self.user_filter,))

    def _user_seconds(self, activities: tuple[ActivityReport, ...]) -> tuple[dict[str, float], float]:
        """Return the seconds of each user by name, and of all users."""
        users: dict[str, float] = {}
        for activity in activities:
            accumulate(users, activity.seconds_by_user.items())
        return self._filter_users(sum_by_username(users, self.usernames)), sum(users.values())

    def _filter_users(self, users: dict[str, float]) -> dict[str, float]:
        user_filter = self.user_filter
        return (
            users
            if user_filter is None
            else {username: users[username] for username in users if user_filter(username)}
        )
