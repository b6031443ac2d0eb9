"""Lets a simulated Coder and the exporter live through weeks in seconds, and keeps the pages.

The exporter's own collectors, poller and exposition run on a clock that jumps. Each page is written with its
time and with the labels that a Prometheus would have added, ready to become blocks of a database.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random
from typing import Final

from insights_exporter.coder.client import CoderClient
from insights_exporter.collectors.agent_stats import NAME, Ledger, OpenNow, Tally
from insights_exporter.collectors.agent_stats.apps import families
from insights_exporter.filters import Filters
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.text import Format
from insights_exporter.poller import Poller
from insights_exporter.redaction import Redaction
from insights_exporter.settings import FilterSettings, LimitSettings, Settings, UserNames
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.model import AgentReport
from insights_exporter.snapshot import AgentStats, Reading, Snapshot, TemplateKey
from insights_exporter.telemetry import SilentTelemetry
from insights_exporter.telling import TellingMetrics
from tests.support.clock import FakeClock
from tests.support.direct import direct_session
from tests.support.exporting import CODER

__all__ = ["AgentReports", "Recorder", "recorder", "stamped"]

_START: Final = re.compile(rb"^(process_start_time_seconds) \S+$", re.MULTILINE)
_PRESENT: Final = 90


async def _nowhere(_: Snapshot) -> None:
    return None


@dataclass
class AgentReports:
    """Counts what simulated agents report, into the ledger that every source counts into."""

    deployment: SimulatedDeployment
    ledger: Ledger = field(
        default_factory=lambda: Ledger(Redaction(UserNames.NAMED), Filters(FilterSettings()))
    )

    def __post_init__(self) -> None:
        """Learn the names."""
        world = self.deployment.world
        self._templates = {one.id: TemplateKey(one.organization.name, one.name) for one in world.templates}
        self._users = {one.id: one.username for one in world.users}
        self.ledger.templates = tuple(self._templates.values())

    def read(self, now: datetime, telemetry: TellingMetrics) -> Reading[AgentStats]:
        """Count what was reported since the last reading; the first one only begins."""
        ledger = self.ledger
        if ledger.since is None:
            ledger.begin(now, identity="simulated", position=now.isoformat())
        since = datetime.fromisoformat(ledger.position)
        reports = list(self.deployment.world.agent_reports(since, now))
        ledger.closed = ledger.closed.plus(self._tally(reports))
        ledger.position = now.isoformat()
        ledger.now = self._open(reports, now)
        telemetry.agent_rows("observed", len(reports))
        telemetry.agent_lag(30.0)
        telemetry.collector_finished(NAME, 0.02, success=True, at=now)
        return Reading(ledger.statement(), now)

    def _tally(self, reports: Iterable[AgentReport]) -> Tally:
        tally = Tally()
        minutes: set[tuple[TemplateKey, str, str, datetime]] = set()
        for one in reports:
            template, user = self._templates[one.template_id], self._users[one.user_id]
            apps, seconds = families(one.sessions.items()), one.latency_ms / 1000
            tally.traffic(template, received=one.rx_bytes, transmitted=one.tx_bytes)
            if apps and seconds > 0:
                bucket = bisect_left(LATENCY_BUCKETS, seconds)
                tally.observe(template, user, apps, bucket=bucket, seconds=seconds)
            minutes |= {(template, user, app, one.created_at.replace(second=0)) for app in apps}
        for template, user, app, _ in minutes:
            tally.session(template, user, app, seconds=60)
        return tally

    def _open(self, reports: Iterable[AgentReport], now: datetime) -> OpenNow:
        last = {one.agent_id: one for one in reports if (now - one.created_at).total_seconds() < _PRESENT}
        found = OpenNow()
        for one in last.values():
            key = self._templates[one.template_id]
            found.connections[key] = found.connections.get(key, 0) + one.connection_count
            for app, count in families(one.sessions.items()).items():
                found.sessions[(*key, app)] = found.sessions.get((*key, app), 0) + count
        return found


class Recorder:
    """An exporter that polls when it is told to, at the clock's time, and shows users in each of some modes.

    What it tells of itself is of the first mode.
    """

    def __init__(
        self,
        client: CoderClient,
        clock: FakeClock,
        telemetry: TellingMetrics,
        modes: Sequence[UserNames] = (UserNames.NAMED,),
    ) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._began = clock.now().timestamp()
        self._expositions = {
            users: Exposition(
                redaction=Redaction(users, b"the key of the history"),
                limits=LimitSettings(),
                telemetry=telemetry if users is modes[0] else SilentTelemetry(),
                pause=lambda: None,
            )
            for users in modes
        }
        self._poller = Poller(
            client,
            Settings(coder=CODER),
            publish=_nowhere,
            clock=clock,
            random=Random(1),
            telemetry=telemetry,
        )
        telemetry.reloaded(success=True, at=clock.now())

    async def poll(self, agents: AgentReports | None = None) -> Snapshot:
        """Ask everything, and serve it beside agents' reports from then on."""
        snapshot = await self._poller.poll_once()
        if agents is not None:
            snapshot = replace(snapshot, agent_stats=agents.read(self._clock.now(), self._telemetry))
        for exposition in self._expositions.values():
            await exposition.publish(snapshot)
        return snapshot

    def page(self) -> bytes:
        """Return what a scrape gets now in the first mode."""
        return next(iter(self.pages().values()))

    def pages(self) -> dict[UserNames, bytes]:
        """Return what a scrape gets now in each mode; the process began when the recorder did."""
        self._telemetry.scraped(200, 0.004)
        tail = self._telemetry.text(Format.TEXT)
        tail = _START.sub(rb"\1 %.1f" % self._began, tail)
        return {
            users: one.page(Format.TEXT, gzip=False, tail=tail) for users, one in self._expositions.items()
        }


@asynccontextmanager
async def recorder(
    deployment: SimulatedDeployment, clock: FakeClock, modes: Sequence[UserNames] = (UserNames.NAMED,)
) -> AsyncIterator[Recorder]:
    """Yield an exporter of the deployment; both live at the clock's time."""
    telemetry = TellingMetrics(poll_interval=300)
    deployment.now = clock.now
    async with CoderClient(
        CODER, clock=clock, rng=Random(1), observer=telemetry, session=direct_session(deployment)
    ) as client:
        yield Recorder(client, clock, telemetry, modes)
    telemetry.shutdown()


def stamped(page: bytes, at: datetime, *, job: str, instance: str) -> bytes:
    """Return what Prometheus keeps of a page that it scraped at a moment, without any comment."""
    target = f'job="{job}",instance="{instance}"'.encode()
    time = b"%.3f" % at.timestamp()
    samples = [line for line in page.split(b"\n") if line and not line.startswith(b"#")]
    samples += [b"up 1", b"scrape_duration_seconds 0.01", b"scrape_samples_scraped %d" % len(samples)]
    return b"".join(map(partial(_stamped, target, time), samples))


def _stamped(target: bytes, time: bytes, sample: bytes) -> bytes:
    """Return a sample with the labels of its target and with its time."""
    series, _, value = sample.rpartition(b" ")
    name, labelled, labels = series.partition(b"{")
    own = b"," + labels if labelled else b"}"
    return b"%s{%s%s %s %s\n" % (name, target, own, value, time)
