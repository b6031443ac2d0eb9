"""What was counted outlives the process, and what cannot be trusted is set aside."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights_exporter.config.settings import UsernameMode
from insights_exporter.privacy import UsernamePolicy
from tests.agent_stats.agent_stats_harness import CollectorFactory, assert_stats_match, latest_stats
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.postgres import Postgres
from tests.support.recording_telemetry import RecordingTelemetry

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


@pytest.fixture
def table(postgres: Postgres) -> AgentStatsTable:
    return AgentStatsTable.create(postgres)


async def test_restart_counts_exactly_once(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    table.freeze_clock(NOW)
    first = make_collector(table, state=state)
    await first.read_once()
    since = latest_stats(first).since
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=30)))
    table.freeze_clock(since + timedelta(minutes=30))
    await first.read_once()
    table.add(AgentStatsRow(since + timedelta(minutes=31), user="grace"))
    second = make_collector(table, state=state)
    await second._restore()

    await second.read_once()

    assert latest_stats(second).since == since
    assert_stats_match(table.expected_stats(since), latest_stats(second))


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}\n{}\n", b'{"format":"another"}\n'])
async def test_foreign_file_is_quarantined(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path, content: bytes
) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(content)
    collector = make_collector(table, state=state)

    await collector._restore()
    await collector.read_once()

    assert (tmp_path / "state.json.rejected").read_bytes() == content
    assert state.exists()


async def test_checksum_detects_one_changed_byte(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    first = make_collector(table, state=state)
    await first.read_once()
    content = bytearray(state.read_bytes())
    content[-10] ^= 1
    state.write_bytes(content)
    second = make_collector(table, state=state)

    await second._restore()

    assert second.accumulator.since is None
    assert (tmp_path / "state.json.rejected").exists()


async def test_state_file_has_no_usernames_when_hashed(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    username_policy = UsernamePolicy(UsernameMode.HASHED, b"0123456789abcdef")
    first = make_collector(table, state=state, username_policy=username_policy, overlap=0.0)
    await first.read_once()
    since = latest_stats(first).since
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=2)))
    # As if the last reading were five minutes old, and nothing were saved since.
    first._saved_revision = None
    first.accumulator.cursor = (since - timedelta(minutes=5)).isoformat()
    table.add(AgentStatsRow(since - timedelta(minutes=3), user="grace"))
    await first.read_once()

    assert b'"python","user-' in state.read_bytes()
    assert b"grace" not in state.read_bytes()


async def test_state_of_another_deployment_is_quarantined(
    postgres: Postgres, table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state, telemetry = tmp_path / "state.json", RecordingTelemetry()
    await make_collector(table, state=state).read_once()
    table.sql(
        "UPDATE organizations SET id = gen_random_uuid(); UPDATE templates SET organization_id ="
        " (SELECT id FROM organizations)"
    )
    second = make_collector(table, state=state, telemetry=telemetry)
    await second._restore()

    assert await second.read_once()
    assert telemetry.errors == [("agent_stats", "state_foreign")]
    assert (tmp_path / "state.json.rejected").exists()


async def test_unwritable_directory_is_reported(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    telemetry = RecordingTelemetry()
    collector = make_collector(table, state=tmp_path / "absent" / "state.json", telemetry=telemetry)

    assert await collector.read_once()
    assert telemetry.errors == [("agent_stats", "state_unwritable")]


async def test_full_disk_recovers_without_loss(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is written goes to a device that is always full, as far as the kernel is concerned."""
    state, telemetry = tmp_path / "state.json", RecordingTelemetry()
    table.freeze_clock(NOW)
    first = make_collector(table, state=state, telemetry=telemetry)
    await first.read_once()
    since, before = latest_stats(first).since, state.read_bytes()
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=30)))
    table.freeze_clock(since + timedelta(minutes=30))
    (tmp_path / "state.json.new").symlink_to("/dev/full")
    assert await first.read_once()
    assert telemetry.errors == [("agent_stats", "state_unwritable")]
    assert state.read_bytes() == before
    assert [vars(record)["why"] for record in caplog.records] == ["No space left on device"]
    await first.read_once()
    assert state.read_bytes() != before
    second = make_collector(table, state=state)
    await second._restore()
    await second.read_once()

    assert second.accumulator.cursor == first.accumulator.cursor
    assert_stats_match(table.expected_stats(since), latest_stats(second))


async def test_crash_during_full_disk_resumes_from_last_good_file(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    table.freeze_clock(NOW)
    first = make_collector(table, state=state)
    await first.read_once()
    since = latest_stats(first).since
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=30)))
    table.freeze_clock(since + timedelta(minutes=30))
    (tmp_path / "state.json.new").symlink_to("/dev/full")
    await first.read_once()
    second = make_collector(table, state=state)
    await second._restore()
    await second.read_once()

    assert_stats_match(table.expected_stats(since), latest_stats(second))


def rewrite_state(content: bytes, **overrides: object) -> bytes:
    """Return a state file with other contents and a checksum that fits."""
    header, body = (json.loads(payload) for payload in content.splitlines())
    header |= {key: value for key, value in overrides.items() if key in header}
    payload = json.dumps(body | {key: value for key, value in overrides.items() if key in body}).encode()
    header["sha256"] = hashlib.sha256(payload).hexdigest()
    return json.dumps(header).encode() + b"\n" + payload + b"\n"


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
async def test_incompatible_state_is_reported_with_reason(
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    changed: dict[str, object],
    why: str,
) -> None:
    state = tmp_path / "state.json"
    await make_collector(table, state=state).read_once()
    state.write_bytes(rewrite_state(state.read_bytes(), **changed))
    second = make_collector(table, state=state)
    await second._restore()

    assert second.accumulator.since is None
    assert [vars(record)["why"][: len(why)] for record in caplog.records] == [why]
    assert await second.read_once()
    assert (tmp_path / "state.json.rejected").exists()


async def test_truncated_state_is_rejected(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    table.freeze_clock(NOW)
    first = make_collector(table, state=state)
    await first.read_once()
    since = latest_stats(first).since
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=30)))
    table.freeze_clock(since + timedelta(minutes=30))
    await first.read_once()
    content = state.read_bytes()
    collector = make_collector(table, state=state)
    # Without the last line's end nothing is missing.
    for length in range(0, len(content) - 1, 13):
        state.write_bytes(content[:length])
        await collector._restore()

        assert collector.accumulator.since is None, length


async def test_unreadable_state_file_is_not_overwritten(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state, telemetry = tmp_path / "state.json", RecordingTelemetry()
    state.mkdir()
    collector = make_collector(table, state=state, telemetry=telemetry)
    await collector._restore()

    assert await collector.read_once()
    assert telemetry.errors == [("agent_stats", "state_unreadable")]
    assert state.is_dir()
