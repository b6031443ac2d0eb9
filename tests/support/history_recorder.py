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

from insights_exporter.agent_stats.accumulator import Accumulator, CurrentPeers, CurrentSessions
from insights_exporter.agent_stats.aggregate import Aggregate, sum_sessions
from insights_exporter.agent_stats.collector import COLLECTOR_NAME
from insights_exporter.app.poller import Poller
from insights_exporter.app_families import app_family
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import (
    CostSettings,
    FilterSettings,
    LimitSettings,
    Settings,
    UsernameMode,
)
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.privacy import Filters, UsernamePolicy
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.coderd.agent_metrics import RELAYED_LATENCY_MS
from insights_exporter.simulator.model import AgentReport
from insights_exporter.small_groups import suppress_small_groups
from insights_exporter.snapshot import AgentStats, Snapshot, TemplateKey, Timestamped
from insights_exporter.telemetry import Telemetry
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.in_process_session import in_process_session

__all__ = ["AgentStatsFeed", "Recorder", "recorder", "to_timestamped_samples"]

_START_TIME_LINE: Final = re.compile(rb"^(process_start_time_seconds) \S+$", re.MULTILINE)
_SESSION_TTL: Final = 90
_KEY: Final = b"the key of the history"
_MIN_GROUP_SIZE: Final = 5
_MINUTES_PER_POLL: Final = 5
_COST: Final = CostSettings(price_per_unit=0.04, currency="EUR")


async def _discard(_: Snapshot) -> None:
    return None


@dataclass
class AgentStatsFeed:
    """Adds simulated agent reports to the accumulator that all sources use, one for each username mode."""

    deployment: SimulatedDeployment
    _accumulators: dict[UsernameMode, Accumulator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the names."""
        world = self.deployment.world
        self._templates = {
            item.id: TemplateKey(item.organization.name, item.name) for item in world.templates
        }
        self._users = {item.id: item.username for item in world.users}

    def read(
        self, now: datetime, telemetry: SelfMetrics, modes: Iterable[UsernameMode]
    ) -> dict[UsernameMode, Timestamped[AgentStats]]:
        """Add the reports since the last call; the first call sets the start."""
        modes = tuple(modes)
        for mode in modes:
            if mode not in self._accumulators:
                policy = UsernamePolicy(mode, _KEY)
                accumulator = self._accumulators[mode] = Accumulator(policy, Filters(FilterSettings()))
                accumulator.templates = tuple(self._templates.values())
                accumulator.reset(now, identity="simulated", cursor=now.isoformat())
        since = datetime.fromisoformat(self._accumulators[modes[0]].cursor)
        reports = list(self.deployment.world.agent_reports(since, now))
        for mode in modes:
            accumulator = self._accumulators[mode]
            accumulator.committed = accumulator.committed.merge(self._aggregate(reports, mode))
            accumulator.cursor = now.isoformat()
            accumulator.current_sessions = self._current_sessions(reports, now)
            accumulator.current_peers = self._current_peers(reports, now, accumulator)
        telemetry.agent_rows_processed("observed", len(reports))
        telemetry.agent_lag_updated(30.0)
        telemetry.collector_finished(COLLECTOR_NAME, 0.02, success=True, at=now)
        return {mode: Timestamped(self._accumulators[mode].snapshot(), now) for mode in modes}

    def _aggregate(self, reports: Iterable[AgentReport], mode: UsernameMode) -> Aggregate:
        policy = UsernamePolicy(mode, _KEY)
        aggregate = Aggregate()
        minutes: set[tuple[TemplateKey, str, str, datetime]] = set()
        for report in reports:
            template, username = self._templates[report.template_id], self._users[report.user_id]
            user = policy.pseudonymize(username) or username
            apps, seconds = sum_sessions(report.sessions.items(), app_family), report.latency_ms / 1000
            aggregate.add_traffic(template, received=report.rx_bytes, transmitted=report.tx_bytes)
            if apps and seconds > 0:
                bucket = bisect_left(LATENCY_BUCKETS, seconds)
                aggregate.observe(template, user, apps, bucket=bucket, seconds=seconds)
            minutes |= {(template, user, app, report.created_at.replace(second=0)) for app in apps}
        for template, user, app, _ in minutes:
            aggregate.add_session_time(template, user, app, seconds=60)
        return aggregate

    def _current_peers(
        self, reports: Iterable[AgentReport], now: datetime, accumulator: Accumulator
    ) -> CurrentPeers:
        current = CurrentPeers()
        for report in _last_reports(reports, now):
            connection_type = "derp" if report.latency_ms >= RELAYED_LATENCY_MS else "p2p"
            current.add(
                self._templates[report.template_id],
                accumulator.pseudonyms.display_name(self._users[report.user_id]),
                {connection_type: report.connection_count},
            )
        return current

    def _current_sessions(self, reports: Iterable[AgentReport], now: datetime) -> CurrentSessions:
        current_sessions = CurrentSessions()
        for report in _last_reports(reports, now):
            key = self._templates[report.template_id]
            current_sessions.connections[key] = (
                current_sessions.connections.get(key, 0) + report.connection_count
            )
            for app, count in sum_sessions(report.sessions.items(), app_family).items():
                current_sessions.sessions[(*key, app)] = current_sessions.sessions.get((*key, app), 0) + count
        return current_sessions


def _last_reports(reports: Iterable[AgentReport], now: datetime) -> Iterable[AgentReport]:
    """Return the last report of each agent that still reports."""
    return {
        report.agent_id: report
        for report in reports
        if (now - report.created_at).total_seconds() < _SESSION_TTL
    }.values()


class Recorder:
    """An exporter that polls on request and renders one exposition for each username mode.

    Self metrics belong to the first mode.
    """

    def __init__(
        self,
        client: CoderClient,
        clock: FakeClock,
        telemetry: SelfMetrics,
        user_modes: Sequence[UsernameMode] = (UsernameMode.NAMED,),
    ) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._start_time = clock.now().timestamp()
        self._expositions = {
            users: Exposition(
                username_policy=UsernamePolicy(users, _KEY),
                limits=LimitSettings(),
                telemetry=telemetry if users is user_modes[0] else Telemetry(),
                after_block=lambda: None,
            )
            for users in user_modes
        }
        self._poller = Poller(
            client,
            Settings(coder=CODER_SETTINGS, cost=_COST),
            publish=_discard,
            clock=clock,
            random=Random(1),
            telemetry=telemetry,
        )
        telemetry.config_reloaded(success=True, at=clock.now())

    async def poll(self, agents: AgentStatsFeed | None = None) -> Snapshot:
        """Poll, and publish the result with the agent statistics."""
        snapshot = await self._poller.poll_once()
        if self._clock.now().minute < _MINUTES_PER_POLL:
            # Once an hour, the numbers that a configuration with a minimum would report.
            self._telemetry.small_groups_withheld(suppress_small_groups(snapshot, _MIN_GROUP_SIZE).withheld)
        if agents is None:
            for exposition in self._expositions.values():
                await exposition.publish(snapshot)
            return snapshot
        agent_stats = agents.read(self._clock.now(), self._telemetry, self._expositions)
        for mode, exposition in self._expositions.items():
            await exposition.publish(replace(snapshot, agent_stats=agent_stats[mode]))
        return replace(snapshot, agent_stats=next(iter(agent_stats.values())))

    def exposition_body(self) -> bytes:
        """Return the current response to a scrape in the first mode."""
        return next(iter(self.exposition_bodies().values()))

    def exposition_bodies(self) -> dict[UsernameMode, bytes]:
        """Return the current response to a scrape by mode; the process started with the recorder."""
        self._telemetry.scrape_finished(200, 0.004)
        self_metrics = self._telemetry.encode(Format.TEXT)
        self_metrics = _START_TIME_LINE.sub(rb"\1 %.1f" % self._start_time, self_metrics)
        return {
            users: exposition.body(Format.TEXT, gzip=False, self_metrics=self_metrics)
            for users, exposition in self._expositions.items()
        }


@asynccontextmanager
async def recorder(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    user_modes: Sequence[UsernameMode] = (UsernameMode.NAMED,),
) -> AsyncIterator[Recorder]:
    """Yield an exporter of the deployment; both use the clock."""
    telemetry = SelfMetrics(poll_interval=300)
    deployment.now = clock.now
    async with CoderClient(
        CODER_SETTINGS,
        clock=clock,
        rng=Random(1),
        telemetry=telemetry,
        session=in_process_session(deployment),
    ) as client:
        yield Recorder(client, clock, telemetry, user_modes)
    telemetry.shutdown()


def to_timestamped_samples(body: bytes, time: datetime, *, job: str, instance: str) -> bytes:
    """Return the samples of a scraped exposition with its time, without comments."""
    target = f'job="{job}",instance="{instance}"'.encode()
    timestamp = b"%.3f" % time.timestamp()
    samples = [line for line in body.split(b"\n") if line and not line.startswith(b"#")]
    samples += [b"up 1", b"scrape_duration_seconds 0.01", b"scrape_samples_scraped %d" % len(samples)]
    return b"".join(map(partial(_to_timestamped_sample, target, timestamp), samples))


def _to_timestamped_sample(target: bytes, timestamp: bytes, sample: bytes) -> bytes:
    """Return a sample with target labels and timestamp."""
    series, _, value = sample.rpartition(b" ")
    name, brace, labels = series.partition(b"{")
    own_labels = b"," + labels if brace else b"}"
    return b"%s{%s%s %s %s\n" % (name, target, own_labels, value, timestamp)
