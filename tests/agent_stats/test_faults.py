# ruff: noqa: S608 - tests write their own SQL.

"""Whatever happens to the database, what is known goes on being served and nothing is lost."""

from __future__ import annotations

import pytest

from tests.agent_stats.reading import Collect, compare, statement
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.told import Told


@pytest.fixture
def table(postgres: Postgres) -> Table:
    return Table.create(postgres)


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_database_that_was_down_is_read_on(
    table: Table, collector: Collect, postgres: Postgres, *, at_once: bool
) -> None:
    told = Told()
    reader = collector(table, told=told)
    await reader.read_once()
    since = statement(reader).since
    table.add(Report(since))
    postgres.stop(at_once=at_once)
    try:
        assert not await reader.read_once()
        assert reader.current() is not None
    finally:
        postgres.start()
    await reader.read_once()

    await reader.read_once()

    assert told.errors == [("agent_stats", "database_unreachable")]
    compare(table.truth(since), statement(reader))


async def test_a_slow_query_is_given_up_and_tried_again(table: Table, collector: Collect) -> None:
    told = Told()
    reader = collector(table, told=told, statement_timeout=0.3)
    await reader.read_once()
    table.sql(
        "CREATE FUNCTION slow() RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(5) IS NULL';"
        "ALTER TABLE templates RENAME TO t;"
        "CREATE VIEW templates AS SELECT * FROM t WHERE slow() IS NOT NULL"
    )

    assert not await reader.read_once()
    assert told.errors == [("agent_stats", "database_timeout")]


async def test_a_right_that_is_taken_away_is_named(table: Table, collector: Collect) -> None:
    told, role = Told(), f"revoked_{table.database}"
    table.grant(role, "pw")
    reader = collector(table, told=told, dsn=table.server.dsn(table.database, user=role, password="pw"))
    await reader.read_once()
    table.sql(
        f"REVOKE ALL (username) ON users FROM {role}; REVOKE SELECT (id, username) ON users FROM {role};"
        f"REVOKE SELECT (created_at) ON workspace_agent_stats FROM {role}"
    )

    assert not await reader.read_once()
    assert told.errors == [("agent_stats", "database_permission")]
    assert reader.current() is not None


async def test_an_upgrade_of_the_table_is_followed(table: Table, collector: Collect) -> None:
    told = Told()
    reader = collector(table, told=told)
    await reader.read_once()
    since = statement(reader).since
    table.add(Report(since, sessions={"ssh": 2}))
    await reader.read_once()
    table.upgrade()
    table.add(Report(since, user="grace", sessions={"cursor": 1}))
    await reader.read_once()

    await reader.read_once()

    assert told.errors == []
    compare(table.truth(since), statement(reader))


async def test_a_wrong_password_is_named_and_not_told(table: Table, collector: Collect) -> None:
    told, role = Told(), f"wrong_{table.database}"
    table.grant(role, "right")
    dsn = table.server.dsn(table.database, user=role, password="hunter2")
    reader = collector(table, told=told, dsn=dsn)

    assert not await reader.read_once()
    assert told.errors == [("agent_stats", "database_login")]
