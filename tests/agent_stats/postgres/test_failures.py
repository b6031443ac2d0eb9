"""Whatever happens to the database, what is known goes on being served and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.reader import LATE_CHECK_INTERVAL
from insights_exporter.collectors.agent_stats.faults import AgentStatsError
from tests.agent_stats.agent_stats_harness import (
    CollectorFactory,
    assert_stats_match,
    latest_stats,
    postgres_settings,
)
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres
from tests.support.recording_telemetry import RecordingTelemetry


@pytest.fixture
def table(postgres: Postgres) -> AgentStatsTable:
    return AgentStatsTable.create(postgres)


@pytest.mark.parametrize("at_once", [False, True])
async def test_reading_resumes_after_database_outage(
    table: AgentStatsTable, make_collector: CollectorFactory, postgres: Postgres, *, at_once: bool
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since))
    postgres.stop(immediate=at_once)
    try:
        assert not await collector.read_once()
        assert collector.current() is not None
    finally:
        postgres.start()
    await collector.read_once()

    await collector.read_once()

    assert telemetry.errors == [("agent_stats", "database_unreachable")]
    assert_stats_match(table.expected_stats(since), latest_stats(collector))


async def test_revoked_privilege_is_reported(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    telemetry, role = RecordingTelemetry(), f"revoked_{table.database}"
    table.grant(role, "pw")
    collector = make_collector(
        table, telemetry=telemetry, dsn=table.server.dsn(table.database, user=role, password="pw")
    )
    await collector.read_once()
    table.sql(
        f"REVOKE ALL (username) ON users FROM {role}; REVOKE SELECT (id, username) ON users FROM {role};"
        f"REVOKE SELECT (created_at) ON workspace_agent_stats FROM {role}"
    )

    assert not await collector.read_once()
    assert telemetry.errors == [("agent_stats", "database_permission")]
    assert collector.current() is not None


async def test_schema_upgrade_is_detected(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since, sessions={"ssh": 2}))
    await collector.read_once()
    table.migrate_to_json()
    table.add(AgentStatsRow(since, user="grace", sessions={"cursor": 1}))
    await collector.read_once()

    await collector.read_once()

    assert telemetry.errors == []
    assert_stats_match(table.expected_stats(since), latest_stats(collector))


async def test_wrong_password_is_reported_without_the_password(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    telemetry, role = RecordingTelemetry(), f"wrong_{table.database}"
    table.grant(role, "right")
    dsn = table.server.dsn(table.database, user=role, password="hunter2")
    collector = make_collector(table, telemetry=telemetry, dsn=dsn)

    assert not await collector.read_once()
    assert telemetry.errors == [("agent_stats", "database_login")]


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition of the outside world."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def set_query_delay(table: AgentStatsTable, seconds: float) -> None:
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


def is_query_running(table: AgentStatsTable) -> bool:
    """Say whether the exporter waits for an answer."""
    return bool(
        table.sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"
        )
    )


@pytest.mark.parametrize("at_once", [False, True])
async def test_database_restart_during_query_counts_exactly_once(
    table: AgentStatsTable, make_collector: CollectorFactory, postgres: Postgres, *, at_once: bool
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry, statement_timeout=30.0)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since), AgentStatsRow(since, user="grace", latency_ms=7.0))
    set_query_delay(table, 20)
    read_task = asyncio.create_task(collector.read_once())
    await wait_until(lambda: is_query_running(table))
    postgres.restart(immediate=at_once)

    assert not await read_task
    assert telemetry.errors == [("agent_stats", "database_unreachable")]
    set_query_delay(table, 0)
    await collector.read_once()
    await collector.read_once()
    assert_stats_match(table.expected_stats(since), latest_stats(collector))


async def test_timeout_then_recovery_counts_exactly_once(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry, statement_timeout=0.5)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since))
    set_query_delay(table, 20)
    assert not await collector.read_once()
    assert collector.current() is not None
    set_query_delay(table, 0)
    await collector.read_once()

    await collector.read_once()

    assert telemetry.errors == [("agent_stats", "database_timeout")]
    assert_stats_match(table.expected_stats(since), latest_stats(collector))


async def test_batch_size_adapts_to_timeouts(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table, statement_timeout=0.5, batch_rows=1000)
    await collector.read_once()
    set_query_delay(table, 20)
    for _ in range(2):
        await collector.read_once()
    assert collector._reader._batches.batch_rows == 250  # type: ignore[attr-defined] # The reader of this source.
    set_query_delay(table, 0)
    past = latest_stats(collector).since - timedelta(hours=3)
    collector.accumulator.cursor = past.isoformat()
    table.add(*(AgentStatsRow(past + timedelta(minutes=minute)) for minute in range(5)))

    assert await collector.read_once()
    assert collector._reader._batches.batch_rows == 500  # type: ignore[attr-defined] # As above.


async def test_restored_privilege_leaves_no_gap(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    telemetry, role = RecordingTelemetry(), f"back_{table.database}"
    table.grant(role, "pw")
    collector = make_collector(
        table, telemetry=telemetry, dsn=table.server.dsn(table.database, user=role, password="pw")
    )
    await collector.read_once()
    since = latest_stats(collector).since
    table.sql(f"REVOKE SELECT (created_at) ON workspace_agent_stats FROM {role}")
    table.add(AgentStatsRow(since))
    assert not await collector.read_once()
    table.sql(f"GRANT SELECT (created_at) ON workspace_agent_stats TO {role}")
    await collector.read_once()

    await collector.read_once()

    assert telemetry.errors == [("agent_stats", "database_permission")]
    assert_stats_match(table.expected_stats(since), latest_stats(collector))


async def test_transaction_is_read_only(table: AgentStatsTable) -> None:
    database = Database(postgres_settings(table.dsn))
    await database.connect()

    with pytest.raises(AgentStatsError, match="read-only transaction"):
        async with database.read_only_transaction():
            await database.fetch("DELETE FROM workspace_agent_stats")


async def test_settings_are_local_to_the_transaction(table: AgentStatsTable) -> None:
    """A pooler may give the connection to somebody else after the transaction."""
    database = Database(postgres_settings(table.dsn, statement_timeout=7.0))
    await database.connect()
    async with database.read_only_transaction():
        inside = await database.fetch("SHOW statement_timeout")
    async with database.read_only_transaction():
        await database.fetch("SELECT 1")
    after = await database.fetch("SHOW statement_timeout")
    database.terminate()
    await asyncio.sleep(0)

    assert (inside[0][0], after[0][0]) == ("7s", "0")


async def test_day_long_outage_is_backfilled_in_batches(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    collector = make_collector(table, batch_rows=7)
    now = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    table.freeze_clock(now - timedelta(hours=23))
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(
        *(AgentStatsRow(since + timedelta(minutes=11 * number), agent=number % 3) for number in range(120))
    )
    table.freeze_clock(now)
    await collector.read_once()

    await collector.read_once()

    assert_stats_match(table.expected_stats(since), latest_stats(collector))
    assert len(collector.accumulator.late_rows.batches) > 0


async def test_gap_is_reported_once(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    telemetry, now = RecordingTelemetry(), datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    collector = make_collector(table, telemetry=telemetry)
    table.freeze_clock(now)
    await collector.read_once()
    table.freeze_clock(now + timedelta(days=3))
    await collector.read_once()
    await collector.read_once()

    assert telemetry.errors == [("agent_stats", "gap")]


async def test_idle_weekend_is_not_a_gap(table: AgentStatsTable, make_collector: CollectorFactory) -> None:
    telemetry, now = RecordingTelemetry(), datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    collector = make_collector(table, telemetry=telemetry)
    table.add(AgentStatsRow(now))
    for hours in range(0, 60, 5):
        table.freeze_clock(now + timedelta(hours=hours))
        await collector.read_once()

    assert telemetry.errors == []


async def test_late_rows_are_reported(
    table: AgentStatsTable, make_collector: CollectorFactory, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry, clock, now = RecordingTelemetry(), FakeClock(), datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    collector = make_collector(table, telemetry=telemetry, clock=clock)
    table.freeze_clock(now)
    await collector.read_once()
    table.add(*(AgentStatsRow(now + timedelta(minutes=minute)) for minute in range(20)))
    table.freeze_clock(now + timedelta(minutes=20))
    await collector.read_once()
    table.add(*(AgentStatsRow(now + timedelta(minutes=minute), agent=2) for minute in (1, 4, 19)))
    clock.advance(LATE_CHECK_INTERVAL)
    await collector.read_once()
    clock.advance(LATE_CHECK_INTERVAL)
    await collector.read_once()

    warnings = [vars(record) for record in caplog.records if "too late" in record.getMessage()]
    assert telemetry.agent_row_counts["late"] == 2
    assert [(record["reports"], record["since"]) for record in warnings] == [(2, now.isoformat())]


async def test_upgrade_that_drops_granted_columns_is_backfilled_after_new_grant(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    """PostgreSQL forgets a column's grants with the column."""
    telemetry, role = RecordingTelemetry(), f"upgraded_{table.database}"
    table.grant(role, "pw")
    collector = make_collector(
        table, telemetry=telemetry, dsn=table.server.dsn(table.database, user=role, password="pw")
    )
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since, sessions={"ssh": 1}))
    table.migrate_to_json()
    table.add(AgentStatsRow(since, sessions={"cursor": 1}, user="grace"))
    assert not await collector.read_once()
    table.sql(f"GRANT SELECT (session_counts) ON workspace_agent_stats TO {role}")
    await collector.read_once()

    await collector.read_once()

    assert telemetry.errors == [("agent_stats", "database_permission")]
    assert_stats_match(table.expected_stats(since), latest_stats(collector))
