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

from benchmarks.plain import PlainExporter, questions
from benchmarks.table import Table
from benchmarks.upstream import Upstream, WorldName, running
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
from insights_exporter.settings import InsightsSettings, LimitSettings, Settings
from insights_exporter.simulator.stage import DEMO_TOKEN
from insights_exporter.telemetry import SilentTelemetry

__all__ = ["calls", "poll", "small_poll"]

_WORKDAY: Final = datetime(2026, 11, 18, 14, 0, 20, tzinfo=UTC)
_INTERVAL: Final = timedelta(minutes=5)
_SMALL_POLLS: Final = 3
_LARGE_POLLS: Final = 2
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
        return _series(self.exposition.page(Format.OPENMETRICS, gzip=True))


@asynccontextmanager
async def _contender(upstream: Upstream, limits: LimitSettings = LIMITS) -> AsyncIterator[_Contender]:
    settings = Settings(coder=CoderSettings(url=upstream.url, token=LiteralSecret(Secret(DEMO_TOKEN))))
    clock, requests = _Moment(_WORKDAY), _Requests()
    exposition = Exposition(redaction=REDACTION, limits=limits)
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
class _Way:
    """What a way took: seconds of the processor, requests, series."""

    name: str
    seconds: float
    requests: float
    series: int

    def row(self, plain: _Way) -> tuple[str, ...]:
        """Return the row of this way beside the plain one."""
        times = f"{plain.seconds / self.seconds:.1f}"
        return self.name, f"{self.seconds:.2f} s", f"{self.requests:,.0f}", f"{self.series:,}", times


_COLUMNS: Final = ("what", "processor time", "requests", "series", "times less than the plain way")
_TEMPLATES: Final = 200
_USERS: Final = 1_000
_COMMON: Final = """\
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


def poll() -> Table:
    """Compare whole polls, from the first request to the compressed page, where answers are large."""
    rows = []
    for limit in (None, LimitSettings().series_per_family):
        plain, *others = _compared("crowded", limit, _LARGE_POLLS)
        said = "every series" if limit is None else f"at most {limit:,} series a family"
        rows += [replace(way, name=f"{way.name}, {said}").row(plain) for way in (plain, *others)]
    return Table(
        f"A whole poll of {_TEMPLATES} active templates with {_USERS:,} users each, fetch to gzip",
        _COLUMNS,
        rows,
        _COMMON + _LARGE_NOTE,
    )


def small_poll() -> Table:
    """Compare the same where each template has a handful of users."""
    plain, *others = _compared("usual", None, _SMALL_POLLS)
    return Table(
        f"A whole poll of {_TEMPLATES} active templates that share {_USERS:,} users, fetch to gzip",
        _COLUMNS,
        [way.row(plain) for way in (plain, *others)],
        _COMMON + _SMALL_NOTE,
    )


def _compared(world: WorldName, limit: int | None, polls: int) -> list[_Way]:
    """Return the plain way, this exporter's poll in passing, and its first."""
    settle()
    size = {"templates": _TEMPLATES, "users": _USERS, "active": _TEMPLATES}
    with running(**size, moment=_WORKDAY, world=world) as upstream:
        return asyncio.run(_ways(upstream, limit, polls))


async def _ways(upstream: Upstream, limit: int | None, polls: int) -> list[_Way]:
    limits = LIMITS if limit is None else LimitSettings(series_per_family=limit)
    async with _contender(upstream, limits) as ours, aiohttp.ClientSession() as session:
        asked: list[int] = []

        async def step() -> None:
            asked.append(await ours.step())

        first = await _processor(step)
        inventory = ours.poller.state.last_inventory
        if inventory is None:
            raise AssertionError("The first poll found no templates.")
        names = {one.id: one.key.template_name for one in inventory.value.templates}
        plain = PlainExporter(session, limit)
        steady, plainly, wanted = [], [], []
        for _ in range(polls):
            wanted = questions(upstream.url, names, ("today", "yesterday", "7d", "30d"), ours.clock.moment)
            # The simulator remembers what it added up: whoever asks second must not profit.
            plainly.append(await _processor(lambda wanted=wanted: plain.poll(wanted)))  # type: ignore[misc]
            steady.append(await _processor(step))
        return [
            _Way("the plain way", statistics.median(plainly), len(wanted), _series(plain.page)),
            _Way(
                "this exporter, a poll in passing",
                statistics.median(steady),
                statistics.median(asked[1:]),
                ours.series,
            ),
            _Way("this exporter, its first poll", first, asked[0], ours.series),
        ]


def _series(page: bytes) -> int:
    return sum(not line.startswith(b"#") for line in gzip.decompress(page).splitlines())


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
