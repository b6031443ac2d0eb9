"""A run of a backfill: requests, boundaries and samples of one range after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from insights_exporter.backfill.agent_history import AgentHistory
from insights_exporter.backfill.boundaries import Boundary, BoundaryReader
from insights_exporter.backfill.fetcher import RangeFetcher, RequestPace, list_templates
from insights_exporter.backfill.history import History
from insights_exporter.backfill.journal import AgentRecord, BackfillError, FileRecord, Journal, RunRecord
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.backfill.outputs import Output
from insights_exporter.backfill.progress import progress_bar
from insights_exporter.backfill.range_data import RangeData
from insights_exporter.backfill.samples import RangeSamples
from insights_exporter.backfill.schedule import (
    Scope,
    Step,
    build_schedule,
    end_of_backfill,
    multi_day_windows,
)
from insights_exporter.clock import Clock
from insights_exporter.coder import time_ranges
from insights_exporter.coder.time_ranges import Window
from insights_exporter.collectors.base import CoderApi
from insights_exporter.config.settings import Settings
from insights_exporter.errors import ConfigError, ExporterError
from insights_exporter.privacy import load_username_policy
from insights_exporter.snapshot import Template

__all__ = ["Backfill", "Summary", "history_for", "long_windows", "read_inputs"]

_QUARTER: Final = timedelta(days=93)


@dataclass(slots=True)
class Summary:
    """What the output has from ``start`` to ``end``.

    ``requests`` and ``dropped_rows`` are of this run alone. ``agents`` is None without agent statistics.
    """

    start: datetime | None = None
    end: datetime | None = None
    days: int = 0
    series: int = 0
    samples: int = 0
    bytes: int = 0
    requests: int = 0
    dropped_rows: int = 0
    was_complete: bool = False
    agents: AgentRecord | None = None

    def add(self, window: Window, record: FileRecord) -> None:
        """Add a written range."""
        self.start, self.end = self.start or window.start, window.end
        self.days += 1
        self.series = max(self.series, record.series)
        self.samples += record.samples
        self.bytes += record.bytes


class Backfill:
    """Writes the past of a deployment to an output; an interrupted run continues from the journal."""

    def __init__(
        self,
        api: CoderApi,
        settings: Settings,
        options: BackfillOptions,
        *,
        output: Output,
        clock: Clock,
    ) -> None:
        self._api = api
        self._settings = settings
        self._options = options
        self._output = output
        self._clock = clock
        self._journal = Journal(options.output)
        self._agents = AgentHistory(settings, options, self._journal, clock=clock)
        self.pace = RequestPace(clock, options.requests_per_minute)
        self.summary = Summary()

    async def run(self) -> Summary:
        """Write all ranges that are not written yet, and return what the output has.

        Raises ConfigError for a range that Coder cannot answer and for options that differ from those of the
        run that the output has, and BackfillError if the run cannot continue.
        """
        record = await self._begin()
        schedule = build_schedule(
            self._options.first_day, datetime.fromisoformat(record.end), self._settings.insights
        )
        for step in schedule:
            if step.is_written and (written := self._journal.written(step.name)) is not None:
                self.summary.add(step.window, written)
        if record.is_complete:
            self.summary.was_complete = True
            self.summary.agents = self._journal.load_agents()
            return self.summary
        self.summary = Summary()
        try:
            await self._agents.prepare([step for step in schedule if step.is_written], record.templates)
            self.summary.agents = self._agents.record
            await self._write_all(schedule, record.templates)
            self._journal.finish(record)
        except ConfigError:
            raise
        except (ExporterError, OSError) as error:
            raise BackfillError(f"{_describe(error)}. {self._kept(schedule)}") from error
        return self.summary

    async def _begin(self) -> RunRecord:
        """Return the inputs of the run, or of the run that the output has."""
        templates, end = await read_inputs(self._api, self._settings, self._options, self._clock)
        fingerprint = self._options.fingerprint | _settings_fingerprint(self._settings)
        try:
            record = self._journal.begin(RunRecord(fingerprint, end.isoformat(), templates))
            return self._with_complete_last_day(record, end)
        except OSError as error:
            raise ConfigError(f"--output: expected a writable folder, got {_describe(error)}") from None

    def _with_complete_last_day(self, record: RunRecord, newest_end: datetime) -> RunRecord:
        """Return the record with the whole last day if a part of it can no longer be requested.

        Coder accepts a part of the current day only. A run that continues later requests the day as a whole.
        """
        end = datetime.fromisoformat(record.end)
        day_end = time_ranges.full_day(end.date(), self._settings.insights.utc_offset).end
        is_partial = end != day_end - timedelta(days=1)
        name = end.date().isoformat()
        if record.is_complete or not is_partial or newest_end.date() == end.date():
            return record
        if self._journal.load_range(name) is not None:
            return record
        if newest_end < day_end:
            raise BackfillError(f"{name}: Coder still computes this day; repeat the command in three hours")
        return self._journal.update(msgspec.structs.replace(record, end=day_end.isoformat()))

    async def _write_all(self, schedule: Sequence[Step], templates: Sequence[Template]) -> None:
        settings, options = self._settings, self._options
        history = history_for(settings)
        reader = BoundaryReader(
            settings,
            templates,
            history,
            labels=options.labels,
            has_window_data=options.with_long_windows,
        )
        before: Boundary | None = None
        has_usage = False
        async with aclosing(self._ranges(schedule, templates, history)) as ranges:
            async for step, data in ranges:
                has_usage = has_usage or data.has_usage
                if step.scope is not Scope.ALL:
                    continue
                agents = self._agents.day(step)
                snapshot = await reader.snapshot(step, agent_apps=agents.apps if agents else ())
                after = await asyncio.to_thread(reader.boundary, step, snapshot)
                if step.is_written and before is not None and has_usage:
                    samples = RangeSamples(
                        window=step.window,
                        before=before,
                        after=after,
                        steps=options.steps,
                        agents=agents,
                        is_first=not self.summary.days,
                        is_last=step is schedule[-1],
                        in_milliseconds=bool(options.push_url),
                    )
                    await self._write(step, samples)
                before = after
        if not self.summary.days:
            raise BackfillError(f"Coder has no usage since {options.first_day}")

    async def _write(self, step: Step, samples: RangeSamples) -> None:
        record = self._journal.written(step.name)
        if record is None:
            record = await self._output.write(step.name, samples)
            self._journal.record_written(record)
        self._output.keep(record)
        self.summary.add(step.window, record)

    async def _ranges(
        self, schedule: Sequence[Step], templates: Sequence[Template], history: History
    ) -> AsyncGenerator[tuple[Step, RangeData], None]:
        """Yield each range, recorded in the journal and the history; the next one is requested meanwhile."""
        fetcher = RangeFetcher(
            self._api,
            templates,
            pace=self.pace,
            history=history,
            windows_of=partial(long_windows, settings=self._settings, options=self._options),
        )
        weights = [1 if step.scope is Scope.USERS else 1 + len(templates) for step in schedule]
        with progress_bar(schedule[0].name, total=sum(weights)) as progress:
            task = asyncio.create_task(self._load_or_fetch(schedule[0], fetcher))
            try:
                for step, weight, following in zip(schedule, weights, [*schedule[1:], None], strict=True):
                    data = await task
                    history.add(data)
                    if following is not None:
                        task = asyncio.create_task(self._load_or_fetch(following, fetcher))
                    yield step, data
                    self.summary.requests = self.pace.total
                    self.summary.dropped_rows = fetcher.dropped_rows
                    progress.set_description_str(step.name, refresh=False)
                    progress.update(weight)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _load_or_fetch(self, step: Step, fetcher: RangeFetcher) -> RangeData:
        data = self._journal.load_range(step.name)
        if data is None:
            try:
                data = await fetcher.fetch(step)
            except ExporterError as error:
                raise BackfillError(f"{step.name}: {error}") from error
            self._journal.save_range(step.name, data)
        fetcher.observe(data)
        return data

    def _kept(self, schedule: Sequence[Step]) -> str:
        days = sum(step.is_written for step in schedule)
        written = sum(step.is_written and self._journal.written(step.name) is not None for step in schedule)
        return f"{written} of {days} days are written; the same command continues."


async def read_inputs(
    api: CoderApi, settings: Settings, options: BackfillOptions, clock: Clock
) -> tuple[tuple[Template, ...], datetime]:
    """Return the templates, and where the samples end; raise ConfigError for an impossible range."""
    templates = await list_templates(api, settings)
    # Coder compares time ranges with its own clock.
    now = clock.now() + timedelta(seconds=api.clock_skew or 0.0)
    offset = settings.insights.utc_offset
    return templates, end_of_backfill(options.first_day, options.last_day, now, offset)


def long_windows(step: Step, *, settings: Settings, options: BackfillOptions) -> Sequence[Window]:
    """Return the windows, as of a range, whose own parameters, opens and latency are wanted."""
    return multi_day_windows(settings.insights, step.poll_time) if options.with_long_windows else ()


def history_for(settings: Settings) -> History:
    """Return a history that keeps what windows, weeks and counters of the settings reach."""
    insights = settings.insights
    if insights.anchor is not None:
        return History(keep=None)
    longest = multi_day_windows(insights, datetime(2000, 1, 1, tzinfo=UTC))
    reach = [
        _QUARTER,
        timedelta(days=7 * insights.weeks + 3),
        timedelta(days=insights.days + 1),
        *(window.end - window.start for window in longest),
    ]
    return History(keep=max(reach))


def _settings_fingerprint(settings: Settings) -> dict[str, str]:
    """Return the settings that change the output, without secrets."""
    probe = load_username_policy(settings.privacy).pseudonymize("probe")
    privacy = settings.privacy.model_dump(mode="json", exclude={"hash_key"}) | {"probe": probe}
    sections = {
        "coder.url": settings.coder.url,
        "privacy": privacy,
        **{
            name: getattr(settings, name).model_dump(mode="json")
            for name in ("insights", "filters", "limits")
        },
        "agent_stats": settings.agent_stats.model_dump(mode="json", include={"source", "by_client"}),
        "poll.interval": settings.poll.interval,
    }
    return {key: json.dumps(value, sort_keys=True) for key, value in sections.items()}


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
