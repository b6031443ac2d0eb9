"""Check of Coder's time: an estimate of the share that regular polls of this deployment need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from insights_exporter.check.finding import Finding, Level, failed_finding
from insights_exporter.clock import Clock
from insights_exporter.collectors.base import InsightsApi
from insights_exporter.config.settings import Settings
from insights_exporter.errors import SecretError, UpstreamError
from insights_exporter.insights.query_plan import InsightsEndpoint, Query, Stage, build_plan

__all__ = ["ApiTimeCheck"]

GROUP_REQUESTS = 2
"""Activity and latency of today for all templates, each about as long as the deployment's activity."""


@dataclass(frozen=True, slots=True)
class ApiTimeCheck:
    """Measures one request of each kind, and multiplies it by the templates in use and its frequency."""

    coder: InsightsApi
    settings: Settings
    clock: Clock

    async def run(self, *, workspaces_seconds: float) -> Finding:
        """Return the estimate; ``workspaces_seconds`` is the duration of the whole list of workspaces.

        The account must have access to the insights of the whole deployment.
        """
        try:
            return await self._estimate(workspaces_seconds)
        except (UpstreamError, SecretError) as error:
            return failed_finding("time of Coder", error)

    async def _estimate(self, workspaces_seconds: float) -> Finding:
        plan, poll = build_plan(self.settings.insights, self.clock.now()), self.settings.poll
        start, end = plan.today.start, plan.today.end
        report_seconds = await self._time(lambda: self.coder.template_insights(start, end))
        users: Counter[str] = Counter()

        async def read_activity() -> None:
            report = await self.coder.user_activity(start, end)
            users.update(template_id for user in report.users for template_id in user.template_ids)

        activity_seconds = await self._time(read_activity)
        deployment = report_seconds + (1 + GROUP_REQUESTS) * activity_seconds
        workspaces = workspaces_seconds / poll.workspaces_every
        today = later = 0.0
        if users:
            # The template with the median number of users stands for all.
            template_id = sorted(users, key=lambda one: (users[one], one))[len(users) // 2]
            for query in plan.template_queries:
                if query.key.end is None and query.key.endpoint is not InsightsEndpoint.ACTIVITY:
                    seconds = len(users) * await self._time_query(query, template_id)
                    if query.stage is not Stage.TODAY:
                        later += seconds * poll.interval / (query.refresh_factor * poll.refresh_interval)
                    elif query.key.endpoint is InsightsEndpoint.REPORT:
                        today += seconds
        total = deployment + workspaces + today + later
        ratio, limit = total / poll.interval, poll.max_api_time_ratio
        text = (
            f"With {len(users)} templates used today, a poll takes about {total:.2g} s of Coder's time, "
            f"{ratio:.1%} of the interval: templates today {today:.2g} s, long windows {later:.2g} s, "
            f"workspaces {workspaces:.2g} s, deployment {deployment:.2g} s. The limit is {limit:.0%}."
        )
        if ratio <= limit:
            return Finding(Level.OK, "time of Coder", text)
        advice = (
            "Data of templates will be refreshed less often, see coder_insights_exporter_postponed_requests. "
            "docs/tuning.md shows how to lower the cost."
        )
        return Finding(Level.WARNING, "time of Coder", text, advice)

    async def _time_query(self, query: Query, template_id: str) -> float:
        window, ids = query.window, (template_id,)
        if query.key.endpoint is InsightsEndpoint.REPORT:
            return await self._time(
                lambda: self.coder.template_insights(window.start, window.end, template_ids=ids)
            )
        return await self._time(lambda: self.coder.user_latency(window.start, window.end, template_ids=ids))

    async def _time(self, request: Callable[[], Awaitable[object]]) -> float:
        started_at = self.clock.monotonic()
        await request()
        return self.clock.monotonic() - started_at
