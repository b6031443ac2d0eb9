"""What was counted outlives the process, and what cannot be trusted is set aside."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from insights_exporter.redaction import Redaction
from insights_exporter.settings import UserNames
from tests.agent_stats.reading import Collect, compare, statement
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.told import Told


@pytest.fixture
def table(postgres: Postgres) -> Table:
    return Table.create(postgres)


async def test_a_restart_neither_loses_nor_repeats_anything(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = collector(table, state=state)
    await first.read_once()
    since = statement(first).since
    table.add(Report(since), Report(since + timedelta(minutes=30)))
    await first.read_once()
    table.add(Report(since + timedelta(minutes=31), user="grace"))
    second = collector(table, state=state)
    await second._restore()

    await second.read_once()

    assert statement(second).since == since
    compare(table.truth(since), statement(second))


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}\n{}\n", b'{"format":"another"}\n'])
async def test_a_foreign_file_is_set_aside(
    table: Table, collector: Collect, tmp_path: Path, content: bytes
) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(content)
    reader = collector(table, state=state)

    await reader._restore()
    await reader.read_once()

    assert (tmp_path / "state.json.rejected").read_bytes() == content
    assert state.exists()


async def test_one_changed_byte_is_noticed(table: Table, collector: Collect, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    first = collector(table, state=state)
    await first.read_once()
    content = bytearray(state.read_bytes())
    content[-10] ^= 1
    state.write_bytes(content)
    second = collector(table, state=state)

    await second._restore()

    assert second.ledger.since is None
    assert (tmp_path / "state.json.rejected").exists()


async def test_the_file_holds_no_name_where_names_are_hashed(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    hashed = Redaction(UserNames.HASHED, b"0123456789abcdef")
    first = collector(table, state=state, redaction=hashed, overlap=0.0)
    await first.read_once()
    since = statement(first).since
    table.add(Report(since), Report(since + timedelta(minutes=2)))
    # As if the last reading were five minutes old, and nothing were saved since.
    first._saved = None
    first.ledger.position = (since - timedelta(minutes=5)).isoformat()
    table.add(Report(since - timedelta(minutes=3), user="grace"))
    await first.read_once()

    assert b'"python","user-' in state.read_bytes()
    assert b"grace" not in state.read_bytes()


async def test_counts_of_another_deployment_are_not_added_to(
    postgres: Postgres, table: Table, collector: Collect, tmp_path: Path
) -> None:
    state, told = tmp_path / "state.json", Told()
    await collector(table, state=state).read_once()
    table.sql(
        "UPDATE organizations SET id = gen_random_uuid(); UPDATE templates SET organization_id ="
        " (SELECT id FROM organizations)"
    )
    second = collector(table, state=state, told=told)
    await second._restore()

    assert await second.read_once()
    assert told.errors == [("agent_stats", "state_foreign")]
    assert (tmp_path / "state.json.rejected").exists()


async def test_a_folder_that_cannot_be_written_stops_nothing(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    told = Told()
    reader = collector(table, state=tmp_path / "absent" / "state.json", told=told)

    assert await reader.read_once()
    assert told.errors == [("agent_stats", "state_unwritable")]
