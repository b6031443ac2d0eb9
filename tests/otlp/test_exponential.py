"""Exponential histograms: the same observations, in buckets as fine as fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue import LATENCY_SCALE
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.naming import instrument_name
from insights_exporter.metrics.otlp.exponential import MOST_BUCKETS, fitting
from insights_exporter.metrics.text import Format
from insights_exporter.settings import LimitSettings, OtlpSettings
from insights_exporter.snapshot import AgentStats, Distribution, Reading, Snapshot
from tests.support.expositions import series
from tests.support.otlp import points_of, receiver
from tests.support.pushing import pushing
from tests.support.snapshots import NOW, rich_snapshot

LIMITLESS = LimitSettings()
GO = ("acme", "go")
PLACES = len(catalogue.LATENCY_BUCKETS) + 1


@given(st.dictionaries(st.integers(-400, 400), st.integers(1, 10**9), max_size=50))
def test_no_observation_is_lost_or_moved_to_another_bucket(fine: dict[int, int]) -> None:
    scale, offset, counts = fitting(fine)
    joined: Counter[int] = Counter()
    for index, count in fine.items():
        joined[index >> (LATENCY_SCALE - scale)] += count

    assert len(counts) <= MOST_BUCKETS
    assert {offset + place: count for place, count in enumerate(counts) if count} == joined


@given(st.lists(st.integers(-400, 400), min_size=1, max_size=50))
def test_the_scale_is_the_finest_that_fits(indexes: list[int]) -> None:
    scale, _, _ = fitting(Counter(indexes))
    finer = LATENCY_SCALE - scale - 1

    assert scale == LATENCY_SCALE or (max(indexes) >> finer) - (min(indexes) >> finer) >= MOST_BUCKETS


def counted(*fine: dict[int, int]) -> Snapshot:
    """Return a snapshot with a user for each of these, whose explicit buckets have the same number."""
    users = {
        f"user-{number}": Distribution(sum(one.values()), PLACES, 0.004 * sum(one.values()), NOW, one)
        for number, one in enumerate(fine)
    }
    apps = {(*GO, "ssh"): Distribution(0, PLACES, 0.0, NOW)}
    stats = AgentStats(NOW, latency={GO: users}, app_latency=apps, exponential=True)
    return Snapshot(NOW, agent_stats=Reading(stats, NOW))


async def pushed(snapshot: Snapshot, family: Family, limits: LimitSettings = LIMITLESS) -> dict[str, Any]:
    """Return the points that arrive of a family by the value of its last label."""
    async with receiver() as one, pushing(OtlpSettings(endpoint=one.address), limits=limits) as pair:
        await pair.publish(snapshot)
    (metric,) = [
        metric
        for described in one.requests[0].resource_metrics
        for metric in described.scope_metrics[0].metrics
        if metric.name == instrument_name(family)
    ]

    assert metric.HasField("exponential_histogram")
    assert metric.exponential_histogram.aggregation_temporality == 2
    return {point.attributes[-1].value.string_value: point for point in points_of(metric)}


async def test_they_arrive_in_place_of_explicit_ones() -> None:
    points = await pushed(counted({-64: 2, -60: 1}, {-40: 7}), catalogue.CONNECTION_LATENCY)
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


async def test_a_histogram_without_observations_is_empty() -> None:
    points = await pushed(counted({}), catalogue.APP_CONNECTION_LATENCY)

    assert (points["ssh"].count, list(points["ssh"].positive.bucket_counts)) == (0, [])


async def test_users_above_the_limit_are_added_up_as_on_the_page() -> None:
    limits = LimitSettings(families={catalogue.CONNECTION_LATENCY.name: 2 * 17})
    points = await pushed(counted({-64: 9}, {-60: 2}, {-60: 1, -8: 1}), catalogue.CONNECTION_LATENCY, limits)
    other = points[catalogue.OTHER]

    assert points.keys() == {"user-0", catalogue.OTHER}
    assert (other.count, other.positive.offset, other.positive.bucket_counts[0]) == (4, -60, 3)


async def test_the_page_does_not_change() -> None:
    plain = rich_snapshot(templates=2, users=3)
    assert plain.agent_stats is not None
    told = replace(plain.agent_stats.value, exponential=True)
    with_them = replace(plain, agent_stats=Reading(told, NOW))
    async with receiver() as one, pushing(OtlpSettings(endpoint=one.address)) as pair:
        await pair.publish(plain)
        before = series(pair.exposition.page(Format.OPENMETRICS, gzip=False))
        await pair.publish(with_them)

        assert series(pair.exposition.page(Format.OPENMETRICS, gzip=False)) == before
