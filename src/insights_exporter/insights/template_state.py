"""The cached responses and totals of one template, or of the deployment, from poll to poll."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Final, Protocol, TypeAlias

import msgspec

from insights_exporter.collectors.base import ReportedErrors, is_refresh_due
from insights_exporter.insights.query_plan import DAY, Query, QueryKey, QueryPlan, Stage
from insights_exporter.insights.reports import UsageReport
from insights_exporter.insights.totals import AnchoredTotals
from insights_exporter.insights.users import ActivityReport, LatencyReport, UsernameIndex
from insights_exporter.snapshot import TemplateKey, Totals, User, WindowUsage

__all__ = [
    "HOUR_SECONDS",
    "ActivityStatus",
    "CachedResponse",
    "CachedUsage",
    "ChangeDetector",
    "InputFingerprint",
    "InsightsState",
    "NormalizedResponse",
    "TemplateState",
]

DAY_SECONDS: Final = 86400.0
HOUR_SECONDS: Final = 3600.0
NormalizedResponse: TypeAlias = UsageReport | ActivityReport | LatencyReport

NEVER: Final = datetime.min.replace(tzinfo=UTC)


class ActivityStatus(Enum):
    """The knowledge about a range before it is requested."""

    NONE = "none"
    """The range has no data; a request is unnecessary."""
    SOME = "some"
    UNKNOWN = "unknown"
    """The deployment's responses for the range are missing or incomplete."""


class ChangeDetector(Protocol):
    """The knowledge about one template, or the deployment, before it is requested."""

    def activity_in(self, query: Query) -> ActivityStatus:
        """Return whether the query's response can contain data."""

    def activity_since(self, day: date) -> ActivityStatus:
        """Return whether there was any use on the settled days after ``day``."""

    def may_have_changed(self, query: Query, since: datetime) -> bool:
        """Return whether a response of that time can have changed."""

    def active_users(self, query: Query) -> int | None:
        """Return the distinct users of an activity query's range; None if unknown."""

    def derive_activity(self, query: Query) -> tuple[ActivityReport, datetime] | None:
        """Return the response to an activity query and its age, if known without a request."""


@dataclass(slots=True)
class CachedResponse:
    """A response, when it was fetched, and until when it was known to be current.

    ``complete`` is False if the response had invalid rows, which were dropped. ``changed_at`` is when the
    part of each template last changed; it is known for deployment-wide responses only.
    """

    query: Query
    response: NormalizedResponse
    fetched_at: datetime
    validated_at: datetime
    complete: bool = True
    changed_at: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class InputFingerprint:
    """The inputs of a computation: objects compared by identity, and values compared by equality."""

    objects: tuple[object, ...]
    values: tuple[object, ...]

    def __eq__(self, other: object) -> bool:
        """Return whether the same computation would give the same result."""
        return (
            isinstance(other, InputFingerprint)
            and len(self.objects) == len(other.objects)
            and all(left is right for left, right in zip(self.objects, other.objects, strict=True))
            and self.values == other.values
        )

    __hash__ = None  # type: ignore[assignment]  # The values may be unhashable.


@dataclass(slots=True)
class CachedUsage:
    """A window's usage and its inputs; while these are equal, the usage stays the same object.

    ``validated_at`` is the time up to which all responses were known to be current.
    """

    fingerprint: InputFingerprint
    parameter_fingerprint: InputFingerprint
    activity: tuple[ActivityReport, ...]
    latency: LatencyReport
    username_fingerprint: InputFingerprint
    usage: WindowUsage
    validated_at: datetime


@dataclass(slots=True)
class TemplateState:
    """The state of one template; of the deployment if ``id`` is None."""

    id: str | None
    anchored_totals: AnchoredTotals
    response_cache: dict[QueryKey, CachedResponse] = field(default_factory=dict)
    usage_cache: dict[str, CachedUsage] = field(default_factory=dict)
    failures: dict[QueryKey, str] = field(default_factory=dict)
    """The reason for each query whose newest request failed or had invalid rows."""
    known_apps: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Display name and icon of each known app, by slug and type."""
    totals: Totals | None = None
    totals_fingerprint: InputFingerprint | None = None
    totals_username_fingerprint: InputFingerprint | None = None
    totals_updated_at: datetime | None = None
    history_read_at: datetime | None = None
    """When all days since the anchor were last read as one range."""
    key: TemplateKey | None = None
    missing_since: datetime | None = None
    """When the first complete list without the template was read; None while it is listed."""
    denied_at: datetime | None = None
    """When Coder last denied access to the template; None while it has access."""

    @property
    def label(self) -> str:
        """The name in log events."""
        return "deployment" if self.key is None else "/".join(self.key)

    # Requests

    def is_due(
        self, query: Query, plan: QueryPlan, detector: ChangeDetector, *, refresh_interval: float
    ) -> bool:
        """Return whether a query must be requested now; otherwise mark its cached response as current."""
        if detector.activity_in(query) is not ActivityStatus.SOME:
            return False
        cached = self.response_cache.get(query.key)
        if cached is None or self._needs_refresh(
            query, cached, plan, detector, refresh_interval=refresh_interval
        ):
            return True
        cached.validated_at = plan.now
        return False

    def _needs_refresh(
        self,
        query: Query,
        cached: CachedResponse,
        plan: QueryPlan,
        detector: ChangeDetector,
        *,
        refresh_interval: float,
    ) -> bool:
        if cached.fetched_at == plan.now:
            return False
        if not cached.complete or query.key in self.failures:
            return True
        changed = detector.may_have_changed(query, cached.fetched_at)
        if changed and query.refreshes_every_poll:
            return True
        is_settled = next(plan.unsettled_days_in(query, cached.fetched_at), None) is None
        if changed or (query.refreshes_every_poll and not is_settled):
            # An app's data can arrive late without a change of the users' time, so that days that may still
            # change are refreshed hourly, too. All ranges of a template share one phase, and so their age.
            return is_refresh_due(
                self.id or "",
                last_refresh=cached.fetched_at,
                now=plan.now,
                interval=query.refresh_factor * refresh_interval,
            )
        # Settled days change after a late rollup only. Ranges that move with the calendar are new each day.
        return (plan.now - cached.fetched_at).total_seconds() >= DAY_SECONDS

    def due_settled_queries(
        self, plan: QueryPlan, detector: ChangeDetector, *, coder_started_at: datetime | None
    ) -> tuple[Query, ...]:
        """Return the queries that are due for the settled part of the totals.

        The days since the last settled one are added. Once a day, and within an hour after a start of Coder,
        the whole range since the anchor is read again, because late rollups may have changed it.
        """
        totals = self.anchored_totals
        first = totals.anchor - timedelta(days=1)
        queries: tuple[Query, ...] = ()
        if self._is_history_due(plan, coder_started_at) and (
            detector.activity_since(first) is ActivityStatus.SOME
        ):
            queries = tuple(
                query
                for query in plan.history_queries()
                if not self._has_new_history(query, plan, coder_started_at=coder_started_at)
            )
        is_read = totals.settled_through > first and (self.history_read_at is not None or not queries)
        if is_read and detector.activity_since(totals.settled_through) is ActivityStatus.SOME:
            queries += tuple(
                query
                for query in plan.settled_queries(totals.settled_through)
                if self.final_response(query.key, plan) is None
            )
        return queries

    def _is_history_due(self, plan: QueryPlan, coder_started_at: datetime | None) -> bool:
        read_at, key = self.history_read_at, f"history:{self.id or ''}"
        if read_at is None:
            return True
        if coder_started_at is not None and read_at < coder_started_at:
            return is_refresh_due(key, last_refresh=coder_started_at, now=plan.now, interval=HOUR_SECONDS)
        return is_refresh_due(key, last_refresh=read_at, now=plan.now, interval=DAY_SECONDS)

    def _has_new_history(self, query: Query, plan: QueryPlan, *, coder_started_at: datetime | None) -> bool:
        """Return whether a complete response newer than the applied history is cached."""
        cached = self.response_cache.get(query.key)
        if cached is None or self.final_response(query.key, plan) is None:
            return False
        is_new = self.history_read_at is None or cached.fetched_at > self.history_read_at
        return is_new and (coder_started_at is None or cached.fetched_at >= coder_started_at)

    def store(
        self, query: Query, response: NormalizedResponse, now: datetime, *, complete: bool = True
    ) -> None:
        """Cache a response; an incomplete response never replaces a complete one."""
        cached = self.response_cache.get(query.key)
        if complete:
            self.failures.pop(query.key, None)
        else:
            self.failures[query.key] = "incomplete"
            if cached is not None and cached.complete:
                return
        if cached is not None:
            response = _reuse_previous(response, cached.response)
        changed_at = _changed_at(cached, response, now)
        self.response_cache[query.key] = CachedResponse(query, response, now, now, complete, changed_at)

    def close_day(self, plan: QueryPlan) -> None:
        """Keep the responses for the day that ended at midnight; its later data is fetched as it arrives."""
        for key, cached in list(self.response_cache.items()):
            closed_key = key._replace(end=plan.today.start)
            if key.end is None and plan.today.start - key.start == DAY:
                window = replace(cached.query.window, end=plan.today.start)
                query = Query(closed_key, window, Stage.LONG)
                self.response_cache.setdefault(closed_key, replace(cached, query=query))

    def oldest_response(self, queries: Iterable[Query]) -> datetime:
        """Return when the oldest response to the queries was fetched; the earliest time if one is missing."""
        cached = [self.response_cache.get(query.key) for query in queries]
        return min((NEVER if one is None else one.fetched_at for one in cached), default=NEVER)

    def keep_postponed(self, queries: Iterable[Query], plan: QueryPlan) -> None:
        """Serve the data of windows longer than a day while its refresh waits for a later poll.

        Shorter windows are served until they expire.
        """
        for query in queries:
            if query.refreshes_every_poll:
                continue
            if query.key in self.response_cache:
                self.response_cache[query.key].validated_at = plan.now
            elif query.window.name in self.usage_cache:
                self.usage_cache[query.window.name].validated_at = plan.now

    def prune(self, plan: QueryPlan, *, max_age: float) -> None:
        """Delete responses to queries that left the plan, and expired ones."""
        queries = (
            *(plan.organization_queries if self.id else plan.deployment_queries),
            *plan.settled_queries(self.anchored_totals.settled_through),
            *plan.history_queries(),
        )
        planned_keys = {query.key for query in queries}
        for key, cached in list(self.response_cache.items()):
            if key not in planned_keys or (plan.now - cached.validated_at).total_seconds() > max_age:
                del self.response_cache[key]
        self.failures = {key: reason for key, reason in self.failures.items() if key in planned_keys}

    # Responses

    def response(self, key: QueryKey) -> NormalizedResponse | None:
        """Return the cached response; None if there is none."""
        cached = self.response_cache.get(key)
        return None if cached is None else cached.response

    def reports(self) -> list[UsageReport]:
        """Return all cached reports."""
        responses = (cached.response for cached in self.response_cache.values())
        return [response for response in responses if isinstance(response, UsageReport)]

    def final_response(self, key: QueryKey, plan: QueryPlan) -> NormalizedResponse | None:
        """Return a complete response for settled days if it was fetched after they settled."""
        cached = self.response_cache.get(key)
        if (
            cached is None
            or not cached.complete
            or plan.last_settled_day_at(cached.fetched_at) < plan.last_settled_day
        ):
            return None
        return cached.response

    def settle_days(self, plan: QueryPlan, detector: ChangeDetector) -> bool:
        """Add the settled days to the totals; return False while a response for them is missing."""
        self._apply_history(plan)
        totals = self.anchored_totals
        queries = plan.settled_queries(totals.settled_through)
        if not queries:
            return True
        status = detector.activity_since(totals.settled_through)
        if status is ActivityStatus.NONE:
            totals.settled_through = plan.last_settled_day
            return True
        report, activity = (self.final_response(query.key, plan) for query in queries)
        if (
            status is ActivityStatus.UNKNOWN
            or not isinstance(report, UsageReport)
            or not isinstance(activity, ActivityReport)
        ):
            return False
        totals.add_settled_days(plan.last_settled_day, report, activity)
        return True

    def _apply_history(self, plan: QueryPlan) -> None:
        """Replace the settled part of the totals by a newer reading of all days since the anchor."""
        queries = plan.history_queries()
        final = [self.final_response(query.key, plan) for query in queries]
        if not final or None in final:
            return
        fetched_at = min(self.response_cache[query.key].fetched_at for query in queries)
        if self.history_read_at is not None and fetched_at <= self.history_read_at:
            return
        report, activity = final
        if isinstance(report, UsageReport) and isinstance(activity, ActivityReport):
            self.anchored_totals.replace_settled_days(plan.last_settled_day, report, activity)
            self.history_read_at = fetched_at


@dataclass(slots=True)
class InsightsState:
    """The state that outlives a poll and a configuration reload."""

    deployment: TemplateState = field(
        default_factory=lambda: TemplateState(None, AnchoredTotals(date.max, NEVER))
    )
    templates: dict[str, TemplateState] = field(default_factory=dict)
    """By template id, including templates that disappeared: a total continues when its template returns."""
    usernames: UsernameIndex = field(default_factory=UsernameIndex)
    last_accounts: Sequence[User] = ()
    """The account list whose usernames were taken last."""
    fetched_at: datetime | None = None
    """When templates were last requested, on the server's clock."""
    reported_errors: ReportedErrors = field(default_factory=ReportedErrors)
    last_failed_at: dict[str | None, datetime] = field(default_factory=dict)
    """When a template without a success since then last failed."""
    is_warm: bool = False
    """Whether a poll has once sent all its requests."""
    server_version: str | None = None
    was_server_down: bool = False
    coder_started_at: datetime | None = None
    """When Coder was first seen after a start."""


def _changed_at(
    cached: CachedResponse | None, response: NormalizedResponse, now: datetime
) -> Mapping[str, datetime]:
    """Return when the part of each template of a deployment-wide response last changed."""
    changed_at: Mapping[str, datetime] = {} if cached is None else cached.changed_at
    previous = cached.response if cached is not None and cached.complete else None
    if isinstance(response, LatencyReport) or response is previous:
        return changed_at
    return {**changed_at, **dict.fromkeys(response.changed_templates(previous), now)}


def _reuse_previous(response: NormalizedResponse, previous: NormalizedResponse) -> NormalizedResponse:
    """Return the previous object if it is equal; of a report, reuse equal parameters."""
    if response == previous:
        return previous
    if (
        isinstance(response, UsageReport)
        and isinstance(previous, UsageReport)
        and response.parameters == previous.parameters
    ):
        return msgspec.structs.replace(response, parameters=previous.parameters)
    return response
