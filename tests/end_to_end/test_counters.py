"""Counters equal what happened, over midnights, late reports and restarts, on every replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from insights_exporter.poller import Poller
from insights_exporter.settings import InsightsSettings, Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.lateness import Lateness
from insights_exporter.simulator.report import Report
from insights_exporter.simulator.stage import stage
from insights_exporter.snapshot import Snapshot, TemplateUse
from tests.support.clock import FakeClock
from tests.support.exporting import CODER, polling
from tests.support.told import Told

ANCHOR = datetime(2026, 11, 15, tzinfo=UTC)
BEGIN = datetime(2026, 11, 16, 20, tzinfo=UTC)
"""A Monday evening: some users are awake on the other side of the earth."""

SLOTS = 4 * 24 * 12
RESTARTS = {
    # Hours and minutes after the beginning: at night, around midnight, while yesterday is open, at noon.
    timedelta(hours=2): "at night",
    timedelta(hours=28, minutes=5): "just after midnight",
    timedelta(hours=54, minutes=30): "while yesterday is open",
    timedelta(hours=88): "at noon",
}
SETTINGS = Settings(
    coder=CODER,
    insights=InsightsSettings(windows=("yesterday",), days=1, weeks=1, anchor=date(2026, 11, 15)),
)

Label = tuple[str, str, str]
"""Template, kind and name; the deployment has no template."""


@dataclass
class Replica:
    """An exporter, and what it has served since it began."""

    poller: Poller
    told: Told
    served: dict[Label, float] = field(default_factory=dict)
    polls: int = 0

    async def poll(self) -> dict[Label, float]:
        """Return all totals."""
        snapshot = await self.poller.poll_once()
        self.polls += 1
        return labelled(snapshot)

    def check(self, found: Mapping[Label, float], truth: Mapping[Label, float]) -> None:
        """Every total is what happened, or 0 once where it appears late; none falls or vanishes."""
        for label, value in truth.items():
            appears = label not in self.served and self.polls > 1

            assert found[label] == (0 if appears else value), label
        for label, before in self.served.items():
            assert found[label] >= before, label
        assert {label for label, value in found.items() if value} <= truth.keys()
        self.served = dict(found)


def labelled(snapshot: Snapshot) -> dict[Label, float]:
    assert snapshot.insights is not None
    found: dict[Label, float] = {}
    for use in (snapshot.insights.value.deployment, *snapshot.insights.value.templates):
        assert use.totals is not None
        name = name_of(use)
        found[name, "seconds", ""] = use.totals.seconds
        found |= {(name, kind, slug): value for (slug, kind), value in use.totals.apps.items()}
        found |= {(name, "user", user): value for user, value in use.totals.users.items()}
    return found


def name_of(use: TemplateUse) -> str:
    return "" if use.key is None else "/".join(use.key)


def happened(deployment: SimulatedDeployment, now: datetime) -> dict[Label, float]:
    """Return what Coder has counted by now, from the events themselves."""
    world, end = deployment.world, now + timedelta(hours=1)
    found = counted("", world.report(ANCHOR, end, now=now), deployment)
    for template in world.templates:
        report = world.report(ANCHOR, end, now=now, templates=frozenset({template.id}))
        found |= counted(f"{template.organization.name}/{template.name}", report, deployment)
    return {label: value for label, value in found.items() if value}


def counted(name: str, report: Report, deployment: SimulatedDeployment) -> dict[Label, float]:
    found: dict[Label, float] = {(name, "seconds", ""): 60 * sum(report.user_minutes.values())}
    for family, spent in report.builtin.items():
        found[name, "builtin", family.replace("_", "-")] = 60 * spent
    for (slug, _, _), spent in report.custom.items():
        found[name, "app", slug] = found.get((name, "app", slug), 0) + 60 * spent
    for place, spent in report.user_minutes.items():
        found[name, "user", deployment.world.users[place].username] = 60 * spent
    return found


def is_behind(deployment: SimulatedDeployment, now: datetime) -> bool:
    """Say whether Coder has yet to learn of something before the last rollup."""
    world, end = deployment.world, now + timedelta(hours=1)
    known = world.report(ANCHOR, end, now=now)
    lateness, world.lateness = world.lateness, None
    whole = world.report(ANCHOR, end, now=now)
    world.lateness = lateness
    return sum(known.user_minutes.values()) < sum(whole.user_minutes.values())


@asynccontextmanager
async def replica(deployment: SimulatedDeployment, clock: FakeClock) -> AsyncIterator[Replica]:
    told = Told()
    async with polling(deployment, clock, SETTINGS, publish=ignored, telemetry=told) as poller:
        yield Replica(poller, told)


async def ignored(_: Snapshot) -> None:
    """Publish nothing."""


@pytest.mark.long
async def test_four_days_of_polls_count_what_happened() -> None:
    """Two replicas poll every five minutes, each with a jitter of its own; one of them restarts at times.

    Two half hours in five become known late, by up to two hours, also over midnight.
    """
    clock, jitter = FakeClock(BEGIN), Random(7)
    deployment = stage(Size(2, 5), options=ApiOptions(rate_limit=0))
    deployment.world.lateness = Lateness(share=0.4)
    late = 0
    async with AsyncExitStack() as stack:
        steady = await stack.enter_async_context(replica(deployment, clock))
        other = await stack.enter_async_context(replica(deployment, clock))
        for slot in range(SLOTS):
            begin = BEGIN + slot * timedelta(minutes=5)
            if begin - BEGIN in RESTARTS:
                other = await stack.enter_async_context(replica(deployment, clock))
            truth = happened(deployment, begin)
            late += slot % 6 == 0 and is_behind(deployment, begin)
            for one in (steady, other):
                clock.moment = begin + timedelta(seconds=20 + jitter.uniform(0, 10))
                one.check(await one.poll(), truth)

            # Both have checked the same truth; what both know already is the same.
            assert all(steady.served[label] == other.served[label] for label in both_know(steady, other))
    assert steady.polls == SLOTS
    assert late > SLOTS / 6 / 4
    for one in (steady, other):
        assert set(one.told.polls) == {"ok"}
        assert one.told.corrections == 0


def both_know(one: Replica, other: Replica) -> set[Label]:
    """Return the totals that neither replica has just begun."""
    return {label for label, value in one.served.items() if value and other.served.get(label)}
