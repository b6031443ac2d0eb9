"""Over a whole day, quantiles of what was sampled stand beside those of all that was reported.

One report of two is sampled. Their quantiles differ by chance, so a histogram's bucket is the finest that can
be promised, and only where there are many samples.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from insights_exporter.agent_stats import app_family
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.model import AgentReport
from insights_exporter.simulator.rollup import percentile
from insights_exporter.simulator.world import World
from insights_exporter.snapshot import LatencyHistogram
from tests.support.agent_stats import user_latency
from tests.support.clock import FakeClock
from tests.support.coderd_metrics_harness import CoderdMetricsHarness, observation_count

MIDNIGHT = datetime(2026, 1, 14, tzinfo=UTC)
DAY = timedelta(days=1)
MIN_SAMPLES = 200
"""Samples from which on a 95th percentile is more than luck."""


def observed_reports(world: World) -> Iterable[AgentReport]:
    for report in world.agent_reports(MIDNIGHT, MIDNIGHT + DAY):
        if report.latency_ms > 0 and any(report.sessions.values()):
            yield report


def quantile_bucket(counts: Iterable[int], quantile: float) -> int:
    """Return the place of the bucket that holds a quantile."""
    bucket_counts = list(counts)
    rank, cumulative = quantile * sum(bucket_counts), 0
    for bucket, count in enumerate(bucket_counts):
        cumulative += count
        if cumulative >= rank:
            return bucket
    raise AssertionError("There is nothing to be found.")


def sum_bucket_counts(distributions: Iterable[LatencyHistogram]) -> list[int]:
    return [
        sum(counts)
        for counts in zip(*(distribution.bucket_counts for distribution in distributions), strict=True)
    ]


async def test_sampled_p95_is_in_the_exact_bucket() -> None:
    world = generate_world(Size(templates=3, users=14), seed=5)
    sampled = CoderdMetricsHarness(world, clock=FakeClock(MIDNIGHT + timedelta(seconds=30)))
    await sampled.sample()
    for _ in range(24 * 60):
        await sampled.sample(after=60)
    stats = sampled.current_stats()
    names = {one.id: (one.organization.name, one.name) for one in world.templates}
    by_template: dict[tuple[str, ...], list[float]] = defaultdict(list)
    by_app: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in observed_reports(world):
        by_template[names[one.template_id]].append(one.latency_ms / 1000)
        for app in {app_family(name) for name, count in one.sessions.items() if count}:
            by_app[(*names[one.template_id], app)].append(one.latency_ms / 1000)

    sampled_counts = {
        **{
            key: sum_bucket_counts(one for user, one in user_latency(stats).items() if user[:2] == key)
            for key in by_template
        },
        **{key: stats.app_latency[key].bucket_counts for key in by_app},  # type: ignore[index] # It is of three.
    }
    exact = {
        key: bisect_left(LATENCY_BUCKETS, percentile(sorted(values), 0.95))
        for key, values in {**by_template, **by_app}.items()
        if len(values) > 2 * MIN_SAMPLES
    }

    assert len(exact) >= 4
    assert exact == {key: quantile_bucket(sampled_counts[key], 0.95) for key in exact}
    # A report of each minute was seen, and none twice.
    minutes = {(one.agent_id, one.created_at.replace(second=0)) for one in observed_reports(world)}
    sample_count = sum(observation_count(one) for one in user_latency(stats).values())
    assert 0.98 * len(minutes) <= sample_count <= len(minutes)
