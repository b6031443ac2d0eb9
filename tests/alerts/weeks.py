"""Three ordinary weeks of a company in Coder, and what Prometheus' own rule engine makes of them.

The exporter's own code polls a simulated Coder each hour, on a clock that jumps. Its pages become a test of
promtool, which evaluates all rules as they stand, in their order and with their waiting times.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from insights_exporter.metrics.text import Format
from insights_exporter.settings import PollSettings, Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size, generate
from insights_exporter.simulator.stage import stage
from tests.alerts.cases.series import JOB, REPLICAS
from tests.alerts.samples import samples
from tests.support.clock import FakeClock
from tests.support.exporting import CODER, exporting

__all__ = ["BEGIN", "END", "STEP", "WEEK", "lived"]

_HOUR, _DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

BEGIN: Final = datetime(2026, 4, 20, tzinfo=UTC)
"""A Monday on which the exporter is new, so that rules have little to compare with for a week."""

END: Final = BEGIN + 3 * WEEK
"""After the second Friday behind a holiday on a Friday, and the Saturdays that follow both."""

_POLL: Final = _HOUR
STEP: Final = timedelta(minutes=20)
"""How often pages are scraped and rules evaluated: a poll's numbers stand for as long as an hour."""

_SIZE: Final = Size(3, 24, active_templates=2)
_POLLING: Final = PollSettings(interval=_POLL.total_seconds(), refresh_interval=6 * _HOUR.total_seconds())
_TARGET: Final = f'job="{JOB}", instance="{REPLICAS[0]}"'
_MOMENT: Final = re.compile(r"\w+_timestamp_seconds\b")

Values = dict[str, list[str]]
"""A value for each poll by series; nothing where a page had none."""


def _company() -> SimulatedDeployment:
    """Return people of whom one in eight lives far away from the workspaces."""
    world = generate(_SIZE, seed=3)
    europe, east_coast, office, west_coast, _ = world.regions
    world.regions = (europe, east_coast, office, europe, office, east_coast, europe, west_coast)
    deployment = stage(_SIZE, options=ApiOptions(rate_limit=0, user_limit=30), world=world)
    deployment.accounts.change("exporter", lifetime=90 * _DAY)
    return deployment


async def _polled() -> Values:
    clock, found, polls = FakeClock(moment=BEGIN), Values(), (END - BEGIN) // _POLL
    async with exporting(_company(), clock, Settings(coder=CODER, poll=_POLLING)) as exporter:
        exporter.telemetry.reloaded(success=True, at=clock.now())
        for number in range(polls):
            await exporter.poller.poll_once()
            for series, value in samples(exporter.page(Format.TEXT)):
                found.setdefault(series, [""] * polls)[number] = value
            clock.advance(_POLL.total_seconds())
    return found | {"up": ["1"] * polls}


def _told(series: str, values: Iterable[str]) -> dict[str, str]:
    """Return a series in promtool's notation; promtool's time begins at zero, and so do moments."""
    name, _, labels = series.partition("{")
    shift = BEGIN.timestamp() if _MOMENT.fullmatch(name) else 0.0
    runs = ((value, sum(1 for _ in same) * (_POLL // STEP)) for value, same in groupby(values))
    parts = (f"{float(value) - shift!r}x{times - 1}" if value else f"_x{times}" for value, times in runs)
    return {"series": f"{name}{{{_TARGET}, {labels or '}'}", "values": " ".join(parts)}


def lived() -> list[dict[str, str]]:
    """Live through the weeks and return what was scraped meanwhile."""
    return [_told(series, values) for series, values in sorted(asyncio.run(_polled()).items())]
