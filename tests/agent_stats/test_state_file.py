"""The state file: restart, quarantine, privacy, write errors."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights_exporter.agent_stats import state_file
from insights_exporter.agent_stats.state_file import StateFile
from insights_exporter.config.settings import UsernameMode
from insights_exporter.privacy import UsernamePolicy
from tests.agent_stats.agent_stats_harness import CollectorFactory, assert_stats_match, latest_stats
from tests.support.agent_stats_table import AgentStatsRow, AgentStatsTable
from tests.support.log_events import log_events
from tests.support.postgres import Postgres
from tests.support.recording_telemetry import RecordingTelemetry

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


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
    await second.restore()

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

    await collector.restore()
    await collector.read_once()

    assert (tmp_path / "state.json.rejected").read_bytes() == content
    second = make_collector(table, state=state)
    await second.restore()
    assert second.accumulator.since == collector.accumulator.since is not None


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

    await second.restore()

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
    # As if the last reading and the last save were five minutes old.
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
    await second.restore()

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
    assert latest_stats(collector).received_bytes


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Redirect the temporary file to /dev/full."""
    original_open = os.open

    def open_full_device(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".new"):
            return original_open("/dev/full", os.O_WRONLY)
        return original_open(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_full_device)
        yield


async def test_full_disk_recovers_without_loss(
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, telemetry = tmp_path / "state.json", RecordingTelemetry()
    table.freeze_clock(NOW)
    first = make_collector(table, state=state, telemetry=telemetry)
    await first.read_once()
    since, before = latest_stats(first).since, state.read_bytes()
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=30)))
    table.freeze_clock(since + timedelta(minutes=30))
    with full_disk(monkeypatch):
        assert await first.read_once()
    assert telemetry.errors == [("agent_stats", "state_unwritable")]
    assert state.read_bytes() == before
    assert [event["error"] for event in log_events(caplog)] == ["No space left on device"]
    await first.read_once()
    assert state.read_bytes() != before
    second = make_collector(table, state=state)
    await second.restore()
    await second.read_once()

    assert second.accumulator.cursor == first.accumulator.cursor
    assert_stats_match(table.expected_stats(since), latest_stats(second))


async def test_crash_during_full_disk_resumes_from_last_good_file(
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = tmp_path / "state.json"
    table.freeze_clock(NOW)
    first = make_collector(table, state=state)
    await first.read_once()
    since = latest_stats(first).since
    table.add(AgentStatsRow(since), AgentStatsRow(since + timedelta(minutes=30)))
    table.freeze_clock(since + timedelta(minutes=30))
    with full_disk(monkeypatch):
        await first.read_once()
    second = make_collector(table, state=state)
    await second.restore()
    await second.read_once()

    assert_stats_match(table.expected_stats(since), latest_stats(second))


def create_readable_leftover(temporary: Path, _: Path) -> None:
    temporary.write_bytes(b"leftover")
    temporary.chmod(0o666)


def create_link(temporary: Path, target: Path) -> None:
    temporary.symlink_to(target)


def create_dangling_link(temporary: Path, target: Path) -> None:
    temporary.symlink_to(target.with_name("absent"))


def create_hard_link(temporary: Path, target: Path) -> None:
    temporary.hardlink_to(target)


@pytest.mark.parametrize(
    "obstruct", [create_readable_leftover, create_link, create_dangling_link, create_hard_link]
)
def test_temporary_file_is_created_exclusively_with_mode_0600(
    tmp_path: Path, obstruct: Callable[[Path, Path], None]
) -> None:
    """The state file is private, and a link in place of the temporary file leaves its target unchanged."""
    state, target = tmp_path / "state.json", tmp_path / "target"
    target.write_bytes(b"target")
    target.chmod(0o644)
    obstruct(tmp_path / "state.json.new", target)

    StateFile(state, source="postgres").write_atomic(b"content")

    assert state.read_bytes() == b"content"
    assert not state.is_symlink()
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"target", 0o644)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["state.json", "target"]


def rewrite_state(content: bytes, **overrides: object) -> bytes:
    """Return a state file with changed content and a valid checksum."""
    header, body = (json.loads(payload) for payload in content.splitlines())
    header |= {key: value for key, value in overrides.items() if key in header}
    payload = json.dumps(body | {key: value for key, value in overrides.items() if key in body}).encode()
    header["sha256"] = hashlib.sha256(payload).hexdigest()
    return json.dumps(header).encode() + b"\n" + payload + b"\n"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"version": 0}, "version: expected 1, got 0"),
        ({"version": 2}, "version: expected 1, got 2"),
        ({"source": "coderd_metrics"}, 'source: expected "postgres", got "coderd_metrics"'),
        ({"bounds": [1.0, 2.0]}, "bounds: expected the latency buckets of this version"),
        ({"since": "2026-01-14T10:00:00"}, "since: expected a time with a UTC offset"),
        (
            {"users": "hashed user-0123456789abcdef"},
            "users: cannot be converted to the configured privacy.users",
        ),
        ({"latency": [["acme", "python", "ada", [1, 2], 3.0]]}, "histogram: expected 15 buckets, got 2"),
        (
            {"latency": [["acme", "python", "ada", [-1, *[0] * 14], 3.0]]},
            "histogram: expected counts from 0 to",
        ),
        ({"traffic": [["acme", "python", "much", 1]]}, "invalid content: "),
    ],
)
async def test_incompatible_state_is_reported_with_reason(  # noqa: PLR0917  # Fixtures and parameters.
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    overrides: dict[str, object],
    reason: str,
) -> None:
    state = tmp_path / "state.json"
    await make_collector(table, state=state).read_once()
    state.write_bytes(rewrite_state(state.read_bytes(), **overrides))
    second = make_collector(table, state=state)
    await second.restore()

    assert second.accumulator.since is None
    assert [str(event["error"])[: len(reason)] for event in log_events(caplog)] == [reason]
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
    # The final newline is optional.
    for length in range(0, len(content) - 1, 13):
        state.write_bytes(content[:length])
        await collector.restore()

        assert collector.accumulator.since is None, length


async def test_unreadable_state_file_is_not_overwritten(
    table: AgentStatsTable, make_collector: CollectorFactory, tmp_path: Path
) -> None:
    state, telemetry = tmp_path / "state.json", RecordingTelemetry()
    state.mkdir()
    collector = make_collector(table, state=state, telemetry=telemetry)
    await collector.restore()

    assert await collector.read_once()
    assert telemetry.errors == [("agent_stats", "state_unreadable")]
    assert state.is_dir()


async def test_oversized_state_file_is_quarantined_without_reading_it(
    table: AgentStatsTable,
    make_collector: CollectorFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_file, "MAX_BYTES", 10)
    state = tmp_path / "state.json"
    await make_collector(table, state=state).read_once()
    collector = make_collector(table, state=state)

    await collector.restore()

    assert collector.accumulator.since is None
    assert (tmp_path / "state.json.rejected").exists()
