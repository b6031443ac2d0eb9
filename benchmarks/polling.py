"""What a poll costs: the processor's time from the first request to the compressed page, and requests."""

from __future__ import annotations

import asyncio
import gzip
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import aiohttp

from benchmarks.baseline import BaselineExporter, build_queries
from benchmarks.result_table import ResultTable
from benchmarks.simulator_process import SimulatorProcess, WorldName, run_simulator
from benchmarks.workload import LIMITS, USERNAME_POLICY
from insights_exporter.app.poller import Poller
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.observer import NullObserver
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config.settings import InsightsSettings, LimitSettings, Settings
from insights_exporter.insights.query_plan import InsightsEndpoint
from insights_exporter.interpreter_tuning import tune_gc_and_gil
from insights_exporter.metrics.encoder.text import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.telemetry import NullTelemetry

__all__ = ["poll", "requests_per_hour", "small_poll"]

_START_TIME: Final = datetime(2026, 11, 18, 14, 0, 20, tzinfo=UTC)
_INTERVAL: Final = timedelta(minutes=5)
_SMALL_POLLS: Final = 3
_LARGE_POLLS: Final = 2
_POLLS_PER_HOUR: Final = 12


@dataclass(slots=True)
class _SteppedClock:
    """A clock that is moved from poll to poll and otherwise stands, while durations are real."""

    current_time: datetime

    def now(self) -> datetime:
        """Return the moment of this poll."""
        return self.current_time

    def monotonic(self) -> float:
        """Return real seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class _RequestCounter(NullObserver):
    """Counts requests by endpoint."""

    by_endpoint: Counter[str] = field(default_factory=Counter)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one."""
        self.by_endpoint[endpoint] += 1


@dataclass(slots=True)
class _MeasuredExporter:
    """An exporter in this process, against a simulator in another one."""

    upstream: SimulatorProcess
    clock: _SteppedClock
    poller: Poller
    exposition: Exposition
    requests: _RequestCounter

    async def poll_and_advance(self) -> int:
        """Poll, move on to the next one's moment, and return the number of requests."""
        requests_before = self.requests.by_endpoint.total()
        await self.poller.poll_once()
        request_count = self.requests.by_endpoint.total() - requests_before
        self.clock.current_time += _INTERVAL
        await asyncio.to_thread(self.upstream.set_time, self.clock.current_time)
        return request_count

    @property
    def series(self) -> int:
        """Return how many series the page has."""
        return _series(self.exposition.body(Format.OPENMETRICS, gzip=True))


@asynccontextmanager
async def _measured_exporter(
    upstream: SimulatorProcess, limits: LimitSettings = LIMITS
) -> AsyncIterator[_MeasuredExporter]:
    settings = Settings(coder=CoderSettings(url=upstream.url, token=LiteralSecret(Secret(DEMO_TOKEN))))
    clock, requests = _SteppedClock(_START_TIME), _RequestCounter()
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=limits)
    async with CoderClient(settings.coder, clock=clock, observer=requests) as client:
        poller = Poller(
            client,
            settings,
            publish=exposition.publish,
            clock=clock,
            random=Random(1),
            telemetry=NullTelemetry(),
        )
        yield _MeasuredExporter(upstream, clock, poller, exposition, requests)


async def _cpu_seconds(function: Callable[[], Awaitable[object]]) -> float:
    started = time.process_time()
    await function()
    return time.process_time() - started


@dataclass(frozen=True, slots=True)
class _Measurement:
    """What a way took: seconds of the processor, requests, series."""

    name: str
    seconds: float
    requests: float
    series: int

    def row(self, baseline: _Measurement) -> tuple[str, ...]:
        """Return the row of this way beside the plain one."""
        ratio = f"{baseline.seconds / self.seconds:.1f}"
        return self.name, f"{self.seconds:.2f} s", f"{self.requests:,.0f}", f"{self.series:,}", ratio


_COLUMNS: Final = ("what", "processor time", "requests", "series", "times less than the plain way")
_TEMPLATES: Final = 200
_USERS: Final = 1_000
_COMMON_NOTE: Final = """\
The simulator runs in another process. The plain way asks four windows of three endpoints of each template at
each poll, decodes with `resp.json()`, and writes one page with prometheus_client. This exporter asks only
what can have moved, writes both formats, and also reads intervals, totals, users and workspaces.
"""
_LARGE_NOTE: Final = """\
The bar is 10 for a poll in passing with every series. A page of so many would hardly be scraped, so the
comparison stands there a second time with the limit that this exporter has by default: the plain way then
keeps the highest of each family and drops the rest; this exporter adds the rest up where a sum means
something. Each is compared with the plain way under the same limit."""
_SMALL_NOTE: Final = """\
There is no bar for this one: with answers as small as these, most of either is what aiohttp takes for a
request."""


def poll() -> ResultTable:
    """Compare whole polls, from the first request to the compressed page, where answers are large."""
    rows = []
    for limit in (None, LimitSettings().series_per_family):
        baseline, *measurements = _compare("crowded", limit, _LARGE_POLLS)
        limit_text = "every series" if limit is None else f"at most {limit:,} series a family"
        rows += [
            replace(measurement, name=f"{measurement.name}, {limit_text}").row(baseline)
            for measurement in (baseline, *measurements)
        ]
    return ResultTable(
        f"A whole poll of {_TEMPLATES} active templates with {_USERS:,} users each, fetch to gzip",
        _COLUMNS,
        rows,
        _COMMON_NOTE + _LARGE_NOTE,
    )


def small_poll() -> ResultTable:
    """Compare the same where each template has a handful of users."""
    baseline, *measurements = _compare("usual", None, _SMALL_POLLS)
    return ResultTable(
        f"A whole poll of {_TEMPLATES} active templates that share {_USERS:,} users, fetch to gzip",
        _COLUMNS,
        [measurement.row(baseline) for measurement in (baseline, *measurements)],
        _COMMON_NOTE + _SMALL_NOTE,
    )


def _compare(world: WorldName, limit: int | None, polls: int) -> list[_Measurement]:
    """Return the plain way, this exporter's poll in passing, and its first."""
    tune_gc_and_gil()
    size = {"templates": _TEMPLATES, "users": _USERS, "active": _TEMPLATES}
    with run_simulator(**size, moment=_START_TIME, world=world) as upstream:
        return asyncio.run(_measure(upstream, limit, polls))


async def _measure(upstream: SimulatorProcess, limit: int | None, polls: int) -> list[_Measurement]:
    limits = LIMITS if limit is None else LimitSettings(series_per_family=limit)
    async with _measured_exporter(upstream, limits) as exporter, aiohttp.ClientSession() as session:
        request_counts: list[int] = []

        async def step() -> None:
            request_counts.append(await exporter.poll_and_advance())

        first_seconds = await _cpu_seconds(step)
        inventory = exporter.poller.state.last_inventory
        if inventory is None:
            raise AssertionError("The first poll found no templates.")
        names = {item.id: item.key.template_name for item in inventory.value.templates}
        baseline = BaselineExporter(session, limit)
        steady_seconds, baseline_seconds, queries = [], [], []
        for _ in range(polls):
            queries = build_queries(
                upstream.url, names, ("today", "yesterday", "7d", "30d"), exporter.clock.current_time
            )
            # The simulator remembers what it added up: whoever asks second must not profit.
            baseline_seconds.append(await _cpu_seconds(lambda queries=queries: baseline.poll(queries)))  # type: ignore[misc]
            steady_seconds.append(await _cpu_seconds(step))
        return [
            _Measurement(
                "the plain way", statistics.median(baseline_seconds), len(queries), _series(baseline.page)
            ),
            _Measurement(
                "this exporter, a poll in passing",
                statistics.median(steady_seconds),
                statistics.median(request_counts[1:]),
                exporter.series,
            ),
            _Measurement("this exporter, its first poll", first_seconds, request_counts[0], exporter.series),
        ]


def _series(page: bytes) -> int:
    return sum(not line.startswith(b"#") for line in gzip.decompress(page).splitlines())


def requests_per_hour() -> ResultTable:
    """Count the requests of an hour against those of a plan that asks everything each time."""
    templates, active, users = 500, 50, 1_000
    with run_simulator(templates=templates, users=users, active=active, moment=_START_TIME) as upstream:
        request_counts, endpoints = asyncio.run(_requests_of_an_hour(upstream))
    naive_count = templates * len(InsightsSettings().windows) * len(InsightsEndpoint)
    steady_counts = request_counts[1:]
    rows = [
        (period, f"{count:,.0f}", f"{naive_requests:,}", f"{naive_requests / count:.0f}")
        for period, count, naive_requests in (
            ("per poll", statistics.mean(steady_counts), naive_count),
            ("per hour", sum(steady_counts), naive_count * _POLLS_PER_HOUR),
            ("the first poll", request_counts[0], naive_count),
        )
    ]
    top_endpoints = ", ".join(f"{endpoint} {count:,}" for endpoint, count in endpoints.most_common(4))
    return ResultTable(
        f"Requests, {templates} templates of which {active} are used, {users:,} users",
        ("when", "this exporter", "every window, endpoint and template", "times fewer"),
        rows,
        f"Most of an hour's: {top_endpoints}.\nThe bar is 15; never more than two at once.",
    )


async def _requests_of_an_hour(upstream: SimulatorProcess) -> tuple[list[int], Counter[str]]:
    async with _measured_exporter(upstream) as exporter:
        request_counts = [await exporter.poll_and_advance()]
        exporter.requests.by_endpoint.clear()
        request_counts += [await exporter.poll_and_advance() for _ in range(_POLLS_PER_HOUR)]
        return request_counts, exporter.requests.by_endpoint
