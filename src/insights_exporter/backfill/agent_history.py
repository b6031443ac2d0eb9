"""Agent statistics of the written days, from Coder's database.

Coder deletes agent reports after about a day, so they are read once, before the first day is written. The
text waits in the journal. The counts are also written as a state file: with it, a new exporter continues the
counters.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres.history import HistoryReader
from insights_exporter.agent_stats.state_file import StateFile
from insights_exporter.backfill.agent_day import AgentDay, AgentDayWriter
from insights_exporter.backfill.boundaries import existing_templates
from insights_exporter.backfill.family_rows import FamilyRows, RowEncoder
from insights_exporter.backfill.journal import AgentRecord, BackfillError, Journal
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.backfill.progress import progress_bar
from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.backfill.schedule import Step
from insights_exporter.clock import Clock
from insights_exporter.config.settings import AgentStatsSource, Settings
from insights_exporter.errors import AgentStatsError, SecretError
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.metrics.families import iter_families
from insights_exporter.privacy import Filters, load_username_policy
from insights_exporter.snapshot import AgentStats, Snapshot, Template, TemplateKey, Timestamped

__all__ = ["STATE_FILE_NAME", "AgentHistory"]

STATE_FILE_NAME: Final = "agent-stats.json"
"""Name of the state file in the output folder."""

_MINUTE: Final = 60
"""Session time counts whole minutes, so statistics can be read at full minutes only."""


class AgentHistory:
    """Reads the agent statistics into the journal, and returns those of each day."""

    def __init__(
        self, settings: Settings, options: BackfillOptions, journal: Journal, *, clock: Clock
    ) -> None:
        self._settings = settings
        self._options = options
        self._journal = journal
        self._clock = clock
        self._steps = SampleSteps(
            *(math.lcm(step, _MINUTE) for step in (options.steps.default, options.steps.users))
        )
        self._username_policy = load_username_policy(settings.privacy)
        self._encoder = RowEncoder(options.labels)
        self._sticky_selection = StickySelection()
        self.record: AgentRecord | None = None
        """What was read; None if it is not wanted."""

    @property
    def is_wanted(self) -> bool:
        """Whether the configuration has a source with a history.

        With a minimum group size, agent counters are published as far as windows of insights show enough
        people. Within a past day this is unknown.
        """
        settings = self._settings
        return (
            settings.agent_stats.source is AgentStatsSource.POSTGRES
            and self._options.with_agent_stats
            and settings.privacy.min_group_size <= 1
        )

    async def prepare(self, steps: Sequence[Step], templates: Sequence[Template]) -> None:
        """Read the statistics of the written days, unless the journal has them.

        Raises BackfillError if the database cannot be read, and OSError if the journal cannot be written.
        """
        if not self.is_wanted:
            return
        self.record = self._journal.load_agents()
        if self.record is not None:
            return
        settings = self._settings
        accumulator = Accumulator(
            self._username_policy,
            Filters(settings.filters),
            exponential=settings.otlp.needs_exponential_histograms,
        )
        try:
            self.record = await self._read(accumulator, steps, templates)
        except (AgentStatsError, SecretError) as error:
            raise BackfillError(
                f"agent statistics: {error} With --no-agent-stats, they are left out"
            ) from error
        if self.record.days:
            state_file = StateFile(
                self._options.output / STATE_FILE_NAME, source=str(settings.agent_stats.source)
            )
            await asyncio.to_thread(state_file.save, accumulator)
        self._journal.record_agents(self.record)

    def day(self, step: Step) -> AgentDay | None:
        """Return the statistics of a written range; None if there are none."""
        if self.record is None or step.name not in self.record.days:
            return None
        return AgentDay(self._path(step), self.record.series, self.record.apps)

    def _path(self, step: Step) -> Path:
        return self._journal.agents_path(step.name)

    async def _read(
        self, accumulator: Accumulator, steps: Sequence[Step], templates: Sequence[Template]
    ) -> AgentRecord:
        """Write the text of each day, and return what was written."""
        days: list[str] = []
        series, apps = 0, set[str]()
        pending, writer = deque(steps), AgentDayWriter()
        async with aclosing(self._statistics(accumulator, steps, templates)) as statistics:
            async for time, stats in statistics:
                rows = await asyncio.to_thread(self._rows, time, stats)
                while len(pending) > 1 and time >= pending[0].window.end:
                    step = pending.popleft()
                    if not writer.is_empty:
                        series = await asyncio.to_thread(writer.write, self._path(step), rows)
                        days.append(step.name)
                        writer = AgentDayWriter()
                writer.add(int(time.timestamp()), rows)
                apps |= {app for _, _, app in (*stats.app_latency, *stats.sessions)}
        if not writer.is_empty:
            series = await asyncio.to_thread(writer.write, self._path(pending[0]))
            days.append(pending[0].name)
        since = "" if accumulator.since is None else accumulator.since.isoformat()
        return AgentRecord(since, accumulator.cursor, tuple(days), series, tuple(sorted(apps)))

    async def _statistics(
        self, accumulator: Accumulator, steps: Sequence[Step], templates: Sequence[Template]
    ) -> AsyncGenerator[tuple[datetime, AgentStats]]:
        """Yield the statistics at each time that has samples, with a progress bar."""

        def templates_at(time: datetime) -> tuple[TemplateKey, ...]:
            return tuple(template.key for template in existing_templates(templates, time))

        interval, alignment = (
            timedelta(seconds=function(self._steps.default, self._steps.users))
            for function in (math.gcd, math.lcm)
        )
        since, until = steps[0].window.start, steps[-1].window.end
        reader = HistoryReader(
            self._settings.agent_stats, accumulator, templates_at=templates_at, clock=self._clock
        )
        history = reader.read(since, until, interval=interval, alignment=alignment)
        async with aclosing(history):
            with progress_bar("agent statistics", total=(until - since) // interval) as progress:
                async for time, stats in history:
                    progress.update((time - since) // interval - progress.n)
                    yield time, stats

    def _rows(self, time: datetime, stats: AgentStats) -> Mapping[str, FamilyRows]:
        """Return the rows of all families that have a sample at a time."""
        seconds = int(time.timestamp())
        if seconds % self._steps.users:
            stats = replace(stats, latency={}, session_seconds={})
        families = iter_families(
            Snapshot(time, agent_stats=Timestamped(stats, time)),
            username_policy=self._username_policy,
            limits=self._settings.limits,
            sticky_selection=self._sticky_selection,
        )
        rows = (self._encoder.rows(family.samples) for family in families)
        return {
            one.family.name: one
            for one in rows
            if not seconds % (self._steps.users if one.has_users else self._steps.default)
        }
