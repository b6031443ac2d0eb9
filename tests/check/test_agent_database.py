# ruff: noqa: S608 - tests write their own SQL.

"""What the check says of agent statistics from a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.check import Finding, Level
from insights_exporter.check.agent_database import AgentDatabase
from insights_exporter.clock import SystemClock
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secret import EnvironmentSecret, LiteralSecret, Secret
from insights_exporter.settings import PrivacySettings, Settings, UserNames
from tests.agent_stats.reading import settings
from tests.support.agent_table import Report, Table
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres, postgres, postgres_server

__all__ = ["postgres", "postgres_server"]

ROLE = "checked"


@pytest.fixture(params=[False, True], ids=["columns", "session_counts"])
def table(postgres: Postgres, request: pytest.FixtureRequest) -> Table:
    made = Table.create(postgres, counts=request.param)
    made.grant(f"{ROLE}_{made.database}", "pw")
    return made


async def found(
    table: Table,
    *,
    dsn: str = "",
    clock: FakeClock | None = None,
    users: UserNames = UserNames.NAMED,
    **changed: object,
) -> dict[str, Finding]:
    """Return the findings by the end of their subject."""
    role = f"{ROLE}_{table.database}"
    address = dsn or table.server.dsn(table.database, user=role, password="pw")
    whole = Settings(
        coder=CoderSettings(url="http://127.0.0.1:9", token=LiteralSecret(Secret("none"))),
        agent_stats=settings(address, **changed),
        privacy=PrivacySettings(users=users),
    )
    looking = AgentDatabase(whole, clock or SystemClock())
    told = {one.subject.removeprefix("agent reports").strip(": "): one async for one in looking.findings()}
    # What was closed says so to the loop, which must hear it before it ends.
    await asyncio.sleep(0)
    assert all(one.advice for one in told.values() if one.level is not Level.OK)
    return told


async def test_a_database_that_is_as_it_should_be_has_nothing_to_say(table: Table) -> None:
    now = datetime.now(UTC)
    table.add(*(Report(now - timedelta(seconds=30 * k), agent=k) for k in range(20)))

    told = await found(table)

    assert {one.level for one in told.values()} == {Level.OK}, told
    assert set(told) == {"", "clock", "form", "rights", "newest", "index"}
    assert "PostgreSQL" in told[""].text
    assert ("session_counts" in told["form"].text) is table.counts
    assert "2.0 come in a minute" in told["newest"].text


async def test_a_missing_right_is_named_with_the_sql_that_gives_it(table: Table) -> None:
    role = f"{ROLE}_{table.database}"
    table.sql(
        f"REVOKE SELECT (agent_id, rx_bytes) ON workspace_agent_stats FROM {role};"
        f"REVOKE SELECT (username) ON users FROM {role}"
    )

    told = await found(table)

    assert told["rights"].level is Level.PROBLEM
    assert "workspace_agent_stats.agent_id, workspace_agent_stats.rx_bytes" in told["rights"].text
    assert "newest" not in told
    table.sql(told["rights"].advice)
    assert (await found(table))["rights"].level is Level.OK


async def test_without_users_their_names_need_not_be_read(table: Table) -> None:
    table.sql(f"REVOKE SELECT (id, username) ON users FROM {ROLE}_{table.database}")

    assert (await found(table, users=UserNames.OFF))["rights"].level is Level.OK
    assert (await found(table))["rights"].level is Level.PROBLEM


async def test_a_role_that_could_change_something_is_warned_about(table: Table) -> None:
    told = await found(table, dsn=table.dsn)

    assert told["rights"].level is Level.WARNING
    assert "could change it" in told["rights"].text


async def test_a_table_without_reports_is_warned_about(table: Table) -> None:
    assert (await found(table))["newest"].text == "The table is empty."
    table.add(Report(datetime.now(UTC) - timedelta(hours=1)))

    told = (await found(table))["newest"]

    assert told.level is Level.WARNING
    assert "The newest report is 36" in told.text


async def test_clocks_that_differ_are_warned_about(table: Table) -> None:
    table.add(Report(datetime.now(UTC) + timedelta(minutes=3)))

    told = await found(table, clock=FakeClock(datetime.now(UTC) + timedelta(seconds=95)))

    assert told["clock"].level is Level.WARNING
    assert "s behind ours" in told["clock"].text
    assert told["Coder's clocks"].level is Level.WARNING
    assert "s in the future" in told["Coder's clocks"].text


async def test_a_missing_index_is_warned_about_where_it_matters(table: Table) -> None:
    table.sql("DROP INDEX idx_agent_stats_created_at")
    assert (await found(table))["index"].level is Level.OK
    table.sql("UPDATE pg_class SET reltuples = 3e6, relpages = 60000 WHERE relname = 'workspace_agent_stats'")

    told = (await found(table))["index"]

    assert told.level is Level.WARNING
    assert "Seq Scan on workspace_agent_stats" in told.text


async def test_a_large_table_is_read_by_its_index(table: Table) -> None:
    now = datetime.now(UTC)
    table.sql(
        "INSERT INTO workspace_agent_stats (id, created_at, user_id, agent_id, workspace_id, template_id)"
        f" SELECT gen_random_uuid(), '{now.isoformat()}'::timestamptz - n * interval '1 s', id, id, id, id"
        " FROM generate_series(1, 20000) AS n, gen_random_uuid() AS id; ANALYZE workspace_agent_stats"
    )

    told = (await found(table))["index"]

    assert told.level is Level.OK
    assert "using idx_agent_stats_created_at on workspace_agent_stats" in told.text


@pytest.mark.parametrize(
    ("dsn", "text"),
    [
        ("postgresql://nobody@127.0.0.1:9/coder", "cannot be reached"),
        ("postgresql://postgres@127.0.0.1:{port}/absent", "absent"),
        ("postgresql://stranger:hunter2@127.0.0.1:{port}/postgres", "refuses the login"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres", "no table workspace_agent_stats"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require", "offers no encryption"),
        ("nonsense", "address cannot be used"),
    ],
)
async def test_what_stands_in_the_way_is_named(postgres: Postgres, dsn: str, text: str) -> None:
    told = await found(Table(postgres, "postgres", counts=False), dsn=dsn.format(port=postgres.port))

    worst = max(told.values(), key=lambda one: one.level)
    assert worst.level is Level.PROBLEM
    assert text in worst.text
    assert "hunter2" not in worst.text


async def test_a_password_that_cannot_be_read_is_named(table: Table) -> None:
    told = await found(table, password=EnvironmentSecret("NONE", {}))

    assert told[""].level is Level.PROBLEM
    assert "the environment variable NONE" in told[""].text
