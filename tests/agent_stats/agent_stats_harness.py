"""Collectors on a test table, and the comparison of their statistics with the expected ones."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.collector import AgentStatsCollector
from insights_exporter.agent_stats.postgres.reader import create_postgres_collector
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    FilterSettings,
    UsernameMode,
)
from insights_exporter.privacy import Filters, UsernamePolicy
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.snapshot import AgentStats, LatencyHistogram
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.agent_stats_table import AgentStatsTable, ExpectedStats
from tests.support.clock import FakeClock
from tests.support.histograms import bucket_counts
from tests.support.recording_telemetry import RecordingTelemetry

ExpectedHistograms = dict[tuple[str, ...], tuple[list[int], float]]

__all__ = ["CollectorFactory", "assert_stats_match", "build_collector", "latest_stats", "postgres_settings"]


class CollectorFactory(Protocol):
    """Makes collectors that the fixture closes."""

    def __call__(self, table: AgentStatsTable, **overrides: Any) -> AgentStatsCollector:
        """Return a collector that reads the table."""
        ...


def postgres_settings(dsn: str, **overrides: object) -> AgentStatsSettings:
    """Return settings for the source postgres."""
    defaults = AgentStatsSettings(
        source=AgentStatsSource.POSTGRES, dsn=LiteralSecret(Secret(dsn)), statement_timeout=5.0
    )
    return defaults.model_copy(update=overrides)


def build_collector(
    table: AgentStatsTable,
    *,
    telemetry: RecordingTelemetry | None = None,
    filters: FilterSettings | None = None,
    username_policy: UsernamePolicy | None = None,
    state: Path | None = None,
    clock: FakeClock | None = None,
    exponential: bool = False,
    **overrides: object,
) -> AgentStatsCollector:
    """Return a collector that reads the table as superuser."""
    options = {"state_file": state, **overrides}
    dsn = str(options.pop("dsn", table.dsn))
    return create_postgres_collector(
        postgres_settings(dsn, **options),
        Accumulator(
            username_policy or UsernamePolicy(UsernameMode.NAMED),
            Filters(filters or FilterSettings()),
            exponential=exponential,
        ),
        max_staleness=1800.0,
        clock=clock or FakeClock(),
        random=Random(1),
        telemetry=telemetry or RecordingTelemetry(),
    )


def latest_stats(collector: AgentStatsCollector) -> AgentStats:
    """Return the current statistics of a collector."""
    latest = collector.current()
    assert latest is not None
    return latest.value


def assert_stats_match(expected: ExpectedStats, stats: AgentStats) -> None:
    """Assert that the statistics are as expected; series that are not expected must be 0."""
    histogram_pairs: tuple[tuple[ExpectedHistograms, Mapping[Any, LatencyHistogram]], ...] = (
        (expected.latency, user_latency(stats)),
        (expected.app_latency, stats.app_latency),
    )
    for expected_histograms, distributions in histogram_pairs:
        counts = {
            key: list(accumulate(bucket_counts(item)))
            for key, item in distributions.items()
            if any(bucket_counts(item))
        }
        assert {key: item[0] for key, item in expected_histograms.items()} == counts
        sums = {key: item.sum for key, item in distributions.items()}
        for key, (_, total) in expected_histograms.items():
            assert total == pytest.approx(sums[key], rel=1e-9)
    for expected_values, actual_values in (
        (expected.session_seconds, user_seconds(stats)),
        (expected.received, stats.received_bytes),
        (expected.transmitted, stats.transmitted_bytes),
    ):
        assert {key: item for key, item in expected_values.items() if item} == {
            key: item for key, item in actual_values.items() if item
        }
