"""Much that is left over is counted two slices at a time, in order, whatever becomes of one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.collectors.agent_stats import PostgresCollector
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


async def test_two_connections_share_a_backlog(
    table: Table, collector: Collect, used: list[Database]
) -> None:
    reader = collector(table, batch_rows=25)
    await behind(reader, table)
    used.clear()

    await reader.read_once()
    await reader.read_once()

    assert len(set(used)) == 2
    compare(table.truth(PAST), statement(reader))


async def test_one_connection_does_where_there_is_no_other(
    table: Table, collector: Collect, used: list[Database]
) -> None:
    role = f"alone_{table.database}"
    table.grant(role, "pw")
    table.sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    reader = collector(table, batch_rows=25, dsn=table.server.dsn(table.database, user=role, password="pw"))
    await behind(reader, table)
    used.clear()

    assert await reader.read_once()
    assert await reader.read_once()

    assert len(set(used)) == 1
    compare(table.truth(PAST), statement(reader))


@pytest.mark.parametrize("slices", [1, 2, 3, 6])
async def test_what_one_connection_loses_is_read_again(
    table: Table, collector: Collect, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    told = Told()
    reader = collector(table, told=told, batch_rows=25)
    await behind(reader, table)
    lines, asked = Database.lines, 0

    async def broken(database: Database, query: str, take: Take) -> None:
        nonlocal asked
        asked += 1
        if asked == slices:
            await database.rows("SELECT pg_terminate_backend(pg_backend_pid())")
        await lines(database, query, take)

    monkeypatch.setattr(Database, "lines", broken)

    assert not await reader.read_once()
    assert await reader.read_once()
    assert await reader.read_once()
    assert told.errors == [("agent_stats", "database_unreachable")]
    compare(table.truth(PAST), statement(reader))
