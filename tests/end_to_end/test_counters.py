"""Counters equal what happened, over midnights, late reports and restarts, on every replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from insights_exporter.app.poller import Poller
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.lateness import RollupDelay
from insights_exporter.simulator.rollup import UsageRollup
from insights_exporter.snapshot import Snapshot, TemplateUsage
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, in_process_poller
from tests.support.recording_telemetry import RecordingTelemetry

ANCHOR = datetime(2026, 11, 15, tzinfo=UTC)
START = datetime(2026, 11, 16, 20, tzinfo=UTC)
"""A Monday evening: some users are awake on the other side of the earth."""

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

SeriesKey = tuple[str, str, str]
"""Template, kind and name; the deployment has no template."""


@dataclass
class Replica:
    """An exporter, and what it has served since it began."""

    poller: Poller
    telemetry: RecordingTelemetry
    exported: dict[SeriesKey, float] = field(default_factory=dict)
    poll_count: int = 0

    async def poll(self) -> dict[SeriesKey, float]:
        """Return all totals."""
        snapshot = await self.poller.poll_once()
        self.poll_count += 1
        return to_series(snapshot)

    def check(self, exported: Mapping[SeriesKey, float], expected: Mapping[SeriesKey, float]) -> None:
        """Every total is what happened, or 0 once where it appears late; none falls or vanishes."""
        for key, value in expected.items():
            appears = key not in self.exported and self.poll_count > 1

            assert exported[key] == (0 if appears else value), key
        for key, previous in self.exported.items():
            assert exported[key] >= previous, key
        assert {key for key, value in exported.items() if value} <= expected.keys()
        self.exported = dict(exported)


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
    """Return what Coder has counted by now, from the events themselves."""
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
    """Say whether Coder has yet to learn of something before the last rollup."""
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


async def discard_snapshot(_: Snapshot) -> None:
    """Publish nothing."""


@pytest.mark.long
async def test_counters_are_exact_over_four_days() -> None:
    """Two replicas poll every five minutes, each with a jitter of its own; one of them restarts at times.

    Two half hours in five become known late, by up to two hours, also over midnight.
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
                current.check(await current.poll(), expected)

            # Both have checked the same truth; what both know already is the same.
            assert all(
                continuous.exported[key] == restarted.exported[key]
                for key in common_keys(continuous, restarted)
            )
    assert continuous.poll_count == POLL_COUNT
    assert late_count > POLL_COUNT / 6 / 4
    for current in (continuous, restarted):
        assert set(current.telemetry.poll_results) == {"ok"}
        assert current.telemetry.corrected_counters == 0


def common_keys(left: Replica, right: Replica) -> set[SeriesKey]:
    """Return the totals that neither replica has just begun."""
    return {key for key, value in left.exported.items() if value and right.exported.get(key)}
