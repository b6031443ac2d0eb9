"""Batches: a backlog is committed on one connection, also after errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.agent_stats.collector import AgentStatsCollector
from insights_exporter.agent_stats.late_rows import LateRowDetector
from insights_exporter.agent_stats.postgres import batches
from insights_exporter.agent_stats.postgres.database import Database
from insights_exporter.agent_stats.postgres.row_aggregation import RowAggregator
from tests.agent_stats.agent_stats_harness import CollectorFactory, assert_stats_match, latest_stats
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.recording_telemetry import RecordingTelemetry

OnLines = Callable[[list[str]], Awaitable[None]]
PAST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """Record the database of each copied query."""
    recorded: list[Database] = []
    copy_lines = Database.copy_lines

    async def recording_copy_lines(database: Database, query: str, on_lines: OnLines) -> None:
        recorded.append(database)
        await copy_lines(database, query, on_lines)

    monkeypatch.setattr(Database, "copy_lines", recording_copy_lines)
    return recorded


async def add_backlog(collector: AgentStatsCollector, table: AgentStatsTable) -> None:
    """Add hours of uncommitted reports; some users occur only in some batches."""
    assert await collector.read_once()
    table.add(
        *(
            AgentStatsRow(
                PAST + timedelta(seconds=20 * k), ["ada", "grace", "alan"][k // 40 % 3], latency_ms=7.0 * k
            )
            for k in range(400)
        )
    )
    collector.accumulator.reset(PAST, identity=collector.accumulator.identity, cursor=PAST.isoformat())


async def test_backlog_uses_one_connection(
    table: AgentStatsTable, make_collector: CollectorFactory, connections: list[Database]
) -> None:
    role = f"alone_{table.database}"
    table.grant(role, "pw")
    table.sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    collector = make_collector(
        table, batch_rows=25, dsn=table.server.dsn(table.database, user=role, password="pw")
    )
    await add_backlog(collector, table)
    connections.clear()

    assert await collector.read_once()
    assert await collector.read_once()

    assert len(connections) > 10
    assert len(set(connections)) == 1
    assert_stats_match(table.expected_stats(PAST), latest_stats(collector))


async def test_one_batch_is_queried_while_previous_batch_is_aggregated(
    table: AgentStatsTable, make_collector: CollectorFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = make_collector(table, batch_rows=25)
    await add_backlog(collector, table)
    copy_lines, add_lines, second_query = Database.copy_lines, RowAggregator.add_lines, asyncio.Event()
    add_batch = LateRowDetector.add_batch
    query_count, commit_count = 0, 0
    counts: list[tuple[int, int]] = []

    def counting_add_batch(detector: LateRowDetector, begin: datetime, end: datetime, rows: int) -> None:
        nonlocal commit_count
        commit_count += 1
        add_batch(detector, begin, end, rows)

    async def counting_copy_lines(database: Database, query: str, add_lines: OnLines) -> None:
        nonlocal query_count
        query_count += 1
        if query_count == 2:
            second_query.set()
        await copy_lines(database, query, add_lines)

    async def delayed_add_lines(aggregator: RowAggregator, chunk: list[str]) -> None:
        await asyncio.wait_for(second_query.wait(), 10)
        # A third query would have started by now.
        for _ in range(50):
            await asyncio.sleep(0)
        counts.append((query_count, commit_count))
        await add_lines(aggregator, chunk)

    monkeypatch.setattr(Database, "copy_lines", counting_copy_lines)
    monkeypatch.setattr(RowAggregator, "add_lines", delayed_add_lines)
    monkeypatch.setattr(LateRowDetector, "add_batch", counting_add_batch)

    assert await collector.read_once()
    first_reading = list(counts)
    assert await collector.read_once()

    # While batch n is aggregated, at most the query of batch n + 1 has started.
    assert commit_count > 10
    assert first_reading[0] == (2, 0)
    assert all(queries <= commits + 2 for queries, commits in first_reading)
    assert_stats_match(table.expected_stats(PAST), latest_stats(collector))


async def test_line_queue_is_bounded(
    table: AgentStatsTable, make_collector: CollectorFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_QUEUE_CHUNK_LINES", 1)
    monkeypatch.setattr(batches, "_QUEUE_SIZE", 1)
    queue_sizes: list[int] = []
    put = asyncio.Queue.put

    async def recording_put(queue: asyncio.Queue[object], item: object) -> None:
        await put(queue, item)
        queue_sizes.append(queue.qsize())

    monkeypatch.setattr(asyncio.Queue, "put", recording_put)
    collector = make_collector(table, batch_rows=25)
    await add_backlog(collector, table)

    assert await collector.read_once()
    assert await collector.read_once()

    assert len(queue_sizes) > 20
    assert max(queue_sizes) == 1
    assert_stats_match(table.expected_stats(PAST), latest_stats(collector))


async def test_aggregation_error_keeps_committed_batches(
    table: AgentStatsTable, make_collector: CollectorFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry, batch_rows=25)
    await add_backlog(collector, table)
    add_lines, call_count = RowAggregator.add_lines, 0

    async def failing_add_lines(aggregator: RowAggregator, lines: list[str]) -> None:
        nonlocal call_count
        call_count += 1
        if call_count == 3:
            raise RuntimeError("injected failure")
        await add_lines(aggregator, lines)

    monkeypatch.setattr(RowAggregator, "add_lines", failing_add_lines)

    assert not await collector.read_once()
    assert len(collector.accumulator.late_rows.batches) == 2
    assert await collector.read_once()
    assert await collector.read_once()
    assert telemetry.errors == [("agent_stats", "internal")]
    assert_stats_match(table.expected_stats(PAST), latest_stats(collector))


@pytest.mark.parametrize("number", [1, 2, 3, 6])
async def test_lost_connection_repeats_only_uncommitted_batches(
    table: AgentStatsTable, make_collector: CollectorFactory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, telemetry=telemetry, batch_rows=25)
    await add_backlog(collector, table)
    copy_lines, query_count = Database.copy_lines, 0

    async def failing_copy_lines(database: Database, query: str, on_lines: OnLines) -> None:
        nonlocal query_count
        query_count += 1
        if query_count == number:
            await database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
        await copy_lines(database, query, on_lines)

    monkeypatch.setattr(Database, "copy_lines", failing_copy_lines)

    assert not await collector.read_once()
    assert len(collector.accumulator.late_rows.batches) == number - 1
    assert await collector.read_once()
    assert await collector.read_once()
    assert telemetry.errors == [("agent_stats", "database_unreachable")]
    assert_stats_match(table.expected_stats(PAST), latest_stats(collector))
