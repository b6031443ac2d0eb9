"""Quantiles in Prometheus equal those of the database over a day, by template and by app."""

# ruff: noqa: S608  # The SQL consists of constants of the tests.

from __future__ import annotations

import asyncio
import math
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.aggregate import bucket_number
from insights_exporter.agent_stats.postgres.reader import create_postgres_collector
from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import Filters, UsernamePolicy
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.postgres import populate_database
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from tests.agent_stats.agent_stats_harness import postgres_settings
from tests.support.clock import FakeClock
from tests.support.exposition_text import encode_exposition
from tests.support.history_recorder import to_timestamped_samples
from tests.support.postgres import Postgres
from tests.support.prometheus import Prometheus
from tests.support.recording_telemetry import RecordingTelemetry

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = NOW - timedelta(days=1)
USERNAME_POLICY = UsernamePolicy(UsernameMode.NAMED)
LIMITS = LimitSettings(series_per_family=1_000_000)
APPS = {"vscode": "vscode", "jetbrains": "jetbrains", "reconnecting_pty": "reconnecting-pty", "ssh": "ssh"}


def scrape_text(stats: AgentStats, at: datetime) -> bytes:
    """Return a scrape as samples with a timestamp."""
    rendered = build_families(
        Snapshot(at, agent_stats=Timestamped(stats, at)), username_policy=USERNAME_POLICY, limits=LIMITS
    )
    return to_timestamped_samples(
        encode_exposition(rendered.samples, Format.TEXT), at, job="exporter", instance="one"
    )


async def record_day(server: Postgres, database: str, output_file: Path) -> None:
    """Scrape an exporter every half hour while a simulated day passes."""
    world = generate_world(Size(templates=4, users=40))
    async with populate_database(server.dsn(database), world, json_session_counts=True, now=lambda: NOW):
        pass
    clock = FakeClock(DAY)
    accumulator = Accumulator(USERNAME_POLICY, Filters())
    collector = create_postgres_collector(
        postgres_settings(server.dsn(database)),
        accumulator,
        max_staleness=1800.0,
        clock=clock,
        random=Random(1),
        telemetry=RecordingTelemetry(),
    )
    with output_file.open("wb") as file:
        for number in range(49):
            now = DAY + number * timedelta(minutes=30)
            _set_clock(server, database, now)
            assert await collector.read_once(), collector.failure_reason
            reading = collector.current()
            assert reading is not None
            file.write(scrape_text(reading.value, now))
            clock.advance(1800)
        file.write(b"# EOF\n")
    collector.close()
    await asyncio.sleep(0)


def _set_clock(server: Postgres, database: str, now: datetime) -> None:
    """Set the clock of the database and hide later rows."""
    server.sql(
        f"ALTER DATABASE {database} SET search_path = at_a_moment, public, pg_catalog;"
        "CREATE SCHEMA IF NOT EXISTS at_a_moment;"
        "CREATE OR REPLACE FUNCTION at_a_moment.now() RETURNS timestamptz LANGUAGE sql STABLE AS"
        f" $$SELECT '{now.isoformat()}'::timestamptz$$;"
        "CREATE OR REPLACE VIEW at_a_moment.workspace_agent_stats AS"
        " SELECT * FROM public.workspace_agent_stats WHERE created_at < at_a_moment.now()",
        database=database,
    )


@pytest.fixture(scope="module")
def recorded_day(
    postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Postgres, str]]:
    """Start a Prometheus with a day of scrapes, and yield it with the database that the exporter read."""
    folder, database = tmp_path_factory.mktemp("day"), postgres_server.new_database()
    asyncio.run(record_day(postgres_server, database, folder / "text"))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    subprocess.run([*command, folder / "text", folder / "blocks"], check=True, capture_output=True)
    with Prometheus.run(folder / "blocks") as prometheus:
        yield prometheus, postgres_server, database


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_template_quantiles_are_in_the_exact_bucket(
    recorded_day: tuple[Prometheus, Postgres, str], quantile: float
) -> None:
    prometheus, server, database = recorded_day
    family = "coder_insights_connection_latency_seconds_bucket"
    query = (
        f"histogram_quantile({quantile},"
        f" sum by (le, organization_name, template_name) (increase({family}[1d])))"
    )
    estimated = {
        (labels["organization_name"], labels["template_name"]): points[0][1]
        for labels, points in prometheus.query(query, NOW)
    }
    exact = exact_quantiles(server, database, quantile, "TRUE", "true")

    assert {key: bucket_number(value) for key, value in estimated.items()} == {
        (organization, template): bucket_number(value) for (organization, template, _), value in exact.items()
    }
    assert len(exact) > 1


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_app_quantiles_are_in_the_exact_bucket(
    recorded_day: tuple[Prometheus, Postgres, str], quantile: float
) -> None:
    prometheus, server, database = recorded_day
    family = "coder_insights_app_connection_latency_seconds_bucket"
    labels = "le, organization_name, template_name, app"
    query = f"histogram_quantile({quantile}, sum by ({labels}) (increase({family}[1d])))"
    estimated = {
        (
            sample_labels["organization_name"],
            sample_labels["template_name"],
            sample_labels["app"],
        ): bucket_number(points[0][1])
        for sample_labels, points in prometheus.query(query, NOW)
        # The other histograms are empty.
        if not math.isnan(points[0][1])
    }
    family_of = "CASE WHEN key = 'cursor' THEN 'vscode' ELSE replace(key, '_', '-') END"
    exact = exact_quantiles(server, database, quantile, "value::int > 0", family_of)

    assert estimated == {key: bucket_number(value) for key, value in exact.items()}
    assert {app for _, _, app in exact} == set(APPS.values())


def exact_quantiles(
    server: Postgres, database: str, quantile: float, condition: str, app: str
) -> dict[tuple[str, str, str], float]:
    """Return the exact quantile in seconds by organization, template and app."""
    apps = "CROSS JOIN LATERAL jsonb_each_text(session_counts) AS e(key, value)" if "key" in app else ""
    rows = server.sql(
        f"SELECT o.name, t.name, {app}, percentile_disc({quantile}) WITHIN GROUP"
        " (ORDER BY connection_median_latency_ms) / 1000 FROM public.workspace_agent_stats s"
        " JOIN public.templates t ON t.id = s.template_id"
        f" JOIN public.organizations o ON o.id = t.organization_id {apps}"
        f" WHERE connection_median_latency_ms > 0 AND NOT usage AND {condition} GROUP BY 1, 2, 3",
        database=database,
    )
    records = [line.split("|") for line in rows.splitlines()]
    return {(organization, template, name): float(value) for organization, template, name, value in records}
