"""What a poll costs: the processor's time from the first request to the compressed page, and requests."""

from __future__ import annotations

import asyncio
import gzip
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import aiohttp

from benchmarks.plain import PlainExporter, questions
from benchmarks.table import Table
from benchmarks.upstream import Upstream, running
from benchmarks.workload import LIMITS, REDACTION
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.observer import SilentObserver
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.collectors.plan import Endpoint
from insights_exporter.interpreter import settle
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.text import Format
from insights_exporter.poller import Poller
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import InsightsSettings, Settings
from insights_exporter.simulator.stage import DEMO_TOKEN
from insights_exporter.telemetry import SilentTelemetry

__all__ = ["calls", "poll"]

_WORKDAY: Final = datetime(2026, 11, 18, 14, 0, 20, tzinfo=UTC)
_INTERVAL: Final = timedelta(minutes=5)
_POLLS: Final = 3
_PER_HOUR: Final = 12


@dataclass(slots=True)
class _Moment:
    """A clock that is moved from poll to poll and otherwise stands, while durations are real."""

    moment: datetime

    def now(self) -> datetime:
        """Return the moment of this poll."""
        return self.moment

    def monotonic(self) -> float:
        """Return real seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class _Requests(SilentObserver):
    """Counts requests by endpoint."""

    by_endpoint: Counter[str] = field(default_factory=Counter)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:  # noqa: ARG002 - as asked.
        """Count one."""
        self.by_endpoint[endpoint] += 1


@dataclass(slots=True)
class _Contender:
    """An exporter in this process, against a simulator in another one."""

    upstream: Upstream
    clock: _Moment
    poller: Poller
    exposition: Exposition
    requests: _Requests

    async def step(self) -> int:
        """Poll, move on to the next one's moment, and return the number of requests."""
        before = self.requests.by_endpoint.total()
        await self.poller.poll_once()
        asked = self.requests.by_endpoint.total() - before
        self.clock.moment += _INTERVAL
        await asyncio.to_thread(self.upstream.move_to, self.clock.moment)
        return asked

    @property
    def series(self) -> int:
        """Return how many series the page has."""
        page = gzip.decompress(self.exposition.page(Format.OPENMETRICS, gzip=True))
        return sum(not line.startswith(b"#") for line in page.splitlines())


@asynccontextmanager
async def _contender(upstream: Upstream) -> AsyncIterator[_Contender]:
    settings = Settings(coder=CoderSettings(url=upstream.url, token=LiteralSecret(Secret(DEMO_TOKEN))))
    clock, requests = _Moment(_WORKDAY), _Requests()
    exposition = Exposition(redaction=REDACTION, limits=LIMITS)
    async with CoderClient(settings.coder, clock=clock, observer=requests) as client:
        poller = Poller(
            client,
            settings,
            publish=exposition.publish,
            clock=clock,
            random=Random(1),
            telemetry=SilentTelemetry(),
        )
        yield _Contender(upstream, clock, poller, exposition, requests)


async def _processor(work: Callable[[], Awaitable[object]]) -> float:
    began = time.process_time()
    await work()
    return time.process_time() - began


@dataclass(frozen=True, slots=True)
class _Figures:
    """What both ways took: seconds of the processor, requests, series."""

    first: float
    steady: float
    plain: float
    asked_first: int
    asked: float
    asked_plain: int
    series: int
    series_plain: int


def poll() -> Table:
    """Compare whole polls, from the first request to the compressed page."""
    settle()
    templates, users = 200, 1_000
    with running(templates=templates, users=users, active=templates, moment=_WORKDAY) as upstream:
        found = asyncio.run(_compared(upstream))
    rows = [
        (name, f"{seconds:.2f} s", f"{asked:,.0f}", f"{series:,}", f"{found.plain / seconds:.1f}")
        for name, seconds, asked, series in (
            ("the plain way", found.plain, found.asked_plain, found.series_plain),
            ("this exporter, a poll in passing", found.steady, found.asked, found.series),
            ("this exporter, its first poll", found.first, found.asked_first, found.series),
        )
    ]
    return Table(
        f"A whole poll of {templates} active templates and {users:,} users, fetch to gzip",
        ("what", "processor time", "requests", "series", "times less than the plain way"),
        rows,
        "The simulator runs in another process. The plain way asks four windows of three endpoints of each\n"
        "template at each poll, decodes with `resp.json()`, and writes one page with prometheus_client.\n"
        "This exporter writes both formats, and also reads intervals, totals, users and workspaces. The bar\n"
        "is 10 for a poll in passing. With answers as small as these, most of either is what aiohttp takes\n"
        "for a request.",
    )


async def _compared(upstream: Upstream) -> _Figures:
    async with _contender(upstream) as ours, aiohttp.ClientSession() as session:
        asked: list[int] = []

        async def step() -> None:
            asked.append(await ours.step())

        first = await _processor(step)
        inventory = ours.poller.state.last_inventory
        if inventory is None:
            raise AssertionError("The first poll found no templates.")
        names = {one.id: one.key.template_name for one in inventory.value.templates}
        plain = PlainExporter(session)
        steady, plainly, wanted = [], [], []
        for _ in range(_POLLS):
            wanted = questions(upstream.url, names, ("today", "yesterday", "7d", "30d"), ours.clock.moment)
            # The simulator remembers what it added up: whoever asks second must not profit.
            plainly.append(await _processor(lambda wanted=wanted: plain.poll(wanted)))  # type: ignore[misc]
            steady.append(await _processor(step))
        page = gzip.decompress(plain.page)
        return _Figures(
            first,
            statistics.median(steady),
            statistics.median(plainly),
            asked[0],
            statistics.median(asked[1:]),
            len(wanted),
            ours.series,
            sum(not line.startswith(b"#") for line in page.splitlines()),
        )


def calls() -> Table:
    """Count the requests of an hour against those of a plan that asks everything each time."""
    templates, active, users = 500, 50, 1_000
    with running(templates=templates, users=users, active=active, moment=_WORKDAY) as upstream:
        asked, endpoints = asyncio.run(_hour(upstream))
    naive = templates * len(InsightsSettings().windows) * len(Endpoint)
    passing = asked[1:]
    rows = [
        (when, f"{count:,.0f}", f"{other:,}", f"{other / count:.0f}")
        for when, count, other in (
            ("per poll", statistics.mean(passing), naive),
            ("per hour", sum(passing), naive * _PER_HOUR),
            ("the first poll", asked[0], naive),
        )
    ]
    most = ", ".join(f"{endpoint} {count:,}" for endpoint, count in endpoints.most_common(4))
    return Table(
        f"Requests, {templates} templates of which {active} are used, {users:,} users",
        ("when", "this exporter", "every window, endpoint and template", "times fewer"),
        rows,
        f"Most of an hour's: {most}.\nThe bar is 15; never more than two at once.",
    )


async def _hour(upstream: Upstream) -> tuple[list[int], Counter[str]]:
    async with _contender(upstream) as ours:
        asked = [await ours.step()]
        ours.requests.by_endpoint.clear()
        asked += [await ours.step() for _ in range(_PER_HOUR)]
        return asked, ours.requests.by_endpoint
