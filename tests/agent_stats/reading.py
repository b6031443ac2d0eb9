"""An exporter's reader on a test's table, and its numbers beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from insights_exporter.collectors.agent_stats import Ledger, PostgresCollector
from insights_exporter.filters import Filters
from insights_exporter.redaction import Redaction
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    FilterSettings,
    UserNames,
)
from insights_exporter.snapshot import AgentStats, Distribution
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.agent_table import Table, Truth
from tests.support.clock import FakeClock
from tests.support.told import Told

Distributions = dict[tuple[str, ...], tuple[list[int], float]]

__all__ = ["Collect", "collecting", "compare", "settings", "statement"]


class Collect(Protocol):
    """Makes collectors that are closed when the test ends."""

    def __call__(self, table: Table, **changed: Any) -> PostgresCollector:
        """Return a collector of a table."""
        ...


def settings(dsn: str, **changed: object) -> AgentStatsSettings:
    """Return settings for the source postgres."""
    plain = AgentStatsSettings(
        source=AgentStatsSource.POSTGRES, dsn=LiteralSecret(Secret(dsn)), statement_timeout=5.0
    )
    return replace(plain, **changed)  # type: ignore[arg-type] # The names are those of the fields.


def collecting(
    table: Table,
    *,
    told: Told | None = None,
    filters: FilterSettings | None = None,
    redaction: Redaction | None = None,
    state: Path | None = None,
    clock: FakeClock | None = None,
    exponential: bool = False,
    **changed: object,
) -> PostgresCollector:
    """Return a collector that reads a table as whoever may do everything."""
    given = {"state_file": state, **changed}
    dsn = str(given.pop("dsn", table.dsn))
    return PostgresCollector(
        settings(dsn, **given),
        Ledger(
            redaction or Redaction(UserNames.NAMED),
            Filters(filters or FilterSettings()),
            exponential=exponential,
        ),
        max_staleness=1800.0,
        clock=clock or FakeClock(),
        random=Random(1),
        telemetry=told or Told(),
    )


def statement(reader: PostgresCollector) -> AgentStats:
    """Return what a collector knows."""
    reading = reader.current()
    assert reading is not None
    return reading.value


def compare(truth: Truth, found: AgentStats) -> None:
    """Assert that everything is as the table says; what it says nothing of is zero."""
    parts: tuple[tuple[Distributions, Mapping[Any, Distribution]], ...] = (
        (truth.latency, user_latency(found)),
        (truth.app_latency, found.app_latency),
    )
    for true, seen in parts:
        counts = {key: list(accumulate(one.counts)) for key, one in seen.items() if any(one.counts)}
        assert {key: one[0] for key, one in true.items()} == counts
        sums = {key: one.total for key, one in seen.items()}
        for key, (_, total) in true.items():
            assert total == pytest.approx(sums[key], rel=1e-9)
    for numbers, shown in (
        (truth.session_seconds, user_seconds(found)),
        (truth.received, found.received_bytes),
        (truth.transmitted, found.transmitted_bytes),
    ):
        assert {key: one for key, one in numbers.items() if one} == {
            key: one for key, one in shown.items() if one
        }
