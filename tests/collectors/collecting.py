"""An insights collector, and what tests ask of what it found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from insights_exporter.collectors import InsightsCollector, InsightsState
from insights_exporter.errors import (
    NotPermitted,
    ServerError,
)
from insights_exporter.filters import Filters
from insights_exporter.settings import FilterSettings, InsightsSettings, PollSettings
from insights_exporter.snapshot import (
    Insights,
    Inventory,
    Template,
    TemplateKey,
    TemplateUse,
    WindowUse,
)
from tests.support.clock import FakeClock
from tests.support.scripted import Call, ScriptedCoder
from tests.support.told import Told

NOW = datetime(2026, 11, 24, 14, 5, 20, tzinfo=UTC)
TODAY = datetime(2026, 11, 24, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)


class Exporter:
    """An insights collector with everything around it."""

    def __init__(
        self,
        *names: str,
        now: datetime = NOW,
        insights: InsightsSettings | None = None,
        filters: FilterSettings | None = None,
    ) -> None:
        self.clock = FakeClock(now)
        self.coder = ScriptedCoder(self.clock)
        self.told = Told()
        self.state = InsightsState()
        self.inventory = Inventory([Template(name, TemplateKey("acme", name)) for name in names])
        self.insights = insights or InsightsSettings()
        self.filters = filters or FilterSettings()

    async def poll(self, after: float = 0) -> Insights:
        """Let some time pass, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        collector = InsightsCollector(
            self.insights,
            poll=PollSettings(),
            filters=Filters(self.filters),
            telemetry=self.told,
            state=self.state,
        )
        collected = await collector.collect(self.coder, now=self.clock.now(), inventory=self.inventory)
        return collected.value


def use_of(insights: Insights, name: str) -> TemplateUse:
    return next(one for one in insights.templates if one.key and one.key.template_name == name)


def window(use: TemplateUse, name: str) -> WindowUse:
    return next(one for one in use.windows if one.window == name)


def failing(error: Exception, **where: object) -> Callable[[Call], Exception | None]:
    """Fail each call that has these traits."""

    def fault(call: Call) -> Exception | None:
        return error if all(getattr(call, key) == value for key, value in where.items()) else None

    return fault


SERVER_ERROR = ServerError("it broke", endpoint="/insights/templates", status=500)
HIDDEN = NotPermitted("not for you", endpoint="/insights/templates", status=404)
