"""Exponential histograms: the observations of explicit ones, at the highest scale that fits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.config.settings import LimitSettings, OtlpSettings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue import LATENCY_SCALE
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.instruments import instrument_name
from insights_exporter.otlp.points import MAX_BUCKETS, downscale
from insights_exporter.snapshot import AgentStats, LatencyHistogram, Snapshot, Timestamped
from tests.support.exposition_parsing import parse_series
from tests.support.otlp_pusher import otlp_pusher_harness
from tests.support.otlp_receiver import data_points, http_receiver
from tests.support.snapshots import NOW, rich_snapshot

DEFAULT_LIMITS = LimitSettings()
GO_TEMPLATE = ("acme", "go")
BUCKET_COUNT = len(catalogue.LATENCY_BUCKETS) + 1


@given(st.dictionaries(st.integers(-400, 400), st.integers(1, 10**9), max_size=50))
def test_downscaling_preserves_counts(exponential_buckets: dict[int, int]) -> None:
    scale, offset, counts = downscale(exponential_buckets)
    merged: Counter[int] = Counter()
    for index, count in exponential_buckets.items():
        merged[index >> (LATENCY_SCALE - scale)] += count

    assert len(counts) <= MAX_BUCKETS
    assert {offset + position: count for position, count in enumerate(counts) if count} == merged


@given(st.lists(st.integers(-400, 400), min_size=1, max_size=50))
def test_scale_is_the_highest_that_fits(indexes: list[int]) -> None:
    scale, _, _ = downscale(Counter(indexes))
    shift = LATENCY_SCALE - scale - 1

    assert scale == LATENCY_SCALE or (max(indexes) >> shift) - (min(indexes) >> shift) >= MAX_BUCKETS


def snapshot_of_counts(*exponential_buckets: dict[int, int]) -> Snapshot:
    """Return a snapshot with one user per mapping; the explicit buckets have the same total count."""
    users = {
        f"user-{number}": LatencyHistogram(
            sum(counts.values()), BUCKET_COUNT, 0.004 * sum(counts.values()), NOW, counts
        )
        for number, counts in enumerate(exponential_buckets)
    }
    apps = {(*GO_TEMPLATE, "ssh"): LatencyHistogram(0, BUCKET_COUNT, 0.0, NOW)}
    stats = AgentStats(NOW, latency={GO_TEMPLATE: users}, app_latency=apps, exponential=True)
    return Snapshot(NOW, agent_stats=Timestamped(stats, NOW))


async def pushed_points(
    snapshot: Snapshot, family: Family, limits: LimitSettings = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Return the pushed points of a family by the value of the last label."""
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(OtlpSettings(endpoint=fake_receiver.address), limits=limits) as harness,
    ):
        await harness.publish(snapshot)
    (metric,) = [
        metric
        for resource_metrics in fake_receiver.requests[0].resource_metrics
        for metric in resource_metrics.scope_metrics[0].metrics
        if metric.name == instrument_name(family)
    ]

    assert metric.HasField("exponential_histogram")
    assert metric.exponential_histogram.aggregation_temporality == 2
    return {point.attributes[-1].value.string_value: point for point in data_points(metric)}


async def test_exponential_histograms_replace_explicit_ones() -> None:
    points = await pushed_points(snapshot_of_counts({-64: 2, -60: 1}, {-40: 7}), catalogue.CONNECTION_LATENCY)
    first = points["user-0"]

    assert points.keys() == {"user-0", "user-1"}
    assert (first.scale, first.positive.offset, list(first.positive.bucket_counts)) == (
        3,
        -64,
        [2, 0, 0, 0, 1],
    )
    assert (first.count, first.sum, first.zero_count) == (3, 0.004 * 3, 0)
    assert first.start_time_unix_nano == NOW.timestamp() * 1e9
    assert not first.HasField("min")
    assert not first.HasField("max")


async def test_empty_exponential_histogram() -> None:
    points = await pushed_points(snapshot_of_counts({}), catalogue.APP_CONNECTION_LATENCY)

    assert (points["ssh"].count, list(points["ssh"].positive.bucket_counts)) == (0, [])


async def test_folded_exponential_histograms_match_the_exposition() -> None:
    limits = LimitSettings(
        families={catalogue.CONNECTION_LATENCY.name: 2 * (len(catalogue.LATENCY_BUCKETS) + 3)}
    )
    points = await pushed_points(
        snapshot_of_counts({-64: 9}, {-60: 2}, {-60: 1, -8: 1}), catalogue.CONNECTION_LATENCY, limits
    )
    other = points[catalogue.OTHER]

    assert points.keys() == {"user-0", catalogue.OTHER}
    assert (other.count, other.positive.offset, other.positive.bucket_counts[0]) == (4, -60, 3)


async def test_exposition_is_unaffected_by_exponential_counts() -> None:
    plain = rich_snapshot(templates=2, users=3)
    assert plain.agent_stats is not None
    stats = replace(plain.agent_stats.value, exponential=True)
    with_exponential = replace(plain, agent_stats=Timestamped(stats, NOW))
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(OtlpSettings(endpoint=fake_receiver.address)) as harness,
    ):
        await harness.publish(plain)
        before = parse_series(harness.exposition.body(Format.OPENMETRICS, gzip=False))
        await harness.publish(with_exponential)
        after = parse_series(harness.exposition.body(Format.OPENMETRICS, gzip=False))
    pushed = [
        metric
        for resource_metrics in fake_receiver.requests[-1].resource_metrics
        for metric in resource_metrics.scope_metrics[0].metrics
    ]

    assert any(name == f"{catalogue.CONNECTION_LATENCY.name}_bucket" for name, _ in before)
    assert any(metric.HasField("exponential_histogram") for metric in pushed)
    assert after == before
