"""Cost of a poll: CPU time from the first request to the compressed exposition, and requests."""

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
from yarl import URL

from benchmarks.baseline import BaselineExporter, build_queries
from benchmarks.result_table import ResultTable
from benchmarks.simulator_process import SimulatorProcess, WorldName, run_simulator
from benchmarks.workload import LIMITS, USERNAME_POLICY
from insights_exporter.app.poller import Poller
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.session import open_session
from insights_exporter.config.settings import CoderSettings, InsightsSettings, LimitSettings, Settings
from insights_exporter.insights.query_plan import InsightsEndpoint
from insights_exporter.interpreter_tuning import tune_gc_and_gil
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.telemetry import Telemetry

__all__ = ["poll", "requests_per_hour", "small_poll"]

_START_TIME: Final = datetime(2026, 11, 18, 14, 0, 20, tzinfo=UTC)
_INTERVAL: Final = timedelta(minutes=5)
_SMALL_POLLS: Final = 3
_LARGE_POLLS: Final = 2
_POLLS_PER_HOUR: Final = 12


@dataclass(slots=True)
class _SteppedClock:
    """A clock whose time is fixed during a poll; durations are real."""

    current_time: datetime

    def now(self) -> datetime:
        """Return the time of the poll."""
        return self.current_time

    def monotonic(self) -> float:
        """Return the real monotonic time."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class _RequestCounter(Telemetry):
    """Counts requests by endpoint."""

    by_endpoint: Counter[str] = field(default_factory=Counter)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:  # noqa: ARG002 # An override.
        """Count the request."""
        self.by_endpoint[endpoint] += 1


@dataclass(slots=True)
class _MeasuredExporter:
    """An exporter in this process with a simulator in another one."""

    upstream: SimulatorProcess
    clock: _SteppedClock
    poller: Poller
    exposition: Exposition
    requests: _RequestCounter

    async def poll_and_advance(self) -> int:
        """Poll, advance to the next poll, and return the number of requests."""
        requests_before = self.requests.by_endpoint.total()
        await self.poller.poll_once()
        request_count = self.requests.by_endpoint.total() - requests_before
        self.clock.current_time += _INTERVAL
        await asyncio.to_thread(self.upstream.set_time, self.clock.current_time)
        return request_count

    @property
    def series(self) -> int:
        """Return the number of series."""
        return _series(self.exposition.body(Format.OPENMETRICS, gzip=True))


@asynccontextmanager
async def _measured_exporter(
    upstream: SimulatorProcess, limits: LimitSettings = LIMITS
) -> AsyncIterator[_MeasuredExporter]:
    settings = Settings(coder=CoderSettings(url=upstream.url, token=LiteralSecret(Secret(DEMO_TOKEN))))
    clock, requests = _SteppedClock(_START_TIME), _RequestCounter()
    exposition = Exposition(username_policy=USERNAME_POLICY, limits=limits)
    async with (
        await open_session(settings.coder, URL(upstream.url)) as session,
        CoderClient(settings.coder, clock=clock, telemetry=requests, session=session) as client,
    ):
        poller = Poller(
            client,
            settings,
            publish=exposition.publish,
            clock=clock,
            random=Random(1),
            telemetry=Telemetry(),
        )
        yield _MeasuredExporter(upstream, clock, poller, exposition, requests)


async def _cpu_seconds(function: Callable[[], Awaitable[object]]) -> float:
    started = time.process_time()
    await function()
    return time.process_time() - started


@dataclass(frozen=True, slots=True)
class _Measurement:
    """CPU seconds, requests and series of an implementation."""

    name: str
    seconds: float
    requests: float
    series: int

    def row(self, baseline: _Measurement) -> tuple[str, ...]:
        """Return the table row with the ratio to the baseline."""
        ratio = f"{baseline.seconds / self.seconds:.1f}"
        return self.name, f"{self.seconds:.2f} s", f"{self.requests:,.0f}", f"{self.series:,}", ratio


_COLUMNS: Final = ("implementation", "CPU time", "requests", "series", "ratio to the baseline")
_TEMPLATES: Final = 200
_USERS: Final = 1_000
_COMMON_NOTE: Final = """\
The simulator runs in another process. The baseline requests four windows of three endpoints per template at
each poll, decodes with `resp.json()`, and renders one format with prometheus_client. This exporter requests
only data that may have changed, renders both formats, and also reads intervals, totals, users and workspaces.
"""
_LARGE_NOTE: Final = """\
The bar is 10 for a regular poll with every series. An exposition of that size is rarely scraped, so the
comparison is repeated with the exporter's default limit: the baseline then keeps the highest series of each
family and drops the rest; this exporter sums the rest where a sum is meaningful. Each result is compared with
the baseline under the same limit."""
_SMALL_NOTE: Final = """\
There is no bar: with small responses, most of the time of both is spent in aiohttp."""


def poll() -> ResultTable:
    """Compare whole polls with large responses."""
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
    """Compare whole polls with few users per template."""
    baseline, *measurements = _compare("usual", None, _SMALL_POLLS)
    return ResultTable(
        f"A whole poll of {_TEMPLATES} active templates that share {_USERS:,} users, fetch to gzip",
        _COLUMNS,
        [measurement.row(baseline) for measurement in (baseline, *measurements)],
        _COMMON_NOTE + _SMALL_NOTE,
    )


def _compare(world: WorldName, limit: int | None, polls: int) -> list[_Measurement]:
    """Return the baseline, a regular poll of the exporter, and its first poll."""
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
            raise AssertionError("The first poll returned no templates.")
        names = {item.id: item.key.template_name for item in inventory.value.templates}
        baseline = BaselineExporter(session, limit)
        steady_seconds, baseline_seconds, queries = [], [], []
        for _ in range(polls):
            queries = build_queries(
                upstream.url, names, ("today", "yesterday", "7d", "30d"), exporter.clock.current_time
            )
            # The simulator caches rollups, which must not favour the second implementation.
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
    """Compare the requests of an hour with a plan that requests everything at each poll."""
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
        ("poll", "this exporter", "every window, endpoint and template", "ratio"),
        rows,
        f"Most frequent in an hour: {top_endpoints}.\nThe bar is 15, with at most two concurrent requests.",
    )


async def _requests_of_an_hour(upstream: SimulatorProcess) -> tuple[list[int], Counter[str]]:
    async with _measured_exporter(upstream) as exporter:
        request_counts = [await exporter.poll_and_advance()]
        exporter.requests.by_endpoint.clear()
        request_counts += [await exporter.poll_and_advance() for _ in range(_POLLS_PER_HOUR)]
        return request_counts, exporter.requests.by_endpoint
