"""What was counted outlives the process, and what cannot be trusted is set aside."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights_exporter.redaction import Redaction
from insights_exporter.settings import UserNames
from tests.agent_stats.reading import Collect, compare, statement
from tests.support.agent_table import Report, Table
from tests.support.postgres import Postgres
from tests.support.told import Told

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


@pytest.fixture
def table(postgres: Postgres) -> Table:
    return Table.create(postgres)


async def test_a_restart_neither_loses_nor_repeats_anything(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    table.set_clock(NOW)
    first = collector(table, state=state)
    await first.read_once()
    since = statement(first).since
    table.add(Report(since), Report(since + timedelta(minutes=30)))
    table.set_clock(since + timedelta(minutes=30))
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


async def test_a_full_disk_costs_nothing_once_there_is_room_again(
    table: Table, collector: Collect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is written goes to a device that is always full, as far as the kernel is concerned."""
    state, told = tmp_path / "state.json", Told()
    table.set_clock(NOW)
    first = collector(table, state=state, told=told)
    await first.read_once()
    since, before = statement(first).since, state.read_bytes()
    table.add(Report(since), Report(since + timedelta(minutes=30)))
    table.set_clock(since + timedelta(minutes=30))
    (tmp_path / "state.json.new").symlink_to("/dev/full")
    assert await first.read_once()
    assert told.errors == [("agent_stats", "state_unwritable")]
    assert state.read_bytes() == before
    assert [vars(one)["why"] for one in caplog.records] == ["No space left on device"]
    await first.read_once()
    assert state.read_bytes() != before
    second = collector(table, state=state)
    await second._restore()
    await second.read_once()

    assert second.ledger.position == first.ledger.position
    compare(table.truth(since), statement(second))


async def test_a_process_that_dies_before_the_disk_has_room_counts_from_the_last_good_file(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    table.set_clock(NOW)
    first = collector(table, state=state)
    await first.read_once()
    since = statement(first).since
    table.add(Report(since), Report(since + timedelta(minutes=30)))
    table.set_clock(since + timedelta(minutes=30))
    (tmp_path / "state.json.new").symlink_to("/dev/full")
    await first.read_once()
    second = collector(table, state=state)
    await second._restore()
    await second.read_once()

    compare(table.truth(since), statement(second))


def _written(content: bytes, **changed: object) -> bytes:
    """Return a state file with other contents and a checksum that fits."""
    head, body = (json.loads(line) for line in content.splitlines())
    head |= {key: value for key, value in changed.items() if key in head}
    line = json.dumps(body | {key: value for key, value in changed.items() if key in body}).encode()
    head["sha256"] = hashlib.sha256(line).hexdigest()
    return json.dumps(head).encode() + b"\n" + line + b"\n"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 0}, "It is of version 0; expected version 1."),
        ({"version": 2}, "It is of version 2; expected version 1."),
        ({"source": "coderd_metrics"}, "It holds counts of the source 'coderd_metrics'."),
        ({"bounds": [1.0, 2.0]}, "It holds counts of other latency buckets."),
        ({"since": "2026-01-14T10:00:00"}, "It holds a time without a zone."),
        ({"users": "hashed user-0123456789abcdef"}, "It holds users in a form that cannot be turned"),
        ({"latency": [["acme", "python", "ada", [1, 2], 3.0]]}, "It holds a histogram of another number"),
        ({"latency": [["acme", "python", "ada", [-1, *[0] * 14], 3.0]]}, "It holds a count that cannot be"),
        ({"traffic": [["acme", "python", "much", 1]]}, "It does not hold what it should"),
    ],
)
async def test_a_file_that_is_whole_and_does_not_fit_is_named(  # noqa: PLR0917 - as pytest has it.
    table: Table,
    collector: Collect,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    changed: dict[str, object],
    why: str,
) -> None:
    state = tmp_path / "state.json"
    await collector(table, state=state).read_once()
    state.write_bytes(_written(state.read_bytes(), **changed))
    second = collector(table, state=state)
    await second._restore()

    assert second.ledger.since is None
    assert [vars(one)["why"][: len(why)] for one in caplog.records] == [why]
    assert await second.read_once()
    assert (tmp_path / "state.json.rejected").exists()


async def test_a_file_that_was_cut_anywhere_is_never_trusted(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    table.set_clock(NOW)
    first = collector(table, state=state)
    await first.read_once()
    since = statement(first).since
    table.add(Report(since), Report(since + timedelta(minutes=30)))
    table.set_clock(since + timedelta(minutes=30))
    await first.read_once()
    whole = state.read_bytes()
    reader = collector(table, state=state)
    # Without the last line's end nothing is missing.
    for length in range(0, len(whole) - 1, 13):
        state.write_bytes(whole[:length])
        await reader._restore()

        assert reader.ledger.since is None, length


async def test_a_file_that_cannot_be_read_is_left_alone(
    table: Table, collector: Collect, tmp_path: Path
) -> None:
    state, told = tmp_path / "state.json", Told()
    state.mkdir()
    reader = collector(table, state=state, told=told)
    await reader._restore()

    assert await reader.read_once()
    assert told.errors == [("agent_stats", "state_unreadable")]
    assert state.is_dir()
