"""What is remembered of one template, or of the deployment, from poll to poll."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from insights_exporter.collectors.cadence import is_refresh_due
from insights_exporter.insights.change_detection import ActivityStatus, ChangeDetector
from insights_exporter.insights.normalization import ActivityReport, NormalizedResponse, UsageReport
from insights_exporter.insights.query_plan import InsightsEndpoint, Query, QueryKey, QueryPlan
from insights_exporter.insights.totals import AnchoredTotals
from insights_exporter.snapshot import Latency, Totals, WindowUsage

__all__ = ["CachedResponse", "CachedUsage", "InputFingerprint", "TemplateState"]


@dataclass(slots=True)
class CachedResponse:
    """An answer, when it was given, and until when it was known to hold."""

    query: Query
    response: NormalizedResponse
    fetched_at: datetime
    validated_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class InputFingerprint:
    """What something was built from: objects, which must be the same, and values, which must be equal."""

    objects: tuple[object, ...]
    values: tuple[object, ...]

    def __eq__(self, other: object) -> bool:
        """Say whether building again would give the same."""
        return (
            isinstance(other, InputFingerprint)
            and len(self.objects) == len(other.objects)
            and all(left is right for left, right in zip(self.objects, other.objects, strict=True))
            and self.values == other.values
        )

    __hash__ = None  # type: ignore[assignment]  # It holds what cannot be hashed.


@dataclass(slots=True)
class CachedUsage:
    """A value with what it was made of: while that is the same, the value stays the same object.

    ``choices`` is what its parameters alone were made of, ``activity`` and ``naming`` what its users were.
    """

    fingerprint: InputFingerprint
    parameter_fingerprint: InputFingerprint
    activity: tuple[ActivityReport, ...]
    username_fingerprint: InputFingerprint
    usage: WindowUsage


@dataclass(slots=True)
class TemplateState:
    """The answers on one template; on the deployment where ``id`` is None."""

    id: str | None
    anchored_totals: AnchoredTotals
    response_cache: dict[QueryKey, CachedResponse] = field(default_factory=dict)
    usage_cache: dict[str, CachedUsage] = field(default_factory=dict)
    known_apps: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Name and icon of each app that it is known to have, by slug and type."""
    totals: Totals | None = None
    totals_fingerprint: InputFingerprint | None = None
    totals_username_fingerprint: InputFingerprint | None = None
    totals_updated_at: datetime | None = None
    label: str = "deployment"
    """What people call it."""
    denied_at: datetime | None = None
    """When Coder last refused to tell anything of it; None while it tells."""

    def due_queries(
        self,
        plan: QueryPlan,
        detector: ChangeDetector,
        *,
        refresh_interval: float,
        fetched_keys: Container[QueryKey] = (),
    ) -> list[Query]:
        """Return what must be asked now, and note that the rest still holds; ``asked`` was just asked."""
        queries = {
            query.key: query
            for query in plan.queries
            if self.id or query.key.endpoint is not InsightsEndpoint.LATENCY
        }
        relevant_queries = [
            query for query in queries.values() if detector.activity_in(query) is ActivityStatus.SOME
        ]
        if detector.activity_since(self.anchored_totals.settled_through) is ActivityStatus.SOME:
            relevant_queries += [
                query
                for query in plan.settled_queries(self.anchored_totals.settled_through)
                if query.key not in queries
            ]
        due = []
        for query in relevant_queries:
            cached = self.response_cache.get(query.key)
            if query.key in fetched_keys:
                continue
            if cached is None or self._needs_refresh(
                query, cached, plan, detector, refresh_interval=refresh_interval
            ):
                due.append(query)
            else:
                cached.validated_at = plan.now
        return due

    def _needs_refresh(
        self,
        query: Query,
        cached: CachedResponse,
        plan: QueryPlan,
        detector: ChangeDetector,
        *,
        refresh_interval: float,
    ) -> bool:
        may_have_changed = detector.may_have_changed(query, cached.fetched_at)
        if may_have_changed and query.refresh_every_poll:
            return True
        # Names of apps are looked up when Coder is asked, so even a report on the past can change.
        if may_have_changed or (query.key.endpoint is InsightsEndpoint.REPORT and query.include_report):
            return is_refresh_due(
                self.id or "", last_refresh=cached.fetched_at, now=plan.now, interval=refresh_interval
            )
        return False

    def store(self, query: Query, response: NormalizedResponse, now: datetime) -> None:
        """Take an answer; where it says what the last one said, that one stays."""
        cached = self.response_cache.get(query.key)
        if cached is not None:
            response = _reuse_previous(response, cached.response)
        self.response_cache[query.key] = CachedResponse(query, response, now, now)

    def prune(self, plan: QueryPlan, *, max_age: float) -> None:
        """Forget answers on ranges that are no longer asked for, and those too old to be believed."""
        planned_keys = {query.key for query in plan.queries}
        planned_keys |= {query.key for query in plan.settled_queries(self.anchored_totals.settled_through)}
        for key, cached in list(self.response_cache.items()):
            if key not in planned_keys or (plan.now - cached.validated_at).total_seconds() > max_age:
                del self.response_cache[key]

    def response(self, key: QueryKey) -> NormalizedResponse | None:
        """Return an answer; None where there is none."""
        cached = self.response_cache.get(key)
        return None if cached is None else cached.response

    def report(self, key: QueryKey) -> UsageReport | None:
        """Return an answer that is a report."""
        response = self.response(key)
        return response if isinstance(response, UsageReport) else None

    def reports(self) -> Mapping[QueryKey, tuple[Query, UsageReport]]:
        """Return all answers that are reports."""
        return {
            key: (cached.query, cached.response)
            for key, cached in self.response_cache.items()
            if isinstance(cached.response, UsageReport)
        }

    def final_response(self, key: QueryKey, plan: QueryPlan) -> NormalizedResponse | None:
        """Return an answer on closed days if it was given after they closed."""
        cached = self.response_cache.get(key)
        if cached is None or plan.last_settled_day_at(cached.fetched_at) < plan.last_settled_day:
            return None
        return cached.response

    def settle_days(self, plan: QueryPlan, detector: ChangeDetector) -> bool:
        """Bring the ledger up to the newest closed day; return False where an answer for that is missing."""
        queries = plan.settled_queries(self.anchored_totals.settled_through)
        if not queries:
            return True
        status = detector.activity_since(self.anchored_totals.settled_through)
        if status is ActivityStatus.NONE:
            self.anchored_totals.settled_through = plan.last_settled_day
            return True
        report, activity = (self.final_response(query.key, plan) for query in queries)
        if (
            status is ActivityStatus.UNKNOWN
            or not isinstance(report, UsageReport)
            or not isinstance(activity, ActivityReport)
        ):
            return False
        self.anchored_totals.add_settled_days(plan.last_settled_day, report, activity)
        return True


def _reuse_previous(response: NormalizedResponse, previous: NormalizedResponse) -> NormalizedResponse:
    """Return the part before where it says the same; of a report, keep parameters that do."""
    if isinstance(response, Latency):
        # Whoever made it has compared it with the one before.
        return response
    if response == previous:
        return previous
    if (
        isinstance(response, UsageReport)
        and isinstance(previous, UsageReport)
        and response.parameters == previous.parameters
    ):
        return msgspec.structs.replace(response, parameters=previous.parameters)
    return response
