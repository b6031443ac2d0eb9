# ruff: noqa: S608 - tests write their own SQL.

"""What Prometheus says of a day's latency is true, by template and by app."""

from __future__ import annotations

import asyncio
import math
import subprocess
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from insights_exporter.collectors.agent_stats import Ledger, PostgresCollector
from insights_exporter.filters import Filters
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.families import families
from insights_exporter.metrics.text import Format, render
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, UserNames
from insights_exporter.simulator.generated import Size, generate
from insights_exporter.simulator.postgres import report_tables
from insights_exporter.snapshot import AgentStats, Reading, Snapshot
from tests.agent_stats.reading import settings
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres
from tests.support.prometheus import Prometheus
from tests.support.recorder import stamped
from tests.support.told import Told

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = NOW - timedelta(days=1)
REDACTION = Redaction(UserNames.NAMED)
LIMITS = LimitSettings(series_per_family=1_000_000)
APPS = {"vscode": "vscode", "jetbrains": "jetbrains", "reconnecting_pty": "reconnecting-pty", "ssh": "ssh"}


def page(known: AgentStats, at: datetime) -> bytes:
    """Return what Prometheus keeps of a scrape."""
    found = families(Snapshot(at, agent_stats=Reading(known, at)), redaction=REDACTION, limits=LIMITS)
    return stamped(bytes(render(found.samples, Format.TEXT)), at, job="exporter", instance="one")


async def recorded(server: Postgres, database: str, out: Path) -> None:
    """Scrape an exporter every half hour while a simulated day passes."""
    world = generate(Size(templates=4, users=40))
    async with report_tables(server.dsn(database), world, counts=True, now=lambda: NOW):
        pass
    clock = FakeClock(DAY)
    ledger = Ledger(REDACTION, Filters())
    reader = PostgresCollector(
        settings(server.dsn(database)),
        ledger,
        max_staleness=1800.0,
        clock=clock,
        random=Random(1),
        telemetry=Told(),
    )
    with out.open("wb") as file:
        for number in range(49):
            now = DAY + number * timedelta(minutes=30)
            _set_clock(server, database, now)
            assert await reader.read_once(), reader.failing
            reading = reader.current()
            assert reading is not None
            file.write(page(reading.value, now))
            clock.advance(1800)
        file.write(b"# EOF\n")
    reader.close()
    await asyncio.sleep(0)


def _set_clock(server: Postgres, database: str, now: datetime) -> None:
    """Let the database be at a moment, and hide what is yet to come."""
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
def day(
    postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Postgres, str]]:
    """Give a Prometheus that has scraped for a day, and the database that the exporter read."""
    folder, database = tmp_path_factory.mktemp("day"), postgres_server.new_database()
    asyncio.run(recorded(postgres_server, database, folder / "text"))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    subprocess.run([*command, folder / "text", folder / "blocks"], check=True, capture_output=True)
    with Prometheus.serving(folder / "blocks") as prometheus:
        yield prometheus, postgres_server, database


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_quantiles_by_template_lie_in_the_bucket_of_the_true_one(
    day: tuple[Prometheus, Postgres, str], share: float
) -> None:
    prometheus, server, database = day
    family = "coder_insights_connection_latency_seconds_bucket"
    query = (
        f"histogram_quantile({share}, sum by (le, organization_name, template_name) (increase({family}[1d])))"
    )
    told = {
        (labels["organization_name"], labels["template_name"]): points[0][1]
        for labels, points in prometheus.instant(query, NOW)
    }
    true = truth(server, database, share, "TRUE", "true")

    assert {key: place(value) for key, value in told.items()} == {
        (organization, template): place(value) for (organization, template, _), value in true.items()
    }
    assert len(true) > 1


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_quantiles_by_app_lie_in_the_bucket_of_the_true_one(
    day: tuple[Prometheus, Postgres, str], share: float
) -> None:
    prometheus, server, database = day
    family = "coder_insights_app_connection_latency_seconds_bucket"
    labels = "le, organization_name, template_name, app"
    query = f"histogram_quantile({share}, sum by ({labels}) (increase({family}[1d])))"
    told = {
        (one["organization_name"], one["template_name"], one["app"]): place(points[0][1])
        for one, points in prometheus.instant(query, NOW)
        # Nobody was in the others.
        if not math.isnan(points[0][1])
    }
    family_of = "CASE WHEN key = 'cursor' THEN 'vscode' ELSE replace(key, '_', '-') END"
    true = truth(server, database, share, "value::int > 0", family_of)

    assert told == {key: place(value) for key, value in true.items()}
    assert {app for _, _, app in true} == set(APPS.values())


def place(seconds: float) -> int:
    """Return the bucket that a latency lies in; a bound belongs to the bucket below it."""
    return bisect_left(LATENCY_BUCKETS, seconds)


def truth(
    server: Postgres, database: str, share: float, condition: str, app: str
) -> dict[tuple[str, str, str], float]:
    """Return the smallest latency that this share of the reports does not exceed, in seconds."""
    apps = "CROSS JOIN LATERAL jsonb_each_text(session_counts) AS e(key, value)" if "key" in app else ""
    rows = server.sql(
        f"SELECT o.name, t.name, {app}, percentile_disc({share}) WITHIN GROUP"
        " (ORDER BY connection_median_latency_ms) / 1000 FROM public.workspace_agent_stats s"
        " JOIN public.templates t ON t.id = s.template_id"
        f" JOIN public.organizations o ON o.id = t.organization_id {apps}"
        f" WHERE connection_median_latency_ms > 0 AND NOT usage AND {condition} GROUP BY 1, 2, 3",
        database=database,
    )
    found = [line.split("|") for line in rows.splitlines()]
    return {(organization, template, name): float(value) for organization, template, name, value in found}
