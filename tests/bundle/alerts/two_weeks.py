"""Ordinary weeks of a company in Coder, as Prometheus scrapes them, and a fault on the day after.

The exporter's own code polls a simulated Coder on a clock that jumps. What its pages say becomes series of a
test of promtool, which evaluates all rules as they stand and lets alerts wait as long as they should.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from insights_exporter.config.settings import InsightsSettings, PollSettings, Settings
from insights_exporter.metrics.encoder.text import Format
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import AppOutage, Size, generate_world
from tests.bundle.alerts.cases.series import JOB, REPLICAS
from tests.bundle.alerts.exposition_filter import needed_samples
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, in_process_exporter

__all__ = ["END", "OUTAGE_START", "STOPPED_APP", "WEEKS_START", "TwoWeeks"]

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

_HISTORY_START: Final = datetime(2026, 4, 20, tzinfo=UTC)
"""A Monday on which the exporter is new; for a week rules learn what is usual."""

WEEKS_START: Final = _HISTORY_START + _WEEK
"""A week with a holiday, on Friday the first of May."""

OUTAGE_START: Final = WEEKS_START + 2 * _WEEK
"""A Monday on which an app stops."""

END: Final = OUTAGE_START + _DAY

STOPPED_APP: Final = "vscode"
_SIZE: Final = Size(3, 36, active_templates=2)
_TIMESTAMP_METRIC: Final = re.compile(r"\w+_timestamp_seconds\b")
_TARGET: Final = f'job="{JOB}", instance="{REPLICAS[0]}"'

SeriesValues = dict[str, list[str]]
"""A value for each poll by series; nothing where a page had none."""


@dataclass(frozen=True, kw_only=True)
class TwoWeeks:
    """Who lives through the weeks, and how often Coder is asked: each answer stands for two evaluations."""

    size: Size = _SIZE
    seed: int = 3
    poll_interval: timedelta = 2 * _HOUR

    @property
    def step(self) -> timedelta:
        """How often rules are evaluated."""
        return self.poll_interval / 2

    async def scraped_series(self) -> dict[str, str]:
        """Live through the weeks; return values by series in promtool's notation."""
        polls = (END - _HISTORY_START) // self.poll_interval
        values_by_series: SeriesValues = {"up": ["1"] * polls}
        clock = FakeClock(current_time=_HISTORY_START)
        async with in_process_exporter(self._simulated_deployment(), clock, self._settings()) as exporter:
            exporter.telemetry.config_reloaded(success=True, at=clock.now())
            for number in range(polls):
                await exporter.poller.poll_once()
                for series, value in needed_samples(exporter.exposition_body(Format.TEXT)):
                    values_by_series.setdefault(series, [""] * polls)[number] = value
                clock.advance(self.poll_interval.total_seconds())
        return dict(
            self._promtool_series(series, values) for series, values in sorted(values_by_series.items())
        )

    def _simulated_deployment(self) -> SimulatedDeployment:
        """Return people of whom one in twelve is an ocean away, and a quarter half the world.

        When the day begins in UTC these are the only ones at work.
        """
        world = generate_world(self.size, seed=self.seed)
        europe, east_coast, office, _, sydney = world.regions
        world.regions = (*(europe, office) * 4, east_coast, *(sydney,) * 3)
        world.incidents.append(AppOutage(STOPPED_APP, OUTAGE_START, END))
        options = ApiOptions(rate_limit=0, user_limit=round(1.4 * self.size.users))
        deployment = demo_deployment(self.size, options=options, world=world)
        deployment.accounts.update("exporter", lifetime=90 * _DAY)
        return deployment

    def _settings(self) -> Settings:
        """Ask as usual but for history that no rule looks at."""
        seconds = self.poll_interval.total_seconds()
        poll = PollSettings(interval=seconds, refresh_interval=3 * seconds)
        return Settings(coder=CODER_SETTINGS, poll=poll, insights=InsightsSettings(days=2, weeks=1))

    def _promtool_series(self, series: str, values: Iterable[str]) -> tuple[str, str]:
        """Return a series as promtool reads it, whose time begins at zero, and so do moments."""
        name, _, labels = series.partition("{")
        shift = _HISTORY_START.timestamp() if _TIMESTAMP_METRIC.fullmatch(name) else 0.0
        runs = (
            (value, sum(1 for _ in equal_values) * (self.poll_interval // self.step))
            for value, equal_values in groupby(values)
        )
        parts = (f"{float(value) - shift!r}x{count - 1}" if value else f"_x{count}" for value, count in runs)
        return f"{name}{{{_TARGET}, {labels or '}'}", " ".join(parts)

    def promtool_time(self, time_: datetime) -> str:
        """Return a moment in promtool's time."""
        return f"{(time_ - _HISTORY_START) // timedelta(minutes=1)}m"
