"""A test harness for the insights collector."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.config.settings import FilterSettings, InsightsSettings, PollSettings
from insights_exporter.errors import NotFoundOrForbidden, ServerError, UpstreamError
from insights_exporter.insights.budget import ApiTimeBudget
from insights_exporter.insights.collector import InsightsCollector, InsightsState
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import (
    Insights,
    Inventory,
    Template,
    TemplateKey,
    TemplateUsage,
    WindowUsage,
)
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder

NOW = datetime(2026, 11, 24, 14, 5, 20, tzinfo=UTC)
TODAY = datetime(2026, 11, 24, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)


class SwitchedBudget(ApiTimeBudget):
    """A budget of Coder's time that the test declares as used up."""

    def __init__(self) -> None:
        super().__init__(0.1, max_debt=30)
        self.used_up = False

    @property
    def is_used_up(self) -> bool:
        """Return what the test declared."""
        return self.used_up


class InsightsHarness:
    """An insights collector with a scripted Coder, a clock, an inventory and its state."""

    def __init__(
        self,
        *template_names: str,
        now: datetime = NOW,
        insights: InsightsSettings | None = None,
        filters: FilterSettings | None = None,
    ) -> None:
        self.clock = FakeClock(now)
        self.coder = ScriptedCoder(self.clock)
        self.telemetry = RecordingTelemetry()
        self.state = InsightsState()
        self.inventory = Inventory(
            [Template(template_name, TemplateKey("acme", template_name)) for template_name in template_names]
        )
        self.insights = insights or InsightsSettings()
        self.filters = filters or FilterSettings()
        self.api_time = SwitchedBudget()

    async def poll(
        self, after: float = 0, *, on_partial: Callable[[Insights], Awaitable[None]] | None = None
    ) -> Insights:
        """Advance the clock, and poll once."""
        self.clock.advance(after)
        self.coder.calls.clear()
        collector = InsightsCollector(
            self.insights,
            poll=PollSettings(),
            filters=Filters(self.filters),
            telemetry=self.telemetry,
            state=self.state,
            clock=self.clock,
            api_time=self.api_time,
        )
        collected = await collector.collect(
            self.coder, now=self.clock.now(), inventory=self.inventory, on_partial=on_partial
        )
        return collected.value

    async def poll_failing(self, after: float = 0) -> None:
        """Advance the clock, and poll while no request succeeds."""
        with pytest.raises(UpstreamError):
            await self.poll(after)


def usage_of(insights: Insights, name: str) -> TemplateUsage:
    return next(usage for usage in insights.templates if usage.key and usage.key.template_name == name)


def window(usage: TemplateUsage, name: str) -> WindowUsage:
    return next(window_usage for window_usage in usage.windows if window_usage.window == name)


def fail_matching(error: Exception, **criteria: object) -> Callable[[ApiCall], Exception | None]:
    """Return a function that fails each call with these attributes."""

    def find_error(call: ApiCall) -> Exception | None:
        return error if all(getattr(call, key) == value for key, value in criteria.items()) else None

    return find_error


SERVER_ERROR = ServerError("it broke", endpoint="/insights/templates", status=500)
NOT_FOUND = NotFoundOrForbidden("not for you", endpoint="/insights/templates", status=404)
