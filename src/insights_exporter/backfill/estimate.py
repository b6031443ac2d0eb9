"""The dry run: requests, time, series and size of a backfill, before any of it is written.

The active users of each day show which templates were used. The reports of one day stand for those of all
days. With these, the code of a run counts its requests and writes one day to a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from insights_exporter.backfill.agent_history import AgentHistory
from insights_exporter.backfill.boundaries import Boundary, BoundaryReader
from insights_exporter.backfill.fetcher import RangeFetcher, RequestPace
from insights_exporter.backfill.journal import BackfillError, FileRecord, Journal
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.backfill.outputs import Output
from insights_exporter.backfill.run import history_for, long_windows, read_inputs
from insights_exporter.backfill.samples import RangeSamples
from insights_exporter.backfill.schedule import Step, build_schedule
from insights_exporter.clock import Clock
from insights_exporter.coder import models
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.time_ranges import Window
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.collectors.base import CoderApi, InsightsApi
from insights_exporter.config.settings import Settings
from insights_exporter.errors import Forbidden, NotFoundOrForbidden
from insights_exporter.snapshot import Template

__all__ = ["Estimate", "estimate"]

_UNPACED: Final = 10**9
"""Requests per minute of counted requests, which are not sent."""

_ANY_LATENCY: Final = models.ConnectionLatency(50, 80)
"""Milliseconds of users whose latency is not requested; the number of series does not depend on it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a run. ``bytes`` is the size of the output."""

    requests: int
    minutes: float
    days: int
    series: int
    samples: int
    bytes: int


@dataclass(slots=True)
class _EstimateApi:
    """Answers from the users of each day and the reports of one day."""

    activities: Mapping[tuple[datetime, datetime], models.UserActivityReport]
    reports: Mapping[str, models.TemplateReport]
    deployment_report: models.TemplateReport
    version: ServerVersion | None = field(default=None, init=False)

    def is_unsupported(self, feature: Feature) -> bool:  # noqa: ARG002  # Part of the protocol.
        """Return False."""
        return False

    async def template_insights(
        self,
        start: datetime,  # noqa: ARG002  # Part of the protocol.
        end: datetime,  # noqa: ARG002  # As above.
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,  # noqa: ARG002  # As above.
        sections: Sequence[Section] = ("report",),  # noqa: ARG002  # As above.
    ) -> models.TemplateInsights:
        """Return the report of the requested day."""
        report = self.deployment_report if not template_ids else self.reports.get(template_ids[0])
        return models.TemplateInsights(report=report or models.TemplateReport())

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Return the users of a day."""
        activity = self.activities.get((start, end), models.UserActivityReport())
        if not template_ids:
            return activity
        wanted = set(template_ids)
        rows = [
            msgspec.structs.replace(user, template_ids=sorted(wanted.intersection(user.template_ids)))
            for user in activity.users
            if not wanted.isdisjoint(user.template_ids)
        ]
        return models.UserActivityReport(users=rows)

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return a latency for each user of a day."""
        activity = await self.user_activity(start, end, template_ids=template_ids)
        return models.UserLatencyReport(
            users=[
                models.UserLatency(user.user_id, user.username, _ANY_LATENCY, user.template_ids)
                for user in activity.users
            ]
        )


async def estimate(
    api: CoderApi,
    settings: Settings,
    options: BackfillOptions,
    *,
    open_output: Callable[[Path], Output],
    clock: Clock,
) -> Estimate:
    """Return the cost of a run; raise BackfillError without use in its days."""
    templates, end = await read_inputs(api, settings, options, clock)
    schedule = build_schedule(options.first_day, end, settings.insights)
    pace = RequestPace(clock, options.requests_per_minute)
    activities = await _read_activities(api, schedule, pace)
    written = [step for step in schedule if step.is_written]
    used = [step for step in written if activities[step.window].users]
    if not used:
        raise BackfillError(f"Coder has no usage since {options.first_day}")
    busiest = max(used[-7:], key=lambda step: len(activities[step.window].users))
    known = await _read_reports(api, busiest, activities, templates, pace)
    counted = RequestPace(clock, _UNPACED)
    boundary = await _count_requests(
        known, settings, options, templates=templates, schedule=schedule, busiest=busiest, pace=counted
    )
    samples = RangeSamples(window=busiest.window, before=boundary, after=boundary, steps=options.steps)
    with TemporaryDirectory(prefix="backfill-") as folder:
        record = await open_output(Path(folder)).write(busiest.name, samples)
    lengths = sum(step.window.seconds for step in written) / busiest.window.seconds
    agents = await _write_agents(settings, options, written, templates, open_output=open_output, clock=clock)
    return Estimate(
        requests=counted.total,
        minutes=max(counted.counts.values()) / options.requests_per_minute,
        days=len(written),
        series=record.series + max((one.series for one in agents), default=0),
        samples=round(record.samples * lengths) + sum(one.samples for one in agents),
        bytes=round(record.bytes * lengths) + sum(one.bytes for one in agents),
    )


async def _write_agents(  # noqa: PLR0913  # The inputs of a run.
    settings: Settings,
    options: BackfillOptions,
    steps: Sequence[Step],
    templates: Sequence[Template],
    *,
    open_output: Callable[[Path], Output],
    clock: Clock,
) -> list[FileRecord]:
    """Write the agent statistics, of which Coder holds about a day, to a temporary folder."""
    nothing = Boundary(steps[0].window.start.date(), {})
    with TemporaryDirectory(prefix="backfill-") as folder:
        output = Path(folder)
        journal = Journal(output)
        journal.folder.mkdir()
        history = AgentHistory(settings, replace(options, output=output), journal, clock=clock)
        await history.prepare(steps, templates)
        samples = {
            step.name: RangeSamples(
                window=step.window, before=nothing, after=nothing, steps=options.steps, agents=agents
            )
            for step in steps
            if (agents := history.day(step)) is not None
        }
        return [await open_output(output).write(name, one) for name, one in samples.items()]


async def _count_requests(  # noqa: PLR0913  # The inputs of a run.
    api: InsightsApi,
    settings: Settings,
    options: BackfillOptions,
    *,
    templates: Sequence[Template],
    schedule: Sequence[Step],
    busiest: Step,
    pace: RequestPace,
) -> Boundary:
    """Count the requests of all ranges in ``pace``, and return the boundary after the busiest day."""
    history = history_for(settings)
    windows_of = partial(long_windows, settings=settings, options=options)
    fetcher = RangeFetcher(api, templates, pace=pace, history=history, windows_of=windows_of)
    reader = BoundaryReader(
        settings, templates, history, labels=options.labels, has_window_data=options.with_long_windows
    )
    boundary: Boundary | None = None
    for step in schedule:
        history.add(await fetcher.fetch(step))
        if step is busiest:
            boundary = reader.boundary(step, await reader.snapshot(step))
    if boundary is None:
        raise ValueError("The busiest day is not in the schedule.")
    return boundary


async def _read_activities(
    api: InsightsApi, schedule: Sequence[Step], pace: RequestPace
) -> Mapping[Window, models.UserActivityReport]:
    activities = {}
    for step in schedule:
        start, end = step.window.start, step.window.end
        await pace.wait("/insights/user-activity")
        try:
            activities[step.window] = await api.user_activity(start, end)
        except (Forbidden, NotFoundOrForbidden) as error:
            raise BackfillError(
                "--dry-run: expected an account that can read deployment-wide insights; "
                f"a run without them needs four requests per template and day: {error}"
            ) from error
    return activities


async def _read_reports(
    api: InsightsApi,
    step: Step,
    activities: Mapping[Window, models.UserActivityReport],
    templates: Sequence[Template],
    pace: RequestPace,
) -> _EstimateApi:
    start, end = step.window.start, step.window.end
    used = {id_ for user in activities[step.window].users for id_ in user.template_ids}
    reports = {}
    for template_ids in ((), *((template.id,) for template in templates if template.id in used)):
        await pace.wait("/insights/templates")
        response = await api.template_insights(start, end, template_ids=template_ids)
        reports["".join(template_ids)] = response.report or models.TemplateReport()
    deployment = msgspec.structs.replace(reports.pop(""), template_ids=[], parameters_usage=[])
    by_range = {(window.start, window.end): activity for window, activity in activities.items()}
    return _EstimateApi(by_range, reports, deployment)
