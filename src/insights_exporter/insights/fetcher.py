"""Putting questions to Coder, and what to do with a fault."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from insights_exporter.coder.client import Section
from insights_exporter.coder.models import UserActivityReport
from insights_exporter.collectors.base import CoderApi
from insights_exporter.collectors.faults import ErrorReporter
from insights_exporter.errors import (
    AuthError,
    DeadlineExceeded,
    ExporterError,
    InsightsDisabled,
    LoginPageReturned,
    RedirectRefused,
    SecretError,
    TLSError,
    UpstreamError,
)
from insights_exporter.insights.normalization import (
    ActivityReport,
    NormalizedResponse,
    normalize_activity,
    normalize_latency,
    normalize_report,
)
from insights_exporter.insights.query_plan import InsightsEndpoint, Query
from insights_exporter.insights.template_state import TemplateState
from insights_exporter.insights.usernames import UsernameIndex
from insights_exporter.snapshot import Latency

__all__ = ["InsightsFetcher"]

FATAL_ERRORS = (
    AuthError,
    DeadlineExceeded,
    InsightsDisabled,
    LoginPageReturned,
    RedirectRefused,
    SecretError,
    TLSError,
)
"""Faults that every further question would meet too."""

MAX_FAILURES_PER_TEMPLATE = 3
"""How many questions in a row may fail, each tried again by the client, before one subject is left alone."""

MAX_FAILED_TEMPLATES = 5
"""How many subjects may fail, with no answer in between, before the poll gives up."""


class InsightsFetcher:
    """Asks the questions of one poll; what fails leaves the older answer in its place."""

    def __init__(
        self,
        coder: CoderApi,
        *,
        reporter: ErrorReporter,
        usernames: UsernameIndex,
        user_filter: Callable[[str], bool] | None,
    ) -> None:
        self._coder = coder
        self._reporter = reporter
        self._usernames = usernames
        self._user_filter = user_filter
        self._response_count = 0
        self._succeeded: set[str | None] = set()
        self._consecutive_failures: dict[str | None, int] = {}
        """How many questions in a row went unanswered, by subject."""
        self._failed_since_success: set[str | None] = set()
        """The subjects that failed since the last answer."""
        self._skipped: dict[str | None, ExporterError] = {}
        self._aborted_by: ExporterError | None = None
        self._last_error: ExporterError | None = None

    async def fetch(self, state: TemplateState, query: Query, now: datetime) -> ExporterError | None:
        """Ask on behalf of a subject; return the fault if there is one."""
        skip_reason = self._aborted_by or self._skipped.get(state.id)
        if skip_reason is not None:
            return skip_reason
        try:
            response = await self._request(state, query)
        except ExporterError as error:
            self._record_error(state, error)
            return error
        state.store(query, response, now)
        self._response_count += 1
        self._succeeded.add(state.id)
        self._consecutive_failures.pop(state.id, None)
        self._failed_since_success.clear()
        return None

    def record_failures(self, last_failed_at: dict[str | None, datetime], now: datetime) -> None:
        """Note which subjects had no answer to their last question, and forget those that had one."""
        for template_id in self._succeeded:
            last_failed_at.pop(template_id, None)
        last_failed_at.update(dict.fromkeys(self._consecutive_failures, now))

    def raise_if_failed(self) -> None:
        """Raise the fault where statistics are switched off or nothing was read; note one that ended all."""
        if isinstance(self._aborted_by, InsightsDisabled):
            raise self._aborted_by
        if self._response_count == 0 and self._last_error is not None:
            raise self._last_error
        if self._aborted_by is not None:
            self._reporter.report(self._aborted_by)

    def _record_error(self, state: TemplateState, error: ExporterError) -> None:
        self._last_error = error
        if self._aborted_by is not None:
            # The other questions under way meet the same fault.
            return
        if isinstance(error, FATAL_ERRORS) or self._opens_circuit(state, error):
            self._aborted_by = error
        else:
            self._reporter.report(error, resource=state.label)

    def _opens_circuit(self, state: TemplateState, error: ExporterError) -> bool:
        """Count a fault that others may meet too; say whether so many did that nobody else need ask."""
        if not (isinstance(error, UpstreamError) and error.retryable):
            return False
        self._failed_since_success.add(state.id)
        self._consecutive_failures[state.id] = self._consecutive_failures.get(state.id, 0) + 1
        if self._consecutive_failures[state.id] >= MAX_FAILURES_PER_TEMPLATE:
            # Its other questions would take the time of subjects that may well have answers.
            self._skipped[state.id] = error
        return len(self._failed_since_success) >= MAX_FAILED_TEMPLATES

    async def _request(self, state: TemplateState, query: Query) -> NormalizedResponse:
        start, end = query.window.start, query.window.end
        template_ids = () if state.id is None else (state.id,)
        previous = state.response(query.key)
        if query.key.endpoint is InsightsEndpoint.ACTIVITY:
            activity = await self._coder.user_activity(start, end, template_ids=template_ids)
            normalized = normalize_activity(
                activity, previous=previous if isinstance(previous, ActivityReport) else None
            )
            self._update_usernames(activity, normalized)
            return normalized
        if query.key.endpoint is InsightsEndpoint.LATENCY:
            latency = await self._coder.user_latency(start, end, template_ids=template_ids)
            return normalize_latency(
                latency,
                username_of=self._usernames.username,
                user_filter=self._user_filter,
                previous=previous if isinstance(previous, Latency) else None,
            )
        report = await self._coder.template_insights(
            start, end, template_ids=template_ids, interval=query.interval, sections=_sections(query)
        )
        return normalize_report(report, query)

    def _update_usernames(self, report: UserActivityReport, activity: ActivityReport) -> None:
        # The ids of the part are the same objects as ever, which are found more quickly.
        if not self._usernames.matches(activity.seconds_by_user, [user.username for user in report.users]):
            self._usernames.update({user.user_id: user.username for user in report.users if user.username})


def _sections(query: Query) -> tuple[Section, ...]:
    if query.interval is None:
        return ("report",)
    return ("report", "interval_reports") if query.include_report else ("interval_reports",)
