"""Much that is left over is counted slice by slice on one connection, whatever becomes of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.collectors.agent_stats import PostgresCollector, slices
from insights_exporter.collectors.agent_stats.counting import Counting
from insights_exporter.collectors.agent_stats.database import Database
from tests.agent_stats.reading import Collect, compare, statement
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.told import Told

Take = Callable[[list[str]], Awaitable[None]]
PAST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)


@pytest.fixture
def table(postgres: Postgres) -> Table:
    return Table.create(postgres)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """Return the connection of each slice, as they are asked for."""
    found: list[Database] = []
    lines = Database.lines

    async def noted(database: Database, query: str, take: Take) -> None:
        found.append(database)
        await lines(database, query, take)

    monkeypatch.setattr(Database, "lines", noted)
    return found


async def behind(reader: PostgresCollector, table: Table) -> None:
    """Let hours of reports be left over, of people that only some slices tell of."""
    assert await reader.read_once()
    table.add(
        *(
            Report(
                PAST + timedelta(seconds=20 * k), ["ada", "grace", "alan"][k // 40 % 3], latency_ms=7.0 * k
            )
            for k in range(400)
        )
    )
    reader.ledger.begin(PAST, identity=reader.ledger.identity, position=PAST.isoformat())


async def test_one_connection_does(table: Table, collector: Collect, used: list[Database]) -> None:
    role = f"alone_{table.database}"
    table.grant(role, "pw")
    table.sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    reader = collector(table, batch_rows=25, dsn=table.server.dsn(table.database, user=role, password="pw"))
    await behind(reader, table)
    used.clear()

    assert await reader.read_once()
    assert await reader.read_once()

    assert len(used) > 10
    assert len(set(used)) == 1
    compare(table.truth(PAST), statement(reader))


async def test_the_database_adds_up_one_slice_while_one_is_counted_and_no_more(
    table: Table, collector: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = collector(table, batch_rows=25)
    await behind(reader, table)
    lines, take, second = Database.lines, Counting.take, asyncio.Event()
    asked, seen = 0, []

    async def noted(database: Database, query: str, take: Take) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            second.set()
        await lines(database, query, take)

    async def held(counting: Counting, some: list[str]) -> None:
        await asyncio.wait_for(second.wait(), 10)
        # Whoever asked for a third slice would have done so by now.
        for _ in range(50):
            await asyncio.sleep(0)
        seen.append(asked)
        await take(counting, some)

    monkeypatch.setattr(Database, "lines", noted)
    monkeypatch.setattr(Counting, "take", held)

    assert await reader.read_once()
    assert await reader.read_once()

    assert seen[0] == 2
    compare(table.truth(PAST), statement(reader))


async def test_lines_that_wait_are_bounded(
    table: Table, collector: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "_PIECE", 1)
    monkeypatch.setattr(slices, "_AHEAD", 1)
    reader = collector(table, batch_rows=25)
    await behind(reader, table)

    assert await reader.read_once()
    assert await reader.read_once()

    compare(table.truth(PAST), statement(reader))


async def test_a_fault_in_counting_ends_the_reading_and_loses_nothing(
    table: Table, collector: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    reader = collector(table, told=told, batch_rows=25)
    await behind(reader, table)
    take, taken = Counting.take, 0

    async def broken(counting: Counting, lines: list[str]) -> None:
        nonlocal taken
        taken += 1
        if taken == 3:
            raise RuntimeError("It cannot be counted.")
        await take(counting, lines)

    monkeypatch.setattr(Counting, "take", broken)

    assert not await reader.read_once()
    assert len(reader.ledger.lateness.slices) == 2
    assert await reader.read_once()
    assert await reader.read_once()
    assert told.errors == [("agent_stats", "internal")]
    compare(table.truth(PAST), statement(reader))


@pytest.mark.parametrize("number", [1, 2, 3, 6])
async def test_what_a_connection_loses_is_read_again_and_nothing_else(
    table: Table, collector: Collect, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    told = Told()
    reader = collector(table, told=told, batch_rows=25)
    await behind(reader, table)
    lines, asked = Database.lines, 0

    async def broken(database: Database, query: str, take: Take) -> None:
        nonlocal asked
        asked += 1
        if asked == number:
            await database.rows("SELECT pg_terminate_backend(pg_backend_pid())")
        await lines(database, query, take)

    monkeypatch.setattr(Database, "lines", broken)

    assert not await reader.read_once()
    assert len(reader.ledger.lateness.slices) == number - 1
    assert await reader.read_once()
    assert await reader.read_once()
    assert told.errors == [("agent_stats", "database_unreachable")]
    compare(table.truth(PAST), statement(reader))
