"""Database time of polls on a large deployment, at measured prices of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from yarl import URL

from benchmarks.baseline import build_queries
from benchmarks.prices import SQL_PASS_SECONDS, PriceMeter
from benchmarks.result_table import ResultTable
from benchmarks.simulator_process import SimulatorProcess, run_simulator
from insights_exporter.app.poller import Poller
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.session import open_session
from insights_exporter.config.settings import CoderSettings, InsightsSettings, PollSettings, Settings
from insights_exporter.insights.budget import ApiTimeBudget
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["database_time"]

_START_TIME: Final = datetime(2026, 11, 18, 14, 0, 20, tzinfo=UTC)
_TEMPLATES: Final = 309
_USERS: Final = 3_036
_BARS: Final = {35: 20, 305: 60}
"""Bars in seconds of a regular poll, by the number of active templates."""

_POLLS_PER_HOUR: Final = 12
_INTERVAL: Final = PollSettings().interval
_NOTE: Final = """\
The simulator's requests are counted at prices that were measured on a real deployment of that size:
`benchmarks/prices.py` has them by endpoint, range and scope. A request takes as long as it costs, one after
another, so that the exporter's own limit, `poll.max_api_time_ratio`, applies. A regular poll is the mean of
the second hour after the first complete data. The naive plan requests every window, endpoint and template.
[tuning.md](tuning.md) shows how to lower the prices.
"""


@dataclass(slots=True)
class _PricedClock:
    """A clock that advances by the prices of requests, and by the pauses between polls.

    The time of day stands still during a poll, as that of the simulator does.
    """

    current_time: datetime = _START_TIME
    elapsed: float = 0.0

    def now(self) -> datetime:
        """Return the time at the start of the poll."""
        return self.current_time

    def monotonic(self) -> float:
        """Return the elapsed seconds."""
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed += seconds

    def add_price(self, seconds: float) -> None:
        """Let the price of a request pass."""
        self.elapsed += seconds


@dataclass(slots=True)
class _Exporter:
    """An exporter without exposition, and a simulator in another process."""

    upstream: SimulatorProcess
    clock: _PricedClock = field(default_factory=_PricedClock)
    prices: PriceMeter = field(default_factory=PriceMeter)
    first_data: tuple[int, float] | None = None
    """Requests and their price until the first snapshot was published."""

    async def publish(self, snapshot: Snapshot) -> None:  # noqa: ARG002  # As the poller calls it.
        """Note the price of the first snapshot."""
        self.first_data = self.first_data or (self.prices.requests, self.prices.seconds)

    @asynccontextmanager
    async def poller(self) -> AsyncIterator[Poller]:
        """Open the poller; requests run one after another, so that each takes its own price."""
        token = LiteralSecret(Secret(DEMO_TOKEN))
        settings = Settings(coder=CoderSettings(url=self.upstream.url, token=token, concurrency=1))
        api_time = ApiTimeBudget.create(settings.poll)
        async with (
            await open_session(settings.coder, URL(self.upstream.url)) as session,
            CoderClient(settings.coder, clock=self.clock, telemetry=api_time, session=session) as client,
        ):
            self.prices.watch(session, self.clock.add_price)
            yield Poller(
                client,
                settings,
                publish=self.publish,
                clock=self.clock,
                random=Random(1),
                telemetry=Telemetry(),
                api_time=api_time,
            )

    async def poll_and_wait(self, poller: Poller) -> dict[str, float]:
        """Poll, wait until the next poll, and return the age of the oldest data in seconds by window."""
        started_at = self.clock.monotonic()
        await poller.poll_once()
        insights = poller.state.last_insights
        updated_at = {} if insights is None else insights.value.windows_updated_at
        ages = {window: (self.clock.now() - at).total_seconds() for window, at in updated_at.items()}
        # The pause ends on the schedule, which counts from the end of the poll.
        self.clock.current_time += timedelta(seconds=self.clock.monotonic() - started_at)
        pause = poller.seconds_to_sleep()
        await self.clock.sleep(pause)
        self.clock.current_time += timedelta(seconds=pause)
        await asyncio.to_thread(self.upstream.set_time, self.clock.current_time)
        return ages


@dataclass(frozen=True, slots=True)
class _Result:
    """Prices of a naive poll, of a start, and of an hour; ``oldest`` are ages in seconds by window."""

    naive: PriceMeter
    first_data: tuple[int, float]
    complete_data: tuple[int, float]
    start_seconds: float
    hour: PriceMeter
    oldest: Mapping[str, float]


def database_time() -> ResultTable:
    """Compare the database time of polls with a plan that requests everything, and with one pass of SQL."""
    rows = [_row("one pass of SQL", 1, SQL_PASS_SECONDS)]
    notes = [_NOTE.rstrip()]
    for active, bar in _BARS.items():
        with run_simulator(templates=_TEMPLATES, users=_USERS, active=active, moment=_START_TIME) as upstream:
            result = asyncio.run(_measure(upstream))
        requests, seconds = result.hour.requests / _POLLS_PER_HOUR, result.hour.seconds / _POLLS_PER_HOUR
        rows += [
            _row(f"the naive plan, {active} active templates", result.naive.requests, result.naive.seconds),
            _row(f"start until first data, {active} active templates", *result.first_data),
            _row(f"start until complete data, {active} active templates", *result.complete_data),
            _row(f"regular poll, {active} active templates", requests, seconds, bar),
        ]
        highest = sorted(result.hour.seconds_by_endpoint.items(), key=lambda item: -item[1])[:4]
        by_endpoint = ", ".join(f"{name} {price / _POLLS_PER_HOUR:.1f} s" for name, price in highest)
        oldest = ", ".join(f"{window} {age / 60:.0f}" for window, age in result.oldest.items())
        notes += [
            f"{active} active templates: complete {result.start_seconds / 60:.0f} minutes after the start.",
            f"A regular poll: {by_endpoint}. Oldest data in minutes: {oldest}.",
        ]
    return ResultTable(
        f"Database time, {_TEMPLATES} templates, {_USERS:,} users",
        ("poll", "requests", "PostgreSQL CPU", "share of a core", "bar"),
        rows,
        "\n".join(notes),
    )


def _row(name: str, requests: float, seconds: float, bar: float | None = None) -> tuple[str, ...]:
    verdict = "" if bar is None else f"{bar:.0f} s, {'met' if seconds <= bar else 'not met'}"
    return name, f"{requests:,.0f}", f"{seconds:,.0f} s", f"{seconds / _INTERVAL:.0%}", verdict


async def _measure(upstream: SimulatorProcess) -> _Result:
    naive, exporter = PriceMeter(), _Exporter(upstream)
    names = {f"00000000-0000-0000-0000-{number:012}": "" for number in range(_TEMPLATES)}
    for query in build_queries(upstream.url, names, InsightsSettings().windows, _START_TIME):
        naive.add(query.url)
    async with exporter.poller() as poller:
        await exporter.poll_and_wait(poller)
        while poller.state.is_warming_up:
            await exporter.poll_and_wait(poller)
        complete_data = exporter.prices.requests, exporter.prices.seconds
        start_seconds = exporter.clock.elapsed
        for _ in range(_POLLS_PER_HOUR):
            await exporter.poll_and_wait(poller)
        exporter.prices.take()
        oldest: dict[str, float] = {}
        for _ in range(_POLLS_PER_HOUR):
            for window, age in (await exporter.poll_and_wait(poller)).items():
                oldest[window] = max(age, oldest.get(window, 0.0))
        return _Result(
            naive,
            exporter.first_data or (0, 0.0),
            complete_data,
            start_seconds,
            exporter.prices.take(),
            oldest,
        )
