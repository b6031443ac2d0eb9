"""Quantiles of sampled reports equal those of all reports over a day.

Every second report is sampled, so quantiles differ by chance. Equality is therefore at the resolution of a
bucket, and only with many samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from insights_exporter.agent_stats.aggregate import bucket_number
from insights_exporter.app_families import app_family
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.model import AgentReport
from insights_exporter.simulator.rollup import percentile
from insights_exporter.simulator.world import World
from insights_exporter.snapshot import LatencyHistogram
from tests.support.agent_stats import user_latency
from tests.support.clock import FakeClock
from tests.support.coderd_metrics_harness import CoderdMetricsHarness, observation_count
from tests.support.histograms import bucket_counts

MIDNIGHT = datetime(2026, 1, 14, tzinfo=UTC)
DAY = timedelta(days=1)
MIN_SAMPLES = 200
"""Samples above which a 95th percentile is stable."""


def observed_reports(world: World) -> Iterable[AgentReport]:
    for report in world.agent_reports(MIDNIGHT, MIDNIGHT + DAY):
        if report.latency_ms > 0 and any(report.sessions.values()):
            yield report


def quantile_bucket(counts: Iterable[int], quantile: float) -> int:
    """Return the index of the bucket that contains the quantile."""
    observations = list(counts)
    rank, cumulative = quantile * sum(observations), 0
    for bucket, count in enumerate(observations):
        cumulative += count
        if cumulative >= rank:
            return bucket
    raise AssertionError("The histogram is empty.")


def sum_bucket_counts(distributions: Iterable[LatencyHistogram]) -> list[int]:
    return [
        sum(counts)
        for counts in zip(*(bucket_counts(distribution) for distribution in distributions), strict=True)
    ]


async def test_sampled_p95_is_in_the_exact_bucket() -> None:
    world = generate_world(Size(templates=3, users=14), seed=5)
    sampled = CoderdMetricsHarness(world, clock=FakeClock(MIDNIGHT + timedelta(seconds=30)))
    await sampled.sample()
    for _ in range(24 * 60):
        await sampled.sample(after=60)
    stats = sampled.current_stats()
    names = {item.id: (item.organization.name, item.name) for item in world.templates}
    by_template: dict[tuple[str, ...], list[float]] = defaultdict(list)
    by_app: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for item in observed_reports(world):
        by_template[names[item.template_id]].append(item.latency_ms / 1000)
        for app in {app_family(name) for name, count in item.sessions.items() if count}:
            by_app[(*names[item.template_id], app)].append(item.latency_ms / 1000)

    sampled_counts = {
        **{
            key: sum_bucket_counts(item for user, item in user_latency(stats).items() if user[:2] == key)
            for key in by_template
        },
        **{key: bucket_counts(stats.app_latency[key]) for key in by_app},  # type: ignore[index] # A key of three strings.
    }
    exact = {
        key: bucket_number(percentile(sorted(values), 0.95))
        for key, values in {**by_template, **by_app}.items()
        if len(values) > 2 * MIN_SAMPLES
    }

    assert len(exact) >= 4
    assert exact == {key: quantile_bucket(sampled_counts[key], 0.95) for key in exact}
    # One report of each minute is sampled, and none twice.
    minutes = {(item.agent_id, item.created_at.replace(second=0)) for item in observed_reports(world)}
    sample_count = sum(observation_count(item) for item in user_latency(stats).values())
    assert 0.98 * len(minutes) <= sample_count <= len(minutes)
