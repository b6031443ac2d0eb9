"""Two normal weeks of a simulated company as promtool series, and an app outage on the day after.

The exporter polls a simulated Coder with an advanced clock. Its expositions become the series of a promtool
test, which evaluates all committed rules with their real durations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from insights_exporter.config.settings import InsightsSettings, PollSettings, Settings
from insights_exporter.metrics.encoder import Format
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import AppOutage, Size, generate_world
from insights_exporter.simulator.options import ApiOptions
from tests.bundle.alerts.cases.series import JOB, REPLICAS
from tests.bundle.alerts.exposition_filter import needed_samples
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, in_process_exporter

__all__ = ["END", "OUTAGE_START", "STOPPED_APP", "WEEKS_START", "TwoWeeks"]

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

_HISTORY_START: Final = datetime(2026, 4, 20, tzinfo=UTC)
"""A Monday, the start of the exporter; comparisons with last week need the first week."""

WEEKS_START: Final = _HISTORY_START + _WEEK
"""The first week has a holiday on Friday, the first of May."""

OUTAGE_START: Final = WEEKS_START + 2 * _WEEK
"""A Monday on which an app stops."""

END: Final = OUTAGE_START + _DAY

STOPPED_APP: Final = "vscode"
_SIZE: Final = Size(3, 36, active_templates=2)
_TIMESTAMP_METRIC: Final = re.compile(r"\w+_timestamp_seconds\b")
_TARGET: Final = f'job="{JOB}", instance="{REPLICAS[0]}"'

SeriesValues = dict[str, list[str]]
"""A value for each poll by series; empty if the exposition lacks the series."""


@dataclass(frozen=True, kw_only=True)
class TwoWeeks:
    """The size of the company, and the poll interval, which covers two evaluations of the rules."""

    size: Size = _SIZE
    seed: int = 3
    poll_interval: timedelta = 2 * _HOUR

    @property
    def step(self) -> timedelta:
        """The evaluation interval of the rules."""
        return self.poll_interval / 2

    @property
    def sample_step(self) -> timedelta:
        """The interval of samples: two within one hour, the shortest range of these rules.

        Ranges of Prometheus 3 exclude their left end.
        """
        return self.step / 2

    async def scraped_series(self) -> dict[str, str]:
        """Poll through the weeks; return values by series in promtool's notation."""
        polls = (END - _HISTORY_START) // self.poll_interval
        values_by_series: SeriesValues = {"up": ["1"] * polls}
        clock = FakeClock(current_time=_HISTORY_START)
        async with in_process_exporter(self._simulated_deployment(), clock, self._settings()) as exporter:
            exporter.self_metrics.config_reloaded(success=True, at=clock.now())
            for number in range(polls):
                await exporter.poller.poll_once()
                for series, value in needed_samples(exporter.exposition_body(Format.TEXT)):
                    values_by_series.setdefault(series, [""] * polls)[number] = value
                clock.advance(self.poll_interval.total_seconds())
        return dict(
            self._promtool_series(series, values) for series, values in sorted(values_by_series.items())
        )

    def _simulated_deployment(self) -> SimulatedDeployment:
        """Return users of whom one in twelve is an ocean away, and a quarter on the other side of the world.

        After midnight UTC, only the latter are at work.
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
        """Return default settings with less history, because no rule uses it."""
        seconds = self.poll_interval.total_seconds()
        # The interval exceeds the default of max_staleness, which a copy does not validate.
        poll = PollSettings().model_copy(update={"interval": seconds, "refresh_interval": 3 * seconds})
        return Settings(coder=CODER_SETTINGS, poll=poll, insights=InsightsSettings(days=2, weeks=1))

    def _promtool_series(self, series: str, values: Iterable[str]) -> tuple[str, str]:
        """Return a series in promtool's notation, in which time starts at zero."""
        name, _, labels = series.partition("{")
        shift = _HISTORY_START.timestamp() if _TIMESTAMP_METRIC.fullmatch(name) else 0.0
        runs = (
            (value, sum(1 for _ in equal_values) * (self.poll_interval // self.sample_step))
            for value, equal_values in groupby(values)
        )
        parts = (f"{float(value) - shift!r}x{count - 1}" if value else f"_x{count}" for value, count in runs)
        return f"{name}{{{_TARGET}, {labels or '}'}", " ".join(parts)

    def promtool_time(self, time_: datetime) -> str:
        """Return a time in promtool's notation."""
        return f"{(time_ - _HISTORY_START) // timedelta(minutes=1)}m"
