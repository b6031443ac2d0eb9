"""Failures of the database: the last statistics stay served and no report is lost."""

# ruff: noqa: S608  # The SQL consists of constants of the tests.

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.agent_stats.postgres import queries
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.reader import LATE_CHECK_INTERVAL
from tests.agent_stats.agent_stats_harness import CollectorFactory, assert_stats_match, latest_stats
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.clock import FakeClock
from tests.support.log_events import log_events
from tests.support.postgres import Postgres
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.waiting import wait_until


@pytest.mark.parametrize("immediate", [False, True])
async def test_reading_resumes_after_database_outage(
    table: AgentStatsTable, make_collector: CollectorFactory, postgres: Postgres, *, immediate: bool
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since))
    postgres.stop(immediate=immediate)
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


def set_query_delay(table: AgentStatsTable, seconds: float) -> None:
    """Delay each reading by that many seconds."""
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
    """Return whether a query of the exporter is running."""
    return bool(
        table.sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"
        )
    )


@pytest.mark.parametrize("immediate", [False, True])
async def test_database_restart_during_query_counts_exactly_once(
    table: AgentStatsTable, make_collector: CollectorFactory, postgres: Postgres, *, immediate: bool
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry, statement_timeout=30.0)
    await collector.read_once()
    since = latest_stats(collector).since
    table.add(AgentStatsRow(since), AgentStatsRow(since, user="grace", latency_ms=7.0))
    set_query_delay(table, 20)
    read_task = asyncio.create_task(collector.read_once())
    await wait_until(lambda: is_query_running(table))
    postgres.restart(immediate=immediate)

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
    table: AgentStatsTable, make_collector: CollectorFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, batch_limits = Database.fetch, list[object]()

    async def recording_fetch(database: Database, query: str, *values: object) -> list[Any]:
        if query == queries.BATCH_END:
            batch_limits.append(values[-1])
        return await fetch(database, query, *values)

    monkeypatch.setattr(Database, "fetch", recording_fetch)
    collector = make_collector(table, statement_timeout=0.5, batch_rows=1000)
    await collector.read_once()
    set_query_delay(table, 20)
    for _ in range(2):
        await collector.read_once()
    set_query_delay(table, 0)
    start = latest_stats(collector).since - timedelta(hours=3)
    table.add(*(AgentStatsRow(start + timedelta(minutes=minute)) for minute in range(5)))
    for _ in range(3):
        collector.accumulator.cursor = start.isoformat()
        assert await collector.read_once()

    assert batch_limits == [250, 500, 1000]


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

    warnings = [event for event in log_events(caplog) if event["event"] == "late agent reports skipped"]
    assert telemetry.agent_row_counts["late"] == 2
    assert [(event["reports"], event["since"]) for event in warnings] == [(2, now.isoformat())]


async def test_upgrade_that_drops_granted_columns_is_backfilled_after_new_grant(
    table: AgentStatsTable, make_collector: CollectorFactory
) -> None:
    """PostgreSQL drops the grants of a column with the column."""
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


def test_postgres_data_survives_restart(postgres: Postgres) -> None:
    """The outage tests rely on this property of the fixture."""
    database = postgres.new_database()
    postgres.sql("CREATE TABLE kept AS SELECT 42 AS answer", database=database)

    postgres.restart()

    assert postgres.sql("SELECT answer FROM kept", database=database) == "42"
