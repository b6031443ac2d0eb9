"""Over a whole day, quantiles of what was sampled stand beside those of all that was reported.

One report of two is sampled. Their quantiles differ by chance, so a histogram's bucket is the finest that can
be promised, and only where there are many samples.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from insights_exporter.collectors.agent_stats import family
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.simulator.generated import Size, generate
from insights_exporter.simulator.model import AgentReport
from insights_exporter.simulator.report import percentile
from insights_exporter.simulator.world import World
from insights_exporter.snapshot import Distribution
from tests.support.agent_stats import user_latency
from tests.support.clock import FakeClock
from tests.support.sampled import Sampled, observations

MIDNIGHT = datetime(2026, 1, 14, tzinfo=UTC)
DAY = timedelta(days=1)
ENOUGH = 200
"""Samples from which on a 95th percentile is more than luck."""


def qualifying(world: World) -> Iterable[AgentReport]:
    for one in world.agent_reports(MIDNIGHT, MIDNIGHT + DAY):
        if one.latency_ms > 0 and any(one.sessions.values()):
            yield one


def bucket_of(counts: Iterable[int], share: float) -> int:
    """Return the place of the bucket that holds a quantile."""
    found = list(counts)
    rank, seen = share * sum(found), 0
    for place, count in enumerate(found):
        seen += count
        if seen >= rank:
            return place
    raise AssertionError("There is nothing to be found.")


def merged(distributions: Iterable[Distribution]) -> list[int]:
    return [sum(counts) for counts in zip(*(one.counts for one in distributions), strict=True)]


async def test_the_p95_of_samples_lies_in_the_bucket_of_the_true_one() -> None:
    world = generate(Size(templates=3, users=14), seed=5)
    sampled = Sampled(world, clock=FakeClock(MIDNIGHT + timedelta(seconds=30)))
    await sampled.sample()
    for _ in range(24 * 60):
        await sampled.sample(after=60)
    known = sampled.known()
    names = {one.id: (one.organization.name, one.name) for one in world.templates}
    by_template: dict[tuple[str, ...], list[float]] = defaultdict(list)
    by_app: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in qualifying(world):
        by_template[names[one.template_id]].append(one.latency_ms / 1000)
        for app in {family(name) for name, count in one.sessions.items() if count}:
            by_app[(*names[one.template_id], app)].append(one.latency_ms / 1000)

    found = {
        **{
            key: merged(one for user, one in user_latency(known).items() if user[:2] == key)
            for key in by_template
        },
        **{key: known.app_latency[key].counts for key in by_app},  # type: ignore[index] # It is of three.
    }
    true = {
        key: bisect_left(LATENCY_BUCKETS, percentile(sorted(values), 0.95))
        for key, values in {**by_template, **by_app}.items()
        if len(values) > 2 * ENOUGH
    }

    assert len(true) >= 4
    assert true == {key: bucket_of(found[key], 0.95) for key in true}
    # A report of each minute was seen, and none twice.
    minutes = {(one.agent_id, one.created_at.replace(second=0)) for one in qualifying(world)}
    seen = sum(observations(one) for one in user_latency(known).values())
    assert 0.98 * len(minutes) <= seen <= len(minutes)
