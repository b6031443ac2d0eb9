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

from insights_exporter.metrics.text import Format
from insights_exporter.settings import InsightsSettings, PollSettings, Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import AppOutage, Size, generate
from insights_exporter.simulator.stage import stage
from tests.alerts.cases.series import JOB, REPLICAS
from tests.alerts.samples import samples
from tests.support.clock import FakeClock
from tests.support.exporting import CODER, exporting

__all__ = ["BEGIN", "END", "FAULT", "STOPPED", "Weeks"]

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

_FIRST: Final = datetime(2026, 4, 20, tzinfo=UTC)
"""A Monday on which the exporter is new; for a week rules learn what is usual."""

BEGIN: Final = _FIRST + _WEEK
"""A week with a holiday, on Friday the first of May."""

FAULT: Final = BEGIN + 2 * _WEEK
"""A Monday on which an app stops."""

END: Final = FAULT + _DAY

STOPPED: Final = "vscode"
_SIZE: Final = Size(3, 36, active_templates=2)
_MOMENT: Final = re.compile(r"\w+_timestamp_seconds\b")
_TARGET: Final = f'job="{JOB}", instance="{REPLICAS[0]}"'

Values = dict[str, list[str]]
"""A value for each poll by series; nothing where a page had none."""


@dataclass(frozen=True, kw_only=True)
class Weeks:
    """Who lives through the weeks, and how often Coder is asked: each answer stands for two evaluations."""

    size: Size = _SIZE
    seed: int = 3
    poll: timedelta = 2 * _HOUR

    @property
    def step(self) -> timedelta:
        """How often rules are evaluated."""
        return self.poll / 2

    async def scraped(self) -> dict[str, str]:
        """Live through the weeks; return values by series in promtool's notation."""
        polls = (END - _FIRST) // self.poll
        found: Values = {"up": ["1"] * polls}
        clock = FakeClock(moment=_FIRST)
        async with exporting(self._company(), clock, self._settings()) as exporter:
            exporter.telemetry.reloaded(success=True, at=clock.now())
            for number in range(polls):
                await exporter.poller.poll_once()
                for series, value in samples(exporter.page(Format.TEXT)):
                    found.setdefault(series, [""] * polls)[number] = value
                clock.advance(self.poll.total_seconds())
        return dict(self._told(series, values) for series, values in sorted(found.items()))

    def _company(self) -> SimulatedDeployment:
        """Return people of whom one in twelve is an ocean away, and a quarter half the world.

        When the day begins in UTC these are the only ones at work.
        """
        world = generate(self.size, seed=self.seed)
        europe, east_coast, office, _, sydney = world.regions
        world.regions = (*(europe, office) * 4, east_coast, *(sydney,) * 3)
        world.incidents.append(AppOutage(STOPPED, FAULT, END))
        options = ApiOptions(rate_limit=0, user_limit=round(1.4 * self.size.users))
        deployment = stage(self.size, options=options, world=world)
        deployment.accounts.change("exporter", lifetime=90 * _DAY)
        return deployment

    def _settings(self) -> Settings:
        """Ask as usual but for history that no rule looks at."""
        seconds = self.poll.total_seconds()
        poll = PollSettings(interval=seconds, refresh_interval=3 * seconds)
        return Settings(coder=CODER, poll=poll, insights=InsightsSettings(days=2, weeks=1))

    def _told(self, series: str, values: Iterable[str]) -> tuple[str, str]:
        """Return a series as promtool reads it, whose time begins at zero, and so do moments."""
        name, _, labels = series.partition("{")
        shift = _FIRST.timestamp() if _MOMENT.fullmatch(name) else 0.0
        runs = ((value, sum(1 for _ in same) * (self.poll // self.step)) for value, same in groupby(values))
        parts = (f"{float(value) - shift!r}x{times - 1}" if value else f"_x{times}" for value, times in runs)
        return f"{name}{{{_TARGET}, {labels or '}'}", " ".join(parts)

    def minute(self, moment: datetime) -> str:
        """Return a moment in promtool's time."""
        return f"{(moment - _FIRST) // timedelta(minutes=1)}m"
