"""A backfill of a simulated deployment in the process of the test, and readers of what it wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Final

from insights_exporter.backfill.journal import FileRecord
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.backfill.outputs import OpenMetricsFiles, Output
from insights_exporter.backfill.run import Backfill, Summary
from insights_exporter.backfill.samples import RangeSamples
from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import Settings
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from tests.support.in_process_exporter import CODER_SETTINGS, SeriesKey
from tests.support.in_process_session import in_process_session

__all__ = ["SampleRecorder", "Samples", "backfill_in_process", "read_samples"]

SCRAPE_LABELS: Final = {"job", "instance"}

_LABEL_PAIR: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Samples = Mapping[SeriesKey, Mapping[float, float]]
"""Values by Unix time, by series."""


async def backfill_in_process(  # Keywords.
    deployment: SimulatedDeployment,
    clock: Clock,
    output: Path,
    *,
    first_day: date,
    settings: Settings | None = None,
    to: Output | None = None,
    **options: object,
) -> tuple[Summary, Backfill]:
    """Run a backfill to files in a folder, or to another output."""
    settings = settings or Settings(coder=CODER_SETTINGS)
    deployment.now = clock.now
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            CoderClient(settings.coder, clock=clock, rng=Random(1), session=in_process_session(deployment))
        )
        backfill = Backfill(
            client,
            settings,
            BackfillOptions(first_day=first_day, output=output, **options),  # type: ignore[arg-type] # Keywords.
            output=to or OpenMetricsFiles(output),
            clock=clock,
        )
        return await backfill.run(), backfill


@dataclass
class SampleRecorder:
    """An output that keeps the text of each range in memory."""

    text_by_name: dict[str, bytes] = field(default_factory=dict)

    async def write(self, name: str, samples: RangeSamples) -> FileRecord:
        """Keep the text."""
        self.text_by_name[name] = b"".join(samples.text()) + b"# EOF\n"
        return FileRecord(name, samples.series, samples.sample_count, len(self.text_by_name[name]))

    def keep(self, record: FileRecord) -> None:
        """Do nothing."""

    @property
    def samples(self) -> Samples:
        """All samples."""
        return read_samples(self.text_by_name.values())


def read_samples(texts: Iterable[bytes]) -> Samples:
    """Return the samples of OpenMetrics texts; fail on two values at one time.

    The parser of prometheus_client drops histograms that have several timestamps.
    """
    samples: dict[str, dict[float, float]] = {}
    for line in b"".join(texts).decode().splitlines():
        if not line.startswith("#"):
            series, value, timestamp = line.rsplit(" ", 2)
            by_time = samples.setdefault(series, {})
            assert float(timestamp) not in by_time
            by_time[float(timestamp)] = float(value)
    return {_series_key(series): by_time for series, by_time in samples.items()}


def _series_key(series: str) -> SeriesKey:
    name, _, labels = series.partition("{")
    return name, frozenset(pair for pair in _LABEL_PAIR.findall(labels) if pair[0] not in SCRAPE_LABELS)


def midnight(day: date) -> datetime:
    """Return the start of a day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
