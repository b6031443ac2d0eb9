"""An exporter's reader on a test's table, and its numbers beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from insights_exporter.agent_stats import Accumulator, PostgresCollector
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    FilterSettings,
    UsernameMode,
)
from insights_exporter.filters import Filters
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.snapshot import AgentStats, LatencyHistogram
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.agent_stats_table import AgentStatsTable, ExpectedStats
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

ExpectedHistograms = dict[tuple[str, ...], tuple[list[int], float]]

__all__ = ["CollectorFactory", "assert_stats_match", "build_collector", "latest_stats", "postgres_settings"]


class CollectorFactory(Protocol):
    """Makes collectors that are closed when the test ends."""

    def __call__(self, table: AgentStatsTable, **overrides: Any) -> PostgresCollector:
        """Return a collector of a table."""
        ...


def postgres_settings(dsn: str, **overrides: object) -> AgentStatsSettings:
    """Return settings for the source postgres."""
    defaults = AgentStatsSettings(
        source=AgentStatsSource.POSTGRES, dsn=LiteralSecret(Secret(dsn)), statement_timeout=5.0
    )
    return replace(defaults, **overrides)  # type: ignore[arg-type] # The names are those of the fields.


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
) -> PostgresCollector:
    """Return a collector that reads a table as whoever may do everything."""
    options = {"state_file": state, **overrides}
    dsn = str(options.pop("dsn", table.dsn))
    return PostgresCollector(
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


def latest_stats(collector: PostgresCollector) -> AgentStats:
    """Return what a collector knows."""
    latest = collector.current()
    assert latest is not None
    return latest.value


def assert_stats_match(expected: ExpectedStats, stats: AgentStats) -> None:
    """Assert that everything is as the table says; what it says nothing of is zero."""
    histogram_pairs: tuple[tuple[ExpectedHistograms, Mapping[Any, LatencyHistogram]], ...] = (
        (expected.latency, user_latency(stats)),
        (expected.app_latency, stats.app_latency),
    )
    for expected_histograms, distributions in histogram_pairs:
        counts = {
            key: list(accumulate(item.bucket_counts))
            for key, item in distributions.items()
            if any(item.bucket_counts)
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
