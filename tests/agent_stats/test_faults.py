# ruff: noqa: S608 - tests write their own SQL.

"""Whatever happens to the database, what is known goes on being served and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.collectors.agent_stats.database import Database
from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.postgres import LOOK_EVERY
from tests.agent_stats.reading import Collect, compare, settings, statement
from tests.support.agent_table import Report, Table
from tests.support.clock import FakeClock
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


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition of the outside world."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nobody tells us when it holds.
            await asyncio.sleep(0.02)


def slowed(table: Table, seconds: float) -> None:
    """Let every reading take so long at least."""
    table.sql(
        "CREATE OR REPLACE FUNCTION slow() RETURNS boolean LANGUAGE sql AS"
        f" 'SELECT pg_sleep({seconds}) IS NULL'"
    )
    if "templates" in table.sql("SELECT relname FROM pg_class WHERE relname = 'templates' AND relkind = 'r'"):
        table.sql(
            "ALTER TABLE templates RENAME TO t;"
            "CREATE VIEW templates AS"
            " SELECT t.* FROM t, (SELECT slow() AS done) AS waited WHERE done IS NOT NULL"
        )


def asking(table: Table) -> bool:
    """Say whether the exporter waits for an answer."""
    return bool(
        table.sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"
        )
    )


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_restart_amid_a_reading_loses_and_repeats_nothing(
    table: Table, collector: Collect, postgres: Postgres, *, at_once: bool
) -> None:
    told = Told()
    reader = collector(table, told=told, statement_timeout=30.0)
    await reader.read_once()
    since = statement(reader).since
    table.add(Report(since), Report(since, user="grace", latency_ms=7.0))
    slowed(table, 20)
    reading = asyncio.create_task(reader.read_once())
    await until(lambda: asking(table))
    postgres.restart(at_once=at_once)

    assert not await reading
    assert told.errors == [("agent_stats", "database_unreachable")]
    slowed(table, 0)
    await reader.read_once()
    await reader.read_once()
    compare(table.truth(since), statement(reader))


async def test_what_was_too_slow_is_counted_when_it_is_fast_again(table: Table, collector: Collect) -> None:
    told = Told()
    reader = collector(table, told=told, statement_timeout=0.5)
    await reader.read_once()
    since = statement(reader).since
    table.add(Report(since))
    slowed(table, 20)
    assert not await reader.read_once()
    assert reader.current() is not None
    slowed(table, 0)
    await reader.read_once()

    await reader.read_once()

    assert told.errors == [("agent_stats", "database_timeout")]
    compare(table.truth(since), statement(reader))


async def test_a_batch_shrinks_while_the_database_is_slow_and_grows_again(
    table: Table, collector: Collect
) -> None:
    reader = collector(table, statement_timeout=0.5, batch_rows=1000)
    await reader.read_once()
    slowed(table, 20)
    for _ in range(2):
        await reader.read_once()
    assert reader._reader._slices.batch == 250  # type: ignore[attr-defined] # The reader of this source.
    slowed(table, 0)
    past = statement(reader).since - timedelta(hours=3)
    reader.ledger.position = past.isoformat()
    table.add(*(Report(past + timedelta(minutes=k)) for k in range(5)))

    assert await reader.read_once()
    assert reader._reader._slices.batch == 500  # type: ignore[attr-defined] # As above.


async def test_a_right_that_comes_back_leaves_no_gap(table: Table, collector: Collect) -> None:
    told, role = Told(), f"back_{table.database}"
    table.grant(role, "pw")
    reader = collector(table, told=told, dsn=table.server.dsn(table.database, user=role, password="pw"))
    await reader.read_once()
    since = statement(reader).since
    table.sql(f"REVOKE SELECT (created_at) ON workspace_agent_stats FROM {role}")
    table.add(Report(since))
    assert not await reader.read_once()
    table.sql(f"GRANT SELECT (created_at) ON workspace_agent_stats TO {role}")
    await reader.read_once()

    await reader.read_once()

    assert told.errors == [("agent_stats", "database_permission")]
    compare(table.truth(since), statement(reader))


async def test_the_exporter_can_change_nothing(table: Table) -> None:
    database = Database(settings(table.dsn))
    await database.open()

    with pytest.raises(SourceError, match="read-only transaction"):
        async with database.reading():
            await database.rows("DELETE FROM workspace_agent_stats")


async def test_what_was_set_for_a_query_does_not_outlive_it(table: Table) -> None:
    """A pooler may give the connection to somebody else after the transaction."""
    database = Database(settings(table.dsn, statement_timeout=7.0))
    await database.open()
    async with database.reading():
        inside = await database.rows("SHOW statement_timeout")
    async with database.reading():
        await database.rows("SELECT 1")
    after = await database.rows("SHOW statement_timeout")
    database.drop()
    await asyncio.sleep(0)

    assert (inside[0][0], after[0][0]) == ("7s", "0")


async def test_an_outage_of_a_day_is_made_up_for_in_batches(table: Table, collector: Collect) -> None:
    reader = collector(table, batch_rows=7)
    now = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    table.set_clock(now - timedelta(hours=23))
    await reader.read_once()
    since = statement(reader).since
    table.add(*(Report(since + timedelta(minutes=11 * k), agent=k % 3) for k in range(120)))
    table.set_clock(now)
    await reader.read_once()

    await reader.read_once()

    compare(table.truth(since), statement(reader))
    assert len(reader.ledger.lateness.slices) > 0


async def test_a_longer_outage_is_named_once(table: Table, collector: Collect) -> None:
    told, now = Told(), datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    reader = collector(table, told=told)
    table.set_clock(now)
    await reader.read_once()
    table.set_clock(now + timedelta(days=3))
    await reader.read_once()
    await reader.read_once()

    assert told.errors == [("agent_stats", "gap")]


async def test_a_weekend_without_anybody_is_no_gap(table: Table, collector: Collect) -> None:
    told, now = Told(), datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    reader = collector(table, told=told)
    table.add(Report(now))
    for hours in range(0, 60, 5):
        table.set_clock(now + timedelta(hours=hours))
        await reader.read_once()

    assert told.errors == []


async def test_reports_that_come_too_late_are_named(
    table: Table, collector: Collect, caplog: pytest.LogCaptureFixture
) -> None:
    told, clock, now = Told(), FakeClock(), datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    reader = collector(table, told=told, clock=clock)
    table.set_clock(now)
    await reader.read_once()
    table.add(*(Report(now + timedelta(minutes=k)) for k in range(20)))
    table.set_clock(now + timedelta(minutes=20))
    await reader.read_once()
    table.add(*(Report(now + timedelta(minutes=k), agent=2) for k in (1, 4, 19)))
    clock.advance(LOOK_EVERY)
    await reader.read_once()
    clock.advance(LOOK_EVERY)
    await reader.read_once()

    warnings = [vars(one) for one in caplog.records if "too late" in one.getMessage()]
    assert told.rows["late"] == 2
    assert [(one["reports"], one["since"]) for one in warnings] == [(2, now.isoformat())]


async def test_an_upgrade_that_drops_granted_columns_is_made_up_for_after_the_grant(
    table: Table, collector: Collect
) -> None:
    """PostgreSQL forgets a column's grants with the column."""
    told, role = Told(), f"upgraded_{table.database}"
    table.grant(role, "pw")
    reader = collector(table, told=told, dsn=table.server.dsn(table.database, user=role, password="pw"))
    await reader.read_once()
    since = statement(reader).since
    table.add(Report(since, sessions={"ssh": 1}))
    table.upgrade()
    table.add(Report(since, sessions={"cursor": 1}, user="grace"))
    assert not await reader.read_once()
    table.sql(f"GRANT SELECT (session_counts) ON workspace_agent_stats TO {role}")
    await reader.read_once()

    await reader.read_once()

    assert told.errors == [("agent_stats", "database_permission")]
    compare(table.truth(since), statement(reader))
