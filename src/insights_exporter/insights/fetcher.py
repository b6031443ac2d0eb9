"""The fetcher of insights responses, with a circuit breaker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from insights_exporter.coder import models
from insights_exporter.collectors.base import FATAL_ERRORS, ErrorReporter, InsightsApi
from insights_exporter.errors import (
    ExporterError,
    InsightsDisabled,
    NotFoundOrForbidden,
    UpstreamError,
)
from insights_exporter.insights.budget import PollBudget
from insights_exporter.insights.query_plan import InsightsEndpoint, Query
from insights_exporter.insights.reports import normalize_report
from insights_exporter.insights.template_state import NormalizedResponse, TemplateState
from insights_exporter.insights.users import (
    UsernameIndex,
    normalize_activity,
    normalize_latency,
    split_by_template,
)

__all__ = ["InsightsFetcher"]

MAX_FAILURES_PER_TEMPLATE: Final = 3
"""Consecutive failed requests, each with its retries, after which a template is skipped for this poll."""

MAX_FAILED_TEMPLATES: Final = 5
"""Failed templates without a success in between after which the circuit opens for this poll."""


class InsightsFetcher:
    """Sends the requests of one poll. A failed request leaves the cached response in place.

    The circuit breaker opens after failures of several templates in a row: then the poll sends no more
    requests.
    """

    def __init__(
        self,
        coder: InsightsApi,
        *,
        reporter: ErrorReporter,
        usernames: UsernameIndex,
        budget: PollBudget,
    ) -> None:
        self._coder = coder
        self._reporter = reporter
        self._usernames = usernames
        self.budget = budget
        self.postponed = 0
        """Requests left for the next poll, because the budget was used up."""
        self.postponed_first = 0
        """Those of them without a previous response."""
        self.response_count = 0
        self._succeeded: set[str | None] = set()
        self._consecutive_failures: dict[str | None, int] = {}
        """Consecutive failed requests by template."""
        self._failed_since_success: set[str | None] = set()
        """The templates that failed since the last success of any template."""
        self._skipped: dict[str | None, ExporterError] = {}
        self._aborted_by: ExporterError | None = None
        self._last_error: ExporterError | None = None

    @property
    def is_aborted(self) -> bool:
        """Whether an error ended the poll."""
        return self._aborted_by is not None

    @property
    def found_server_down(self) -> bool:
        """Whether the server failed to answer every request."""
        return (
            self.response_count == 0
            and isinstance(self._last_error, UpstreamError)
            and (self._last_error.retryable)
        )

    async def fetch(self, state: TemplateState, query: Query, now: datetime) -> ExporterError | None:
        """Send a query for a template; return the error, or None after a success or without budget."""
        error = self._aborted_by or self._skipped.get(state.id)
        if error is not None:
            state.failures.setdefault(query.key, error.reason)
            return error
        if not self.budget.allows(query.stage):
            self.postpone(state, query)
            return None
        try:
            response, dropped = await self._request(state, query)
        except ExporterError as failure:
            state.failures[query.key] = failure.reason
            self._record_error(state, failure)
            return failure
        self._store(state, query, response, now, complete=not dropped)
        return None

    async def fetch_group(self, states: Sequence[TemplateState], query: Query, now: datetime) -> None:
        """Send an activity or latency query for templates without a common user.

        Templates whose part of the response is unknown keep their cached response, as all do after an error.
        The single requests that follow report the error.
        """
        if self._aborted_by is not None:
            return
        try:
            responses = await self._request_group([state.id for state in states if state.id], query)
        except ExporterError:
            return
        for state in states:
            if state.id in responses:
                self._store(state, query, responses[state.id], now)

    def postpone(self, state: TemplateState, query: Query) -> None:
        """Leave a query for a later poll."""
        self.postponed += 1
        self.postponed_first += query.key not in state.response_cache

    def _store(
        self,
        state: TemplateState,
        query: Query,
        response: NormalizedResponse,
        now: datetime,
        *,
        complete: bool = True,
    ) -> None:
        state.store(query, response, now, complete=complete)
        self.response_count += 1
        self._succeeded.add(state.id)
        self._consecutive_failures.pop(state.id, None)
        self._failed_since_success.clear()

    def record_failures(self, last_failed_at: dict[str | None, datetime], now: datetime) -> None:
        """Record the templates whose last request failed, and forget those with a response."""
        for template_id in self._succeeded:
            last_failed_at.pop(template_id, None)
        last_failed_at.update(dict.fromkeys(self._consecutive_failures, now))

    def raise_if_failed(self) -> None:
        """Raise if insights are disabled or no request succeeded; report the error that ended the poll."""
        if isinstance(self._aborted_by, InsightsDisabled):
            raise self._aborted_by
        if self.response_count == 0 and self._last_error is not None:
            raise self._last_error
        if self._aborted_by is not None:
            self._reporter.report(self._aborted_by)

    def _record_error(self, state: TemplateState, error: ExporterError) -> None:
        self._last_error = error
        if self._aborted_by is not None:
            # Concurrent requests meet the same error.
            return
        if isinstance(error, (*FATAL_ERRORS, InsightsDisabled)) or self._opens_circuit(state, error):
            self._aborted_by = error
            return
        if isinstance(error, NotFoundOrForbidden) and state.id is not None:
            # The template was deleted, or access was lost: its other requests would get the same response.
            self._skipped[state.id] = error
        self._reporter.report(error, resource=state.label)

    def _opens_circuit(self, state: TemplateState, error: ExporterError) -> bool:
        """Count a retryable error; return whether it opens the circuit."""
        if not (isinstance(error, UpstreamError) and error.retryable):
            return False
        self._failed_since_success.add(state.id)
        self._consecutive_failures[state.id] = self._consecutive_failures.get(state.id, 0) + 1
        if self._consecutive_failures[state.id] >= MAX_FAILURES_PER_TEMPLATE:
            # Its other requests would take the time of templates that respond.
            self._skipped[state.id] = error
        return len(self._failed_since_success) >= MAX_FAILED_TEMPLATES

    async def _request(self, state: TemplateState, query: Query) -> tuple[NormalizedResponse, int]:
        """Return the normalized response and the number of its dropped parts."""
        start, end = query.window.start, query.window.end
        template_ids = () if state.id is None else (state.id,)
        if query.key.endpoint is InsightsEndpoint.ACTIVITY:
            report = await self._coder.user_activity(start, end, template_ids=template_ids)
            activity = normalize_activity(report, by_template=state.id is None)
            # The ids of the normalized response are interned, and compare faster.
            self._learn_usernames(report.users, activity.seconds_by_user)
            return activity, report.dropped
        if query.key.endpoint is InsightsEndpoint.LATENCY:
            latency = await self._coder.user_latency(start, end, template_ids=template_ids)
            self._learn_usernames(latency.users, [user.user_id for user in latency.users])
            return normalize_latency(latency), latency.dropped
        insights = await self._coder.template_insights(start, end, template_ids=template_ids)
        return normalize_report(insights, by_template=state.id is None), insights.dropped

    async def _request_group(
        self, template_ids: Sequence[str], query: Query
    ) -> Mapping[str | None, NormalizedResponse]:
        """Return the normalized responses by template; without those that cannot be split."""
        start, end = query.window.start, query.window.end
        if query.key.endpoint is InsightsEndpoint.ACTIVITY:
            report = await self._coder.user_activity(start, end, template_ids=template_ids)
            self._learn_usernames(report.users, [user.user_id for user in report.users])
            return {
                template_id: normalize_activity(models.UserActivityReport(users=rows))
                for template_id, rows in split_by_template(report.users, template_ids).items()
                if not report.dropped
            }
        latency = await self._coder.user_latency(start, end, template_ids=template_ids)
        self._learn_usernames(latency.users, [user.user_id for user in latency.users])
        return {
            template_id: normalize_latency(models.UserLatencyReport(users=rows))
            for template_id, rows in split_by_template(latency.users, template_ids).items()
            if not latency.dropped
        }

    def _learn_usernames(
        self, users: Sequence[models.UserActivity] | Sequence[models.UserLatency], user_ids: Iterable[str]
    ) -> None:
        if not self._usernames.matches(user_ids, [user.username for user in users]):
            self._usernames.update({user.user_id: user.username for user in users if user.username})
