"""The database tells of the same events as the API."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from insights_exporter.collectors.agent_stats import Ledger, PostgresCollector
from insights_exporter.errors import ConfigError
from insights_exporter.filters import Filters
from insights_exporter.redaction import Redaction
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import AgentStatsSettings, AgentStatsSource, UserNames
from insights_exporter.simulator.generated import GeneratedWorld, Size, generate
from insights_exporter.simulator.postgres import BACKLOG, report_tables
from insights_exporter.simulator.stage import stage
from insights_exporter.snapshot import AgentStats
from tests.support.agent_stats import user_seconds
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres, postgres, postgres_server
from tests.support.simulated import client_of
from tests.support.told import Told

__all__ = ["postgres", "postgres_server"]

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = NOW - BACKLOG
SIZE = Size(templates=3, users=10)


@asynccontextmanager
async def written(
    server: Postgres, world: GeneratedWorld, *, counts: bool
) -> AsyncIterator[tuple[str, int, Callable[[datetime], asyncio.Future[None]]]]:
    """Yield a filled database, the number of its rows, and what lets time pass there."""
    database, moment = server.new_database(), [NOW]
    turns: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
    passed: list[asyncio.Future[None]] = []

    async def sleep(_: float) -> None:
        for one in passed:
            one.set_result(None)
        passed[:] = [await turns.get()]

    def pass_time(until: datetime) -> asyncio.Future[None]:
        moment[0] = until
        done = asyncio.get_running_loop().create_future()
        turns.put_nowait(done)
        return done

    dsn = server.dsn(database)
    async with report_tables(dsn, world, counts=counts, now=lambda: moment[0], sleep=sleep) as rows:
        yield database, rows, pass_time


async def counted(server: Postgres, database: str, *, since: datetime) -> AgentStats:
    """Return what an exporter counts of a database."""
    server.sql(
        f"ALTER DATABASE {database} SET search_path = public, pg_catalog;"
        "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS"
        f" $$SELECT '{NOW.isoformat()}'::timestamptz$$",
        database=database,
    )
    ledger = Ledger(Redaction(UserNames.NAMED), Filters())
    organization = server.sql("SELECT id FROM organizations WHERE is_default", database=database)
    ledger.begin(since, identity=organization, position=since.isoformat())
    source = LiteralSecret(Secret(server.dsn(database)))
    reader = PostgresCollector(
        AgentStatsSettings(source=AgentStatsSource.POSTGRES, dsn=source),
        ledger,
        max_staleness=1800.0,
        clock=FakeClock(),
        random=Random(1),
        telemetry=Told(),
    )
    try:
        assert await reader.read_once(), reader.failing
    finally:
        reader.close()
        await asyncio.sleep(0)
    reading = reader.current()
    assert reading is not None
    return reading.value


@pytest.mark.parametrize("counts", [False, True], ids=["columns", "session_counts"])
async def test_rows_are_the_reports_of_the_world(postgres: Postgres, *, counts: bool) -> None:
    world = generate(SIZE)
    reports = list(world.agent_reports(DAY, NOW))
    async with written(postgres, world, counts=counts) as (database, rows, _):
        told = postgres.sql(
            "SELECT count(*), sum(rx_bytes), sum(connection_count) FROM workspace_agent_stats",
            database=database,
        )

    assert rows == len(reports) > 1000
    assert told == f"{rows}|{sum(one.rx_bytes for one in reports)}|{sum(r.connection_count for r in reports)}"


@pytest.mark.parametrize("counts", [False, True], ids=["columns", "session_counts"])
async def test_minutes_of_the_rows_are_the_seconds_of_the_api(postgres: Postgres, *, counts: bool) -> None:
    world, clock = generate(SIZE), FakeClock(NOW + timedelta(hours=6))
    async with written(postgres, world, counts=counts) as (database, _, _):
        found = await counted(postgres, database, since=DAY)
    seconds: dict[tuple[str, str, str], float] = {}
    for (organization, name, _user, app_name), value in user_seconds(found).items():
        key = (organization, name, app_name)
        seconds[key] = seconds.get(key, 0.0) + value
    told: dict[tuple[str, str, str], float] = {}
    async with client_of(stage(SIZE, world=world), clock=clock) as client:
        for template in world.templates:
            answer = await client.template_insights(DAY, NOW, template_ids=(template.id,))
            assert answer.report is not None
            for app in answer.report.apps_usage:
                if app.type == "builtin" and app.seconds:
                    told[template.organization.name, template.name, app.slug] = app.seconds

    assert told == seconds


async def test_more_rows_come_as_time_goes_on_and_old_ones_go(postgres: Postgres) -> None:
    world, later = generate(SIZE), NOW + timedelta(hours=12)
    async with written(postgres, world, counts=True) as (database, _, pass_time):
        async with asyncio.timeout(20):
            await pass_time(NOW + timedelta(hours=11))
            await pass_time(later)
        told = postgres.sql(
            "SELECT min(created_at) >= '2026-01-14 12:00Z', count(*) FROM workspace_agent_stats",
            database=database,
        )
    expected = len(list(world.agent_reports(later - BACKLOG, later)))

    assert told == f"t|{expected}"


async def test_a_database_of_somebody_else_is_left_alone(postgres: Postgres) -> None:
    database = postgres.new_database()
    postgres.sql("CREATE TABLE users (id int)", database=database)

    with pytest.raises(ConfigError, match="found a table users"):
        async with report_tables(postgres.dsn(database), generate(SIZE), counts=True, now=lambda: NOW):
            pass
    assert postgres.sql("SELECT count(*) FROM users", database=database) == "0"


async def test_a_database_can_be_filled_again_in_the_other_form(postgres: Postgres) -> None:
    database, world = postgres.new_database(), generate(SIZE)
    for counts in (True, False):
        async with report_tables(postgres.dsn(database), world, counts=counts, now=lambda: NOW):
            pass
    columns = postgres.sql(
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'workspace_agent_stats'"
        " AND column_name LIKE 'session_count%'",
        database=database,
    )

    assert columns == "4"


@pytest.mark.parametrize("dsn", ["postgresql://nobody:hunter2@127.0.0.1:9/none", "nonsense"])
async def test_a_bad_address_is_named_and_not_shown(dsn: str) -> None:
    with pytest.raises(ConfigError, match="--postgres: expected an address") as caught:
        async with report_tables(dsn, generate(SIZE), counts=True, now=lambda: NOW):
            pass
    assert "hunter2" not in str(caught.value)


def test_the_command_fills_a_database(postgres: Postgres) -> None:
    database = postgres.new_database()
    command = [sys.executable, "-m", "insights_exporter", "simulate", "--port", "0", "--users", "10"]
    with subprocess.Popen(
        [*command, "--postgres", postgres.dsn(database), "--postgres-form", "columns"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    rows = postgres.sql("SELECT count(*) FROM workspace_agent_stats", database=database)

    assert "are in the database" in lines[2]
    assert int(rows) > 0
    assert process.returncode == 0
