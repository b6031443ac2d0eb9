"""Counters equal the simulated usage over midnights, late rollups and restarts, on every replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from insights_exporter.app.poller import Poller
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.simulator.rollup import RollupDelay, UsageRollup
from insights_exporter.snapshot import Snapshot, TemplateUsage
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, discard_snapshot, in_process_poller
from tests.support.monotonic_checker import MonotonicChecker, SeriesKey
from tests.support.recording_telemetry import RecordingTelemetry

ANCHOR = datetime(2026, 11, 15, tzinfo=UTC)
START = datetime(2026, 11, 16, 20, tzinfo=UTC)
"""A Monday evening in UTC; users in other time zones are active."""

POLL_COUNT = 4 * 24 * 12
RESTARTS_AFTER = {
    # Hours and minutes after the beginning: at night, around midnight, while yesterday is open, at noon.
    timedelta(hours=2): "at night",
    timedelta(hours=28, minutes=5): "just after midnight",
    timedelta(hours=54, minutes=30): "while yesterday is open",
    timedelta(hours=88): "at noon",
}
SETTINGS = Settings(
    coder=CODER_SETTINGS,
    insights=InsightsSettings(windows=("yesterday",), days=1, weeks=1, anchor=date(2026, 11, 15)),
)


@dataclass
class Replica:
    """An exporter and the checker of its totals."""

    poller: Poller
    telemetry: RecordingTelemetry
    checker: MonotonicChecker = field(default_factory=MonotonicChecker)

    async def poll(self) -> dict[SeriesKey, float]:
        """Return all totals."""
        return to_series(await self.poller.poll_once())


def to_series(snapshot: Snapshot) -> dict[SeriesKey, float]:
    assert snapshot.insights is not None
    series: dict[SeriesKey, float] = {}
    for usage in (snapshot.insights.value.deployment, *snapshot.insights.value.templates):
        assert usage.totals is not None
        name = template_name(usage)
        series[name, "seconds", ""] = usage.totals.seconds
        series |= {(name, kind, slug): value for (slug, kind), value in usage.totals.apps.items()}
        series |= {(name, "user", user): value for user, value in usage.totals.users.items()}
    return series


def template_name(usage: TemplateUsage) -> str:
    return "" if usage.key is None else "/".join(usage.key)


def expected_totals(deployment: SimulatedDeployment, now: datetime) -> dict[SeriesKey, float]:
    """Return what Coder has counted by now, computed from the events."""
    world, end = deployment.world, now + timedelta(hours=1)
    totals = report_totals("", world.rollup(ANCHOR, end, now=now), deployment)
    for template in world.templates:
        report = world.rollup(ANCHOR, end, now=now, templates=frozenset({template.id}))
        totals |= report_totals(f"{template.organization.name}/{template.name}", report, deployment)
    return {key: value for key, value in totals.items() if value}


def report_totals(name: str, report: UsageRollup, deployment: SimulatedDeployment) -> dict[SeriesKey, float]:
    totals: dict[SeriesKey, float] = {(name, "seconds", ""): 60 * sum(report.user_minutes.values())}
    for family, minutes in report.builtin_minutes.items():
        totals[name, "builtin", family.replace("_", "-")] = 60 * minutes
    for (slug, _, _), minutes in report.custom_minutes.items():
        totals[name, "app", slug] = totals.get((name, "app", slug), 0) + 60 * minutes
    for user_index, minutes in report.user_minutes.items():
        totals[name, "user", deployment.world.users[user_index].username] = 60 * minutes
    return totals


def is_behind(deployment: SimulatedDeployment, now: datetime) -> bool:
    """Return whether usage before the last rollup has not been rolled up yet."""
    world, end = deployment.world, now + timedelta(hours=1)
    rolled_up = world.rollup(ANCHOR, end, now=now)
    lateness, world.rollup_delay = world.rollup_delay, None
    complete = world.rollup(ANCHOR, end, now=now)
    world.rollup_delay = lateness
    return sum(rolled_up.user_minutes.values()) < sum(complete.user_minutes.values())


@asynccontextmanager
async def running_replica(deployment: SimulatedDeployment, clock: FakeClock) -> AsyncIterator[Replica]:
    telemetry = RecordingTelemetry()
    async with in_process_poller(
        deployment, clock, SETTINGS, publish=discard_snapshot, telemetry=telemetry
    ) as poller:
        yield Replica(poller, telemetry)


@pytest.mark.long
async def test_counters_are_exact_over_four_days() -> None:
    """Two replicas poll every five minutes, each with its own jitter; one of them restarts at times.

    Two half hours in five are rolled up late, by up to two hours, also over midnight.
    """
    clock, jitter = FakeClock(START), Random(7)
    deployment = demo_deployment(Size(2, 5), options=ApiOptions(rate_limit=0))
    deployment.world.rollup_delay = RollupDelay(fraction=0.4)
    late_count = 0
    async with AsyncExitStack() as stack:
        continuous = await stack.enter_async_context(running_replica(deployment, clock))
        restarted = await stack.enter_async_context(running_replica(deployment, clock))
        for slot in range(POLL_COUNT):
            slot_start = START + slot * timedelta(minutes=5)
            if slot_start - START in RESTARTS_AFTER:
                restarted = await stack.enter_async_context(running_replica(deployment, clock))
            expected = expected_totals(deployment, slot_start)
            late_count += slot % 6 == 0 and is_behind(deployment, slot_start)
            for current in (continuous, restarted):
                clock.current_time = slot_start + timedelta(seconds=20 + jitter.uniform(0, 10))
                current.checker.check(await current.poll(), expected)

            # Totals that neither replica has just begun are equal.
            assert all(
                continuous.checker.exported[key] == restarted.checker.exported[key]
                for key in common_keys(continuous, restarted)
            )
    assert continuous.checker.poll_count == POLL_COUNT
    assert len(common_keys(continuous, restarted)) == len([value for value in expected.values() if value]) > 0
    assert late_count > POLL_COUNT / 6 / 4
    for current in (continuous, restarted):
        assert set(current.telemetry.poll_results) == {"ok"}
        assert current.telemetry.corrected_counters == 0


def common_keys(left: Replica, right: Replica) -> set[SeriesKey]:
    """Return the totals that neither replica has just begun."""
    return {key for key, value in left.checker.exported.items() if value and right.checker.exported.get(key)}
