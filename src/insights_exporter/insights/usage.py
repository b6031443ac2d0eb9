"""From what is held of a template to what the snapshot says of it; unchanged parts stay the same objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC

import msgspec

from insights_exporter.coder.time_ranges import Window
from insights_exporter.collectors.moves import DeltaCache
from insights_exporter.insights.change_detection import ActivityStatus, ChangeDetector
from insights_exporter.insights.normalization import (
    BUILTIN_APPS,
    EMPTY_ACTIVITY,
    EMPTY_LATENCY,
    EMPTY_REPORT,
    ActivityReport,
    NormalizedResponse,
    UsageReport,
    accumulate,
    sum_by_username,
)
from insights_exporter.insights.query_plan import InsightsEndpoint, Query, QueryPlan
from insights_exporter.insights.template_state import CachedUsage, InputFingerprint, TemplateState
from insights_exporter.insights.usernames import UsernameIndex
from insights_exporter.snapshot import (
    AppUsage,
    Latency,
    Parameter,
    ParameterOption,
    ParameterUsage,
    TemplateKey,
    TemplateUsage,
    Totals,
    WindowUsage,
)

__all__ = ["AppMetadata", "UsageBuilder"]

AppMetadata = Mapping[tuple[str, str], tuple[str, str]]
"""Name and icon to show for an app, by slug and type."""

EMPTY_RESPONSES: Mapping[InsightsEndpoint, NormalizedResponse] = {
    InsightsEndpoint.REPORT: EMPTY_REPORT,
    InsightsEndpoint.ACTIVITY: EMPTY_ACTIVITY,
    InsightsEndpoint.LATENCY: EMPTY_LATENCY,
}
STRING_LIST_TYPE = "list(string)"


@dataclass(frozen=True, slots=True)
class UsageBuilder:
    """Builds the uses of one poll.

    ``names`` tells what user ids go by; users whom ``admits`` refuses count in sums only, it is None where
    all are admitted. ``corrected`` hears how many totals have newly fallen.
    """

    plan: QueryPlan
    usernames: UsernameIndex
    user_filter: Callable[[str], bool] | None
    on_clamped: Callable[[int], None]
    max_staleness: float
    delta_cache: DeltaCache = field(default_factory=DeltaCache)

    def build(
        self,
        state: TemplateState,
        detector: ChangeDetector,
        *,
        key: TemplateKey | None,
        apps: AppMetadata,
        parameters: Sequence[Parameter] = (),
    ) -> TemplateUsage:
        """Return all that is known of a template, or of the deployment where ``key`` is None."""
        known_apps = self._known_apps(state, apps)
        windows = (
            self._build_window(window, state, detector, known_apps, parameters)
            for window in self.plan.windows
        )
        return TemplateUsage(
            key=key,
            windows=tuple(usage for usage in windows if usage is not None),
            days=self._active_user_counts(self.plan.daily_query, state, detector),
            weeks=self._active_user_counts(self.plan.weekly_query, state, detector),
            totals=self._build_totals(state, detector, known_apps),
        )

    # Windows

    def _response(
        self, query: Query, state: TemplateState, detector: ChangeDetector
    ) -> NormalizedResponse | None:
        endpoint = query.key.endpoint
        if state.id is None and endpoint is InsightsEndpoint.LATENCY:
            return EMPTY_LATENCY
        if detector.activity_in(query) is ActivityStatus.NONE:
            return EMPTY_RESPONSES[endpoint]
        return state.response(query.key)

    def _build_window(
        self,
        window: Window,
        state: TemplateState,
        detector: ChangeDetector,
        known_apps: AppMetadata,
        parameters: Sequence[Parameter],
    ) -> WindowUsage | None:
        queries = self.plan.window_queries[window]
        report = self._response(queries.report, state, detector)
        latency = self._response(queries.latency, state, detector)
        activities = _complete_activity(
            [self._response(query, state, detector) for query in queries.activity]
        )
        if not isinstance(report, UsageReport) or not isinstance(latency, Latency) or activities is None:
            state.usage_cache.pop(window.name, None)
            return None
        fingerprint = InputFingerprint((report, *activities, latency, known_apps), (window.start, parameters))
        cached = state.usage_cache.get(window.name)
        if cached is not None and cached.fingerprint == fingerprint:
            return cached.usage
        parameter_fingerprint, username_fingerprint = (
            InputFingerprint((report.parameters,), (parameters,)),
            self._username_fingerprint,
        )
        users, seconds = self._user_seconds(cached, activities)
        usage = WindowUsage(
            window=window.name,
            start=window.start.astimezone(UTC),
            end=window.end.astimezone(UTC),
            active_users=report.active_users,
            seconds=seconds,
            apps=_with_unused_apps(report.apps, known_apps),
            parameters=cached.usage.parameters
            if cached is not None and cached.parameter_fingerprint == parameter_fingerprint
            else _with_unused_options(report.parameters, parameters),
            activity=users,
            latency=latency,
        )
        state.usage_cache[window.name] = CachedUsage(
            fingerprint, parameter_fingerprint, activities, username_fingerprint, usage
        )
        return usage

    def _active_user_counts(
        self, query: Query, state: TemplateState, detector: ChangeDetector
    ) -> tuple[int | None, ...]:
        if detector.activity_in(query) is ActivityStatus.NONE:
            return (0,) * query.interval_count
        response = state.response(query.key)
        return response.interval_active_users if isinstance(response, UsageReport) else ()

    def _known_apps(self, state: TemplateState, apps: AppMetadata) -> AppMetadata:
        """Return all apps that the subject is known to have; the same object while they are the same."""
        known_apps = {(slug, "builtin"): metadata for slug, metadata in BUILTIN_APPS.items()} | dict(apps)
        for _, report in state.reports().values():
            for app in report.apps:
                known_apps.setdefault((app.slug, app.type), (app.display_name, app.icon))
        for key in state.anchored_totals.used_apps():
            # Its name is in no answer of now, but may have been in an earlier one.
            known_apps.setdefault(key, state.known_apps.get(key, (key[0], "")))
        if known_apps != state.known_apps:
            state.known_apps = known_apps
        return state.known_apps

    # Totals

    def _build_totals(
        self, state: TemplateState, detector: ChangeDetector, known_apps: AppMetadata
    ) -> Totals | None:
        """Return the totals; where a part is missing those of an earlier poll, while not too old."""
        is_settled = state.settle_days(self.plan, detector)
        day_queries = [self.plan.window_queries[day] for day in self.plan.unsettled_days]
        responses = [
            tuple(self._response(query, state, detector) for query in (day.report, *day.activity))
            for day in day_queries
        ]
        unsettled_days = [
            (report, activity)
            for report, activity in responses
            if isinstance(report, UsageReport) and isinstance(activity, ActivityReport)
        ]
        if not is_settled or len(unsettled_days) < len(responses):
            return self._previous_totals(state)
        state.totals_updated_at = self.plan.now
        anchored_totals = state.anchored_totals
        fingerprint = InputFingerprint(
            (
                known_apps,
                anchored_totals,
                *(report_or_activity for day in unsettled_days for report_or_activity in day),
            ),
            (anchored_totals.settled_through,),
        )
        if (
            state.totals is not None
            and not anchored_totals.has_pending_zero
            and state.totals_fingerprint == fingerprint
        ):
            return state.totals
        update = anchored_totals.update(unsettled_days, known_apps=known_apps, delta_cache=self.delta_cache)
        if update.decrease_count:
            self.on_clamped(update.decrease_count)
        previous, username_fingerprint = state.totals, self._username_fingerprint
        if (
            update.user_deltas is None
            or previous is None
            or state.totals_username_fingerprint != username_fingerprint
        ):
            user_totals = anchored_totals.user_totals.values
            users = self._filter_users(
                sum_by_username(
                    user_totals, anchored_totals.resolved_usernames.resolve(user_totals, self.usernames)
                )
            )
        else:
            users = self._apply_deltas(previous.users, update.user_deltas)
        state.totals = Totals(
            since=anchored_totals.since, seconds=update.seconds, apps=update.apps, users=users
        )
        state.totals_fingerprint, state.totals_username_fingerprint = fingerprint, username_fingerprint
        return state.totals

    def _previous_totals(self, state: TemplateState) -> Totals | None:
        updated_at = state.totals_updated_at
        if updated_at is not None and (self.plan.now - updated_at).total_seconds() > self.max_staleness:
            state.totals, state.totals_fingerprint, state.totals_updated_at = None, None, None
        return state.totals

    # Users

    @property
    def _username_fingerprint(self) -> InputFingerprint:
        """What decides under which names users appear, if at all."""
        return InputFingerprint((self.usernames.version,), (self.user_filter,))

    def _user_seconds(
        self, cached: CachedUsage | None, activities: tuple[ActivityReport, ...]
    ) -> tuple[dict[str, float], float]:
        """Return the time of each user by name, and that of all."""
        if cached is not None and cached.username_fingerprint == self._username_fingerprint:
            deltas = self.delta_cache.delta(cached.activity, activities)
            if deltas is not None:
                users = self._apply_deltas(cached.usage.activity, deltas)
                return users, cached.usage.seconds + sum(deltas.values())
        users = self._sum_by_username(activities)
        return self._filter_users(users), sum(users.values())

    def _apply_deltas(self, previous: Mapping[str, float], deltas: Mapping[str, float]) -> dict[str, float]:
        """Return the times of before with those added by which they moved."""
        users, user_filter = dict(previous), self.user_filter
        for user_id, seconds in deltas.items():
            username = self.usernames.username(user_id)
            if user_filter is None or user_filter(username):
                users[username] = users.get(username, 0.0) + seconds
        return users

    def _sum_by_username(self, activities: Sequence[ActivityReport]) -> dict[str, float]:
        """Return the time of each user, by name, in all of the parts."""
        users = activities[0].by_username(self.usernames)
        for activity in activities[1:]:
            accumulate(users, activity.by_username(self.usernames).items())
        return users

    def _filter_users(self, users: dict[str, float]) -> dict[str, float]:
        user_filter = self.user_filter
        return (
            users
            if user_filter is None
            else {username: users[username] for username in users if user_filter(username)}
        )


def _complete_activity(responses: Sequence[NormalizedResponse | None]) -> tuple[ActivityReport, ...] | None:
    """Return the parts where none is missing."""
    activities = tuple([response for response in responses if isinstance(response, ActivityReport)])
    return activities if len(activities) == len(responses) else None


def _with_unused_apps(apps: Sequence[AppUsage], known_apps: AppMetadata) -> tuple[AppUsage, ...]:
    """Return the apps of a window, and the known ones without use as 0."""
    used = {(app.slug, app.type) for app in apps}
    unused = (
        AppUsage(slug, app_type, 0.0, 0, display_name, icon)
        for (slug, app_type), (display_name, icon) in sorted(known_apps.items())
        if (slug, app_type) not in used
    )
    return (*apps, *unused)


def _with_unused_options(
    reported: Sequence[ParameterUsage], declared: Iterable[Parameter]
) -> tuple[ParameterUsage, ...]:
    """Return the parameters of a window, and each declared option that nobody chose as 0."""
    usages = {(usage.name, usage.type): usage for usage in reported}
    for parameter in declared:
        reported_usage = usages.get(
            (parameter.name, parameter.type),
            ParameterUsage(parameter.name, parameter.type, parameter.display_name, {}),
        )
        if not parameter.options and (parameter.name, parameter.type) not in usages:
            continue
        options = {option.value: option for option in (*reported_usage.options, *parameter.options)}
        usages[parameter.name, parameter.type] = msgspec.structs.replace(
            reported_usage, options=tuple(options.values())
        )
    return tuple(
        msgspec.structs.replace(usage, values=_count_values(usage.values, usage.options, usage.type))
        for usage in usages.values()
    )


def _count_values(
    values: Mapping[str, int], options: Sequence[ParameterOption], parameter_type: str
) -> dict[str, int]:
    counts = {option.value: 0 for option in options}
    for value, count in values.items():
        # A choice of several options is one text; each of them was chosen.
        for element in _parse_list(value) if parameter_type == STRING_LIST_TYPE and options else (value,):
            counts[element] = counts.get(element, 0) + count
    return counts


def _parse_list(value: str) -> tuple[str, ...]:
    try:
        elements = json.loads(value)
    except ValueError:
        return (value,)
    if not isinstance(elements, list) or not all(isinstance(element, str) for element in elements):
        return (value,)
    return tuple(dict.fromkeys(elements))
