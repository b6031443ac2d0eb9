"""A simulated deployment with agent reports in a real PostgreSQL, and readers of their backfill."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import asyncpg

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.collector import AgentStatsCollector
from insights_exporter.agent_stats.postgres.reader import create_postgres_collector
from insights_exporter.backfill.agent_history import STATE_FILE_NAME
from insights_exporter.backfill.command import backfill
from insights_exporter.backfill.options import BackfillOptions
from insights_exporter.backfill.samples import SampleSteps
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    InsightsSettings,
    PrivacySettings,
    Settings,
    UsernameMode,
)
from insights_exporter.metrics.catalogue import AGENT_STATS_FAMILIES
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.metrics.family import MetricType
from insights_exporter.privacy import Filters, load_username_policy
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.postgres import AgentStatsTables
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry
from tests.support.backfill import backfill_in_process, read_samples
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, SeriesKey
from tests.support.in_process_session import in_process_session
from tests.support.postgres import Postgres

__all__ = [
    "CUMULATIVE_NAMES",
    "END",
    "HASHED",
    "MIDNIGHT",
    "NOW",
    "OLDEST",
    "SINCE",
    "Coder",
    "agent_samples",
    "read_files",
    "scrape_of_new_exporter",
    "served",
]

NOW = datetime(2026, 10, 7, 15, 20, tzinfo=UTC)
OLDEST = datetime(2026, 10, 6, 14, 50, tzinfo=UTC)
SINCE = datetime(2026, 10, 6, 15, tzinfo=UTC)
END = datetime(2026, 10, 7, 12, tzinfo=UTC)
FIRST_DAY = date(2026, 10, 5)
MIDNIGHT = datetime(2026, 10, 7, tzinfo=UTC)
STEPS = SampleSteps(600, 3600)
HASHED = PrivacySettings(users=UsernameMode.HASHED, hash_key=LiteralSecret(Secret("0123456789abcdef")))
FAMILY_NAMES = frozenset(family.base_name for family in AGENT_STATS_FAMILIES)
CUMULATIVE_NAMES = {
    name
    for family in AGENT_STATS_FAMILIES
    if family.type is not MetricType.GAUGE
    for name in (
        [family.name]
        if family.type is MetricType.COUNTER
        else [f"{family.name}_{suffix}" for suffix in ("bucket", "count", "sum")]
    )
}

Series = Mapping[SeriesKey, float]


@dataclass(frozen=True)
class Coder:
    """A simulated deployment whose agent reports of a day are in a database."""

    deployment: SimulatedDeployment
    postgres: Postgres
    database: str

    def settings(self, **overrides: object) -> Settings:
        """Return settings with the database as source of agent statistics."""
        agent_stats = AgentStatsSettings(
            source=AgentStatsSource.POSTGRES, dsn=LiteralSecret(Secret(self.postgres.dsn(self.database)))
        )
        insights = InsightsSettings(windows=("today", "7d"), weeks=1)
        settings = Settings(coder=CODER_SETTINGS, insights=insights, agent_stats=agent_stats)
        return settings.model_copy(update=overrides)

    def collector(self, settings: Settings) -> AgentStatsCollector:
        """Return a live collector."""
        return create_postgres_collector(
            settings.agent_stats,
            Accumulator(load_username_policy(settings.privacy), Filters(settings.filters)),
            max_staleness=1800,
            clock=FakeClock(NOW),
            random=Random(1),
            telemetry=Telemetry(),
        )

    async def insert(self, since: datetime, until: datetime, *, create: bool = False) -> None:
        """Insert the reports of a time."""
        connection = await asyncpg.connect(self.postgres.dsn(self.database))
        try:
            tables = AgentStatsTables(connection, self.deployment.world, json_session_counts=True)
            if create:
                await tables.create(NOW)
            await tables.insert_reports(since, until)
        finally:
            await connection.close()

    def total(self, column: str, start: datetime, end: datetime, *, where: str = "true") -> float:
        """Return a sum over the reports of a time."""
        times = f"created_at >= '{start.isoformat()}' AND created_at < '{end.isoformat()}'"
        query = f"SELECT {column} FROM workspace_agent_stats WHERE {times} AND {where}"  # noqa: S608 # Constants.
        return float(self.postgres.sql(query, database=self.database))

    def delete_reports(self) -> None:
        """Delete all reports, as Coder does after a day."""
        self.postgres.sql("DELETE FROM workspace_agent_stats", database=self.database)

    async def backfill(self, folder: Path, settings: Settings | None = None) -> dict[str, bytes]:
        """Run a backfill, and return its files."""
        await backfill_in_process(
            self.deployment,
            FakeClock(NOW),
            folder,
            first_day=FIRST_DAY,
            settings=settings or self.settings(),
            steps=STEPS,
        )
        return read_files(folder)

    async def command(self, folder: Path, settings: Settings | None = None, **options: object) -> list[str]:
        """Run the command, and return the reported lines."""
        lines: list[str] = []
        self.deployment.now = lambda: NOW
        async with CoderClient(
            CODER_SETTINGS, clock=FakeClock(NOW), rng=Random(1), session=in_process_session(self.deployment)
        ) as client:
            await backfill(
                client,
                settings or self.settings(),
                BackfillOptions(first_day=FIRST_DAY, output=folder, steps=STEPS, **options),  # type: ignore[arg-type] # Keywords.
                clock=FakeClock(NOW),
                report=lines.append,
            )
        return lines


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the output files by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def agent_samples(files: Mapping[str, bytes]) -> dict[SeriesKey, Mapping[float, float]]:
    """Return the samples of agent statistics by series."""
    texts = [text for name, text in files.items() if name.endswith(".openmetrics")]
    samples = read_samples(texts)
    return {
        key: values
        for key, values in samples.items()
        if any(key[0].startswith(name) for name in FAMILY_NAMES)
    }


async def served(collector: AgentStatsCollector, settings: Settings) -> bytes:
    """Return the exposition of a live exporter's current agent statistics."""
    exposition = Exposition(
        username_policy=load_username_policy(settings.privacy),
        limits=settings.limits,
        after_block=lambda: None,
    )
    await exposition.publish(Snapshot(NOW, agent_stats=collector.current()))
    return exposition.body(Format.OPENMETRICS, gzip=False)


async def scrape_of_new_exporter(past: Coder, written: Path) -> bytes:
    """Return the first scrape of an exporter that continues from the state file of a backfill."""
    state_file = written.parent / "state" / STATE_FILE_NAME
    state_file.parent.mkdir(exist_ok=True)
    shutil.copy(written / STATE_FILE_NAME, state_file)
    settings = past.settings()
    agent_stats = settings.agent_stats.model_copy(update={"state_file": state_file})
    collector = past.collector(settings.model_copy(update={"agent_stats": agent_stats}))
    await collector.restore()
    past.postgres.freeze_clock(past.database, NOW)
    try:
        assert await collector.read_once()
    finally:
        collector.close()
        past.postgres.unfreeze_clock(past.database)
    return await served(collector, settings)
