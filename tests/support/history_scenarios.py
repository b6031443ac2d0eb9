"""Short histories and outages of an installation: its first day, week and month, and a failure.

Each scenario runs the exporter's own collectors against the simulated deployment of ``tests.support.history``
on a clock that jumps, and writes the pages that Prometheus would have scraped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import DropConnection
from tests.support.clock import FakeClock
from tests.support.history import END, INSTANCES, JOB, create_blocks, history_deployment
from tests.support.history_recorder import AgentStatsFeed, Recorder, recorder, to_timestamped_samples

__all__ = ["OUTAGES", "OUTAGE_START", "YOUNG_HISTORIES", "Failure", "Scenario", "record_scenario"]

Phase = tuple[timedelta, timedelta, timedelta]
"""Time before the end at which the phase begins, poll interval and scrape interval."""

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_LAST_HOURS: Final[Phase] = (3 * _HOUR, 15 * _MINUTE, 5 * _MINUTE)
_LAST_DAY: Final[Phase] = (_DAY, _HOUR, 30 * _MINUTE)

OUTAGE_START: Final = END
"""Time of the failure in the outage scenarios."""

_OUTAGE_DURATION: Final = timedelta(minutes=200)
_OUTAGE_INTERVAL: Final = timedelta(minutes=5)


class Failure(Enum):
    """A failure that starts at ``OUTAGE_START``."""

    EXPORTER_DOWN = "exporter-down"
    CODER_DOWN = "coder-down"
    TOKEN_EXPIRED = "token-expired"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A recorded history up to ``END``, and a failure after it."""

    name: str
    phases: tuple[Phase, ...]
    failure: Failure | None = None


YOUNG_HISTORIES: Final = (
    Scenario("first-day", (_LAST_DAY, _LAST_HOURS)),
    Scenario("first-week", ((7 * _DAY, 6 * _HOUR, 6 * _HOUR), _LAST_DAY, _LAST_HOURS)),
    Scenario(
        "first-month", ((31 * _DAY, _DAY, _DAY), (7 * _DAY, 6 * _HOUR, 6 * _HOUR), _LAST_DAY, _LAST_HOURS)
    ),
)
OUTAGES: Final = tuple(Scenario(failure.value, (_LAST_DAY, _LAST_HOURS), failure) for failure in Failure)


def record_scenario(scenario: Scenario, folder: Path) -> Path:
    """Return a folder with the blocks of a scenario."""
    text, blocks = folder / f"{scenario.name}.txt", folder / scenario.name
    asyncio.run(_record(scenario, text))
    create_blocks(text, blocks)
    text.unlink()
    return blocks


def _scrapes(phases: tuple[Phase, ...]) -> Iterator[tuple[datetime, bool]]:
    """Yield the times of scrapes, and whether the exporter polled just before."""
    phase_ends = (*(offset for offset, _, _ in phases[1:]), timedelta(0))
    for (offset, poll, scrape), end in zip(phases, phase_ends, strict=True):
        for number in range((offset - end) // scrape):
            yield END - offset + number * scrape, number * scrape % poll == timedelta(0)


async def _record(scenario: Scenario, file: Path) -> None:
    clock, deployment = FakeClock(), history_deployment()
    times = list(_scrapes(scenario.phases))
    if scenario.failure is Failure.EXPORTER_DOWN:
        times[-1] = (times[-1][0], True)
    clock.current_time = times[0][0]
    agents = AgentStatsFeed(deployment)
    async with recorder(deployment, clock) as exporter:
        with file.open("wb") as output:
            for time, is_poll in times:
                clock.advance((time - clock.now()).total_seconds())
                if is_poll:
                    await exporter.poll(agents)
                output.write(_page(exporter, clock))
            if scenario.failure is None:
                clock.advance((END - clock.now()).total_seconds())
                await exporter.poll(agents)
                output.write(_page(exporter, clock))
            else:
                await _record_outage(scenario.failure, deployment, exporter, clock, output.write)
            output.write(b"# EOF\n")


async def _record_outage(
    failure: Failure,
    deployment: SimulatedDeployment,
    exporter: Recorder,
    clock: FakeClock,
    write: Callable[[bytes], object],
) -> None:
    if failure is Failure.CODER_DOWN:
        deployment.faults.inject("*", DropConnection())
    if failure is Failure.TOKEN_EXPIRED:
        deployment.accounts.update("exporter", expires_at=OUTAGE_START, sliding_expiration=False)
    end = OUTAGE_START + _OUTAGE_DURATION
    clock.advance((OUTAGE_START - clock.now()).total_seconds())
    while clock.now() <= end:
        if failure is Failure.EXPORTER_DOWN:
            write(
                b'up{job="%s",instance="%s"} 0 %.3f\n'
                % (JOB.encode(), INSTANCES[0].encode(), clock.now().timestamp())
            )
        else:
            await exporter.poll()
            write(_page(exporter, clock))
        clock.advance(_OUTAGE_INTERVAL.total_seconds())


def _page(exporter: Recorder, clock: FakeClock) -> bytes:
    return to_timestamped_samples(exporter.exposition_body(), clock.now(), job=JOB, instance=INSTANCES[0])
