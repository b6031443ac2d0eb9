"""Requests of a backfill: the responses for one range after the other, at a steady rate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias, TypeVar

import msgspec

from insights_exporter.backfill.history import History
from insights_exporter.backfill.journal import BackfillError
from insights_exporter.backfill.range_data import (
    RangeData,
    WindowData,
    add_activities,
    mentioned_template_ids,
)
from insights_exporter.backfill.schedule import Scope, Step
from insights_exporter.clock import Clock
from insights_exporter.coder import models
from insights_exporter.coder.models import none_if_zero_time
from insights_exporter.coder.time_ranges import Window
from insights_exporter.collectors.base import CoderApi, InsightsApi, run_limited_unwrapped
from insights_exporter.collectors.inventory import select_templates
from insights_exporter.config.settings import Settings
from insights_exporter.errors import Forbidden, NotFoundOrForbidden
from insights_exporter.insights.users import group_templates, normalize_activity, request_group
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import Template

__all__ = ["DEFAULT_RATE", "RangeFetcher", "RequestPace", "list_templates"]

Task: TypeAlias = Callable[[], Awaitable[None]]

R = TypeVar("R", models.UserActivityReport, models.UserLatencyReport)

GroupRequest: TypeAlias = Callable[[Window, Sequence[str]], Awaitable[R]]

DEFAULT_RATE: Final = 450
"""Requests per minute and endpoint. Coder allows 512; the rest is for the exporter that polls meanwhile."""

MINUTE: Final = 60.0


@dataclass(slots=True)
class RequestPace:
    """Spaces requests evenly: ``rate`` per minute for each endpoint, whose limits Coder counts separately."""

    clock: Clock
    rate: int
    counts: dict[str, int] = field(default_factory=dict)
    """Requests by endpoint."""
    _next_at: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Requests to all endpoints."""
        return sum(self.counts.values())

    async def wait(self, endpoint: str) -> None:
        """Wait for the next slot of an endpoint."""
        now = self.clock.monotonic()
        at = max(self._next_at.get(endpoint, now), now)
        self._next_at[endpoint] = at + MINUTE / self.rate
        self.counts[endpoint] = self.counts.get(endpoint, 0) + 1
        if at > now:
            await self.clock.sleep(at - now)


async def list_templates(api: CoderApi, settings: Settings) -> tuple[Template, ...]:
    """Return the exported templates under their current names; raise BackfillError if there is none."""
    rows = select_templates(await api.templates(), Filters(settings.filters))
    templates = tuple(
        Template(row.id, key, row.display_name, row.icon, none_if_zero_time(row.created_at))
        for key, row in rows.items()
    )
    if not templates:
        raise BackfillError("The account can read no template that the filters allow")
    return templates


class RangeFetcher:
    """Requests ranges; templates without use cost no request.

    ``windows_of`` returns the windows of several days, as of a range, whose own responses are wanted.
    """

    def __init__(
        self,
        api: InsightsApi,
        templates: Sequence[Template],
        *,
        pace: RequestPace,
        history: History,
        windows_of: Callable[[Step], Sequence[Window]] = lambda _: (),
    ) -> None:
        self._api = api
        self._templates = templates
        self._pace = pace
        self._history = history
        self._windows_of = windows_of
        self._is_deployment_allowed: bool | None = None
        self.dropped_rows = 0
        """Invalid rows, which are left out."""

    def observe(self, data: RangeData) -> None:
        """Take a range that was fetched by an earlier run."""
        self._is_deployment_allowed = data.activity is not None

    async def fetch(self, step: Step) -> RangeData:
        """Return the responses for a range; raise an UpstreamError if one is missing."""
        data = RangeData(step.window.start, step.window.end)
        if self._is_deployment_allowed is not False:
            try:
                data = msgspec.structs.replace(data, activity=await self._activity(step.window))
            except (Forbidden, NotFoundOrForbidden):
                if self._is_deployment_allowed:
                    raise
                # The account may still read the insights of single templates.
        self.observe(data)
        if data.activity is None:
            return await self._fetch_all_templates(step, data)
        if step.scope is Scope.USERS:
            return data
        report = await self._report(step.window)
        mentioned = mentioned_template_ids(report)
        # Parameters of the deployment are not exported.
        report = msgspec.structs.replace(report, template_ids=mentioned, parameters_usage=[])
        data = msgspec.structs.replace(data, report=report)
        await run_limited_unwrapped(self._usage_tasks(step, data, mentioned))
        return await self._with_windows(step, data)

    def _usage_tasks(self, step: Step, data: RangeData, mentioned: Sequence[str]) -> list[Task]:
        """Return the requests for templates with use, and for those with new builds."""
        used_ids = data.used_template_ids()
        used = [template.id for template in self._templates if template.id in used_ids]
        built = [template.id for template in self._templates if template.id in mentioned]
        tasks: list[Task] = [
            partial(self._add_report, step.window, data.reports, template_id)
            for template_id in dict.fromkeys([*used, *(built if step.scope is Scope.ALL else ())])
        ]
        shared = [template_id for template_id in used if data.needs_own_activity(template_id)]
        tasks += self._group_tasks(step.window, data.activity, shared, self._activity, data.activities)
        if step.scope is Scope.ALL:
            tasks += self._group_tasks(step.window, data.activity, used, self._latency, data.latencies)
        return tasks

    def _group_tasks(
        self,
        window: Window,
        activity: models.UserActivityReport | None,
        template_ids: Sequence[str],
        request: GroupRequest[R],
        results: dict[str, R],
    ) -> list[Task]:
        """Return one request for the templates without a common user, as the live collector sends."""
        groups = [[template_id] for template_id in template_ids]
        if activity is not None:
            groups = group_templates(template_ids, normalize_activity(activity, by_template=True))
        return [partial(self._add_group, window, group, request, results) for group in groups]

    async def _add_group(
        self, window: Window, group: Sequence[str], request: GroupRequest[R], results: dict[str, R]
    ) -> None:
        results.update(await request_group(group, partial(request, window)))

    async def _fetch_all_templates(self, step: Step, data: RangeData) -> RangeData:
        """Return the responses of every template that the account may read."""
        denied: list[str] = []
        errors: list[Exception] = []

        async def fetch(template: Template) -> None:
            id_ = template.id
            try:
                data.activities[id_] = await self._activity(step.window, (id_,))
                if step.scope >= Scope.USAGE and data.activities[id_].users:
                    await self._add_report(step.window, data.reports, id_)
                    if step.scope is Scope.ALL:
                        data.latencies[id_] = await self._latency(step.window, (id_,))
            except (Forbidden, NotFoundOrForbidden) as error:
                denied.append(id_)
                errors.append(error)

        templates = [
            template
            for template in self._templates
            if template.created_at is None or template.created_at < step.window.end
        ]
        await run_limited_unwrapped(partial(fetch, template) for template in templates)
        if errors and len(denied) == len(templates):
            raise errors[0]
        return await self._with_windows(step, msgspec.structs.replace(data, denied=tuple(sorted(denied))))

    async def _with_windows(self, step: Step, data: RangeData) -> RangeData:
        windows = self._windows_of(step)
        if step.scope is not Scope.ALL or not windows:
            return data
        readable = [template.id for template in self._templates if template.id not in data.denied]
        today = data.used_template_ids().union(() if data.report is None else data.report.template_ids)
        fetched = []
        for window in windows:
            result = WindowData(window.name, window.start, window.end)
            known = today | self._history.used_template_ids(window.start, step.window.start)
            template_ids = [template_id for template_id in readable if template_id in known]
            activity = None
            if data.activity is not None:
                before = self._history.deployment_activity(window.start, step.window.start)
                activity = add_activities([before, data.activity])
            tasks: list[Task] = [
                partial(self._add_report, window, result.reports, template_id) for template_id in template_ids
            ]
            tasks += self._group_tasks(window, activity, template_ids, self._latency, result.latencies)
            await run_limited_unwrapped(tasks)
            fetched.append(result)
        return msgspec.structs.replace(data, windows=tuple(fetched))

    # Requests

    async def _add_report(
        self, window: Window, results: dict[str, models.TemplateReport], template_id: str
    ) -> None:
        results[template_id] = await self._report(window, (template_id,))

    async def _report(self, window: Window, template_ids: Sequence[str] = ()) -> models.TemplateReport:
        await self._pace.wait("/insights/templates")
        response = await self._api.template_insights(window.start, window.end, template_ids=template_ids)
        self.dropped_rows += response.dropped
        return response.report or models.TemplateReport()

    async def _activity(self, window: Window, template_ids: Sequence[str] = ()) -> models.UserActivityReport:
        await self._pace.wait("/insights/user-activity")
        response = await self._api.user_activity(window.start, window.end, template_ids=template_ids)
        self.dropped_rows += response.dropped
        return msgspec.structs.replace(response, dropped=0)

    async def _latency(self, window: Window, template_ids: Sequence[str]) -> models.UserLatencyReport:
        await self._pace.wait("/insights/user-latency")
        response = await self._api.user_latency(window.start, window.end, template_ids=template_ids)
        self.dropped_rows += response.dropped
        return msgspec.structs.replace(response, dropped=0)
