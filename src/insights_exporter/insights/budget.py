"""The budget of a poll: the time until its deadline, and the time that Coder may spend on requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from insights_exporter.config.settings import PollSettings
from insights_exporter.insights.query_plan import Query, QueryPlan, Stage
from insights_exporter.insights.template_state import HOUR_SECONDS, TemplateState
from insights_exporter.telemetry import Telemetry

__all__ = ["ApiTimeBudget", "PollBudget", "WaitLimits"]


DEADLINE_SHARE: Final = 0.75
"""The share of the poll's deadline in which requests may start; the rest is for those that are running."""

WARM_UP_FACTOR: Final = 5.0
"""How much faster the budget fills while the exporter warms up: the first complete data is worth it."""

LONG_WAIT_REFRESHES: Final = 6
"""Refresh intervals that data of windows longer than a day may be old if the budget is used up."""

HISTORY_WAIT: Final = timedelta(days=2)
"""The age from which all days since the anchor are read again although the budget is used up."""


class ApiTimeBudget(Telemetry):
    """The seconds that Coder may spend on requests, as a token bucket.

    It fills with ``ratio`` seconds per second, and holds those of an hour: polls of different cost even out.
    Debts beyond ``max_debt`` seconds are cancelled; only requests that cannot wait cause them.
    """

    def __init__(self, ratio: float, *, max_debt: float) -> None:
        self._ratio = ratio
        self._max_debt = max_debt
        self.seconds = ratio * HOUR_SECONDS
        """The seconds that are left."""
        self._filled_at: float | None = None

    @classmethod
    def create(cls, poll: PollSettings) -> ApiTimeBudget:
        """Return the budget of the settings; it remembers a debt of three polls."""
        return cls(poll.max_api_time_ratio, max_debt=3 * poll.max_api_time_ratio * poll.interval)

    @property
    def is_used_up(self) -> bool:
        """Whether requests that can wait must wait."""
        return self.seconds <= 0

    def fill(self, monotonic: float, *, is_warm: bool) -> None:
        """Add the seconds of the time since the last call."""
        elapsed = 0.0 if self._filled_at is None else monotonic - self._filled_at
        self._filled_at = monotonic
        ratio = self._ratio if is_warm else WARM_UP_FACTOR * self._ratio
        self.seconds = min(self._ratio * HOUR_SECONDS, max(self.seconds, -self._max_debt) + ratio * elapsed)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:  # noqa: ARG002 # An override.
        """Subtract the duration of a request."""
        self.seconds -= seconds


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How old served data may become in seconds while its refresh waits for the budget.

    ``day`` holds for totals and for windows of a day, ``long`` for longer windows. Data must never expire
    because of the budget, so ``day`` ends two polls before ``poll.max_staleness``.
    """

    day: float
    long: float
    interval: float

    @classmethod
    def create(cls, poll: PollSettings) -> WaitLimits:
        """Return the limits of the settings."""
        return cls(
            day=poll.max_staleness - 2 * poll.interval,
            long=LONG_WAIT_REFRESHES * poll.refresh_interval,
            interval=poll.interval,
        )

    def allow(
        self,
        state: TemplateState,
        queries: Sequence[Query],
        settled_queries: Sequence[Query],
        plan: QueryPlan,
        *,
        is_warm: bool,
    ) -> bool:
        """Return whether due queries of a template may wait until the next poll."""
        return all(self._allows_query(state, query, plan, is_warm=is_warm) for query in queries) and all(
            self._allows_settled(state, query, plan, is_warm=is_warm) for query in settled_queries
        )

    def _allows_query(self, state: TemplateState, query: Query, plan: QueryPlan, *, is_warm: bool) -> bool:
        limit = self.day if query.refreshes_every_poll else self.long
        cached = state.response_cache.get(query.key)
        if cached is not None:
            return self._is_within(limit, cached.fetched_at, plan)
        served = state.usage_cache.get(query.window.name)
        if served is None:
            return not is_warm and query.stage is not Stage.TODAY
        # After midnight, the window of the day before is served until the first response for the new range.
        is_earlier = served.usage.start < query.window.start and bool(served.usage.active_users)
        return is_earlier and self._is_within(limit, served.usage.end, plan)

    def _allows_settled(self, state: TemplateState, query: Query, plan: QueryPlan, *, is_warm: bool) -> bool:
        if state.totals is None or state.totals_updated_at is None:
            return not is_warm
        if query.stage is Stage.HISTORY and state.history_read_at is not None:
            return plan.now - state.history_read_at < HISTORY_WAIT
        return self._is_within(self.day, state.totals_updated_at, plan)

    def _is_within(self, limit: float, since: datetime, plan: QueryPlan) -> bool:
        """Return whether data is younger than the limit until the next poll, which may be late."""
        return (plan.now - since).total_seconds() + self.interval / 2 < limit


@dataclass(frozen=True, slots=True)
class PollBudget:
    """What a poll may still spend; ``deadline`` is on the clock ``monotonic``."""

    monotonic: Callable[[], float]
    deadline: float
    api_time: ApiTimeBudget
    limits: WaitLimits

    @classmethod
    def create(
        cls, poll: PollSettings, api_time: ApiTimeBudget, monotonic: Callable[[], float]
    ) -> PollBudget:
        """Return the budget of a poll that starts now."""
        deadline = monotonic() + DEADLINE_SHARE * poll.deadline
        return cls(monotonic, deadline, api_time, WaitLimits.create(poll))

    def allows(self, stage: Stage) -> bool:
        """Return whether a request of that stage may start; those for today are not bound to the deadline."""
        return stage is Stage.TODAY or self.monotonic() < self.deadline
