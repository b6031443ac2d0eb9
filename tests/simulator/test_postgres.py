"""The simulated database contains the same events as the API."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.postgres.reader import create_postgres_collector
from insights_exporter.config.settings import AgentStatsSettings, AgentStatsSource, UsernameMode
from insights_exporter.errors import ConfigError
from insights_exporter.privacy import Filters, UsernamePolicy
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from insights_exporter.simulator.postgres import RETENTION, populate_database
from insights_exporter.snapshot import AgentStats
from tests.support.agent_stats import user_seconds
from tests.support.api_client import simulator_client
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres, postgres, postgres_server
from tests.support.recording_telemetry import RecordingTelemetry

__all__ = ["postgres", "postgres_server"]

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY_BEFORE = NOW - RETENTION
SIZE = Size(templates=3, users=10)


@asynccontextmanager
async def populated_database(
    server: Postgres, world: GeneratedWorld, *, json_session_counts: bool
) -> AsyncIterator[tuple[str, int, Callable[[datetime], asyncio.Future[None]]]]:
    """Yield a populated database, the number of its rows, and a function that advances its clock."""
    database, current_time = server.new_database(), [NOW]
    pending_sleeps: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
    finished_sleeps: list[asyncio.Future[None]] = []

    async def sleep(_: float) -> None:
        for sleep_future in finished_sleeps:
            sleep_future.set_result(None)
        finished_sleeps[:] = [await pending_sleeps.get()]

    def advance_to(target_time: datetime) -> asyncio.Future[None]:
        current_time[0] = target_time
        done = asyncio.get_running_loop().create_future()
        pending_sleeps.put_nowait(done)
        return done

    dsn = server.dsn(database)
    async with populate_database(
        dsn, world, json_session_counts=json_session_counts, now=lambda: current_time[0], sleep=sleep
    ) as rows:
        yield database, rows, advance_to


async def read_agent_stats(server: Postgres, database: str, *, since: datetime) -> AgentStats:
    """Return the agent statistics that the exporter reads from a database."""
    server.freeze_clock(database, NOW)
    accumulator = Accumulator(UsernamePolicy(UsernameMode.NAMED), Filters())
    organization = server.sql("SELECT id FROM organizations WHERE is_default", database=database)
    accumulator.reset(since, identity=organization, cursor=since.isoformat())
    source = LiteralSecret(Secret(server.dsn(database)))
    reader = create_postgres_collector(
        AgentStatsSettings(source=AgentStatsSource.POSTGRES, dsn=source),
        accumulator,
        max_staleness=1800.0,
        clock=FakeClock(),
        random=Random(1),
        telemetry=RecordingTelemetry(),
    )
    try:
        assert await reader.read_once(), reader.failure_reason
    finally:
        reader.close()
        await asyncio.sleep(0)
    reading = reader.current()
    assert reading is not None
    return reading.value


@pytest.mark.parametrize("counts", [False, True], ids=["columns", "session_counts"])
async def test_rows_match_agent_reports(postgres: Postgres, *, counts: bool) -> None:
    world = generate_world(SIZE)
    reports = list(world.agent_reports(DAY_BEFORE, NOW))
    async with populated_database(postgres, world, json_session_counts=counts) as (database, rows, _):
        sums = postgres.sql(
            "SELECT count(*), sum(rx_bytes), sum(connection_count) FROM workspace_agent_stats",
            database=database,
        )

    assert rows == len(reports) > 1000
    assert (
        sums
        == f"{rows}|{sum(report.rx_bytes for report in reports)}|{sum(r.connection_count for r in reports)}"
    )


@pytest.mark.parametrize("counts", [False, True], ids=["columns", "session_counts"])
async def test_session_seconds_match_the_api(postgres: Postgres, *, counts: bool) -> None:
    world, clock = generate_world(SIZE), FakeClock(NOW + timedelta(hours=6))
    async with populated_database(postgres, world, json_session_counts=counts) as (database, _, _):
        stats = await read_agent_stats(postgres, database, since=DAY_BEFORE)
    seconds: dict[tuple[str, str, str], float] = {}
    for (organization, name, _user, app_name), value in user_seconds(stats).items():
        key = (organization, name, app_name)
        seconds[key] = seconds.get(key, 0.0) + value
    api_seconds: dict[tuple[str, str, str], float] = {}
    async with simulator_client(demo_deployment(SIZE, world=world), clock=clock) as client:
        for template in world.templates:
            response = await client.template_insights(DAY_BEFORE, NOW, template_ids=(template.id,))
            assert response.report is not None
            for app in response.report.apps_usage:
                if app.type == "builtin" and app.seconds:
                    api_seconds[template.organization.name, template.name, app.slug] = app.seconds

    assert api_seconds == seconds


async def test_rows_are_appended_and_purged_over_time(postgres: Postgres) -> None:
    world, later = generate_world(SIZE), NOW + timedelta(hours=12)
    async with populated_database(postgres, world, json_session_counts=True) as (database, _, advance_to):
        async with asyncio.timeout(20):
            await advance_to(NOW + timedelta(hours=11))
            await advance_to(later)
        row_summary = postgres.sql(
            "SELECT min(created_at) >= '2026-01-14 12:00Z', count(*) FROM workspace_agent_stats",
            database=database,
        )
    expected = len(list(world.agent_reports(later - RETENTION, later)))

    assert row_summary == f"t|{expected}"


async def test_renamed_users_are_renamed_in_the_database(postgres: Postgres) -> None:
    world = generate_world(SIZE)
    user = world.users[0]
    async with populated_database(postgres, world, json_session_counts=True) as (database, _, advance_to):
        demo_deployment(SIZE, world=world).rename_user(user.username, "new-name")
        async with asyncio.timeout(20):
            await advance_to(NOW + timedelta(minutes=1))
            await advance_to(NOW + timedelta(minutes=2))
        username = postgres.sql(f"SELECT username FROM users WHERE id = '{user.id}'", database=database)  # noqa: S608 # An id of the simulator.

    assert username == "new-name"


async def test_foreign_database_is_not_overwritten(postgres: Postgres) -> None:
    database = postgres.new_database()
    postgres.sql("CREATE TABLE users (id int)", database=database)

    with pytest.raises(ConfigError, match="found a table users"):
        async with populate_database(
            postgres.dsn(database), generate_world(SIZE), json_session_counts=True, now=lambda: NOW
        ):
            pass
    assert postgres.sql("SELECT count(*) FROM users", database=database) == "0"


async def test_database_can_be_recreated_with_other_schema(postgres: Postgres) -> None:
    database, world = postgres.new_database(), generate_world(SIZE)
    for json_session_counts in (True, False):
        async with populate_database(
            postgres.dsn(database), world, json_session_counts=json_session_counts, now=lambda: NOW
        ):
            pass
    columns = postgres.sql(
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'workspace_agent_stats'"
        " AND column_name LIKE 'session_count%'",
        database=database,
    )

    assert columns == "4"


@pytest.mark.parametrize("dsn", ["postgresql://nobody:hunter2@127.0.0.1:9/none", "nonsense"])
async def test_unreachable_dsn_is_reported_without_password(dsn: str) -> None:
    with pytest.raises(ConfigError, match="--postgres: expected an address") as error_info:
        async with populate_database(dsn, generate_world(SIZE), json_session_counts=True, now=lambda: NOW):
            pass
    assert "hunter2" not in str(error_info.value)


def test_simulate_command_populates_database(postgres: Postgres) -> None:
    """The program prints the number of rows at the start and adds more afterwards."""
    # With so many users there are reports on any weekend.
    database = postgres.new_database()
    command = [sys.executable, "-m", "insights_exporter", "simulate", "--port", "0", "--users", "400"]
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
    rows = int(postgres.sql("SELECT count(*) FROM workspace_agent_stats", database=database))
    printed = re.search(r"Agent reports: +(\d+) rows", "".join(lines))

    assert printed is not None
    assert rows >= int(printed[1]) > 100
    assert process.returncode == 0
