"""State machine: each report is counted exactly once."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from insights_exporter.agent_stats.collector import AgentStatsCollector
from insights_exporter.agent_stats.postgres.reader import (
    LATE_CHECK_INTERVAL,
    MAX_QUIET,
    MIN_COMMIT_SPAN,
)
from tests.agent_stats.agent_stats_harness import assert_stats_match, build_collector, latest_stats
from tests.support.agent_stats_table import SESSION_FAMILIES, AgentStatsRow, AgentStatsTable
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres
from tests.support.recording_telemetry import RecordingTelemetry

OVERLAP = timedelta(minutes=2)
START = datetime(2026, 1, 14, 10, 20, 31, tzinfo=UTC)

report_fields: st.SearchStrategy[dict[str, object]] = st.builds(
    dict,
    user=st.sampled_from(["ada", "grace", "alan"]),
    template=st.sampled_from(["python", "java"]),
    latency_ms=st.one_of(st.sampled_from([None, -1.0, -0.001, 5.0, 150.0, 300.0]), st.floats(0.1, 9000)),
    sessions=st.dictionaries(st.sampled_from(SESSION_FAMILIES), st.integers(0, 3)),
    usage=st.booleans(),
    agent=st.integers(1, 3),
)
clock_skews = st.one_of(
    st.floats(-60, 60),
    # A replica whose clock is far ahead, and some that are behind by more than the overlap.
    st.sampled_from([-1500.0, -400.0, 400.0]),
)


class PostgresReaderMachine(RuleBasedStateMachine):
    """Inserts reports with skewed clocks, advances time, reads, restarts, upgrades and disconnects."""

    server: Postgres
    json_session_counts: bool

    def __init__(self) -> None:
        super().__init__()
        self.table = AgentStatsTable.create(self.server, json_session_counts=self.json_session_counts)
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.telemetry, self.clock = RecordingTelemetry(), FakeClock()
        self.now, self.written_count, self.lost_count = START, 0, 0
        self.table.freeze_clock(START)
        self.collector = self.start_collector()
        self.read()
        self.since = latest_stats(self.collector).since

    def start_collector(self) -> AgentStatsCollector:
        """Return the collector of a new process."""
        collector = build_collector(
            self.table,
            state=Path(self.directory.name) / "state",
            overlap=OVERLAP.total_seconds(),
            batch_rows=3,
            telemetry=self.telemetry,
            clock=self.clock,
        )
        self.loop.run_until_complete(collector.restore())
        return collector

    @property
    def cursor(self) -> datetime:
        """The time up to which reports are committed."""
        return datetime.fromisoformat(self.collector.accumulator.cursor)

    @rule(made=st.lists(st.tuples(report_fields, clock_skews), max_size=6))
    def write(self, made: list[tuple[dict[str, object], float]]) -> None:
        """Insert reports with skewed times; exactly those before the cursor are late."""
        reports = []
        for fields, skew in made:
            at = max(self.since, self.now + timedelta(seconds=skew))
            reports.append(AgentStatsRow(at, is_late=at < self.cursor, **fields))  # type: ignore[arg-type] # The strategy gives the right types.
        self.table.add(*reports)
        self.written_count += len(reports)
        self.lost_count += sum(report.is_late for report in reports)

    @rule(seconds=st.sampled_from([20, 60, 150, 4000]))
    def wait(self, seconds: int) -> None:
        """Advance the clock of the database."""
        self.now += timedelta(seconds=seconds)
        self.table.freeze_clock(self.now)

    @rule(saved=st.booleans())
    def restart(self, *, saved: bool) -> None:
        """Restart the exporter, with or without a last reading."""
        if saved:
            self.read()
        self.close_collector()
        self.collector = self.start_collector()

    @precondition(lambda self: not self.table.json_session_counts)
    @rule()
    def upgrade(self) -> None:
        """Upgrade Coder to the JSON schema."""
        self.table.migrate_to_json()

    @rule()
    def disconnect(self) -> None:
        """Close the connection on the server; the next reading fails, the one after it succeeds."""
        self.table.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self.loop.run_until_complete(self.collector.read_once())

    def read(self) -> None:
        """Read once; must succeed."""
        assert self.loop.run_until_complete(self.collector.read_once()), self.telemetry.errors[-1:]

    @invariant()
    def stats_match_table(self) -> None:
        """Compare with the table after two readings, because new label sets start at 0."""
        self.read()
        self.clock.advance(LATE_CHECK_INTERVAL)
        self.read()
        committed_count = (
            self.telemetry.agent_row_counts["observed"] + self.telemetry.agent_row_counts["unobserved"]
        )
        assert_stats_match(self.table.expected_stats(self.since), latest_stats(self.collector))
        assert self.cursor >= self.now - MAX_QUIET - OVERLAP - MIN_COMMIT_SPAN - timedelta(minutes=1)
        assert self.telemetry.agent_row_counts["late"] == self.lost_count
        assert committed_count <= self.written_count - self.lost_count

    def close_collector(self) -> None:
        """Close the connection and run its callbacks."""

        async def close() -> None:
            self.collector.close()
            await asyncio.sleep(0)

        self.loop.run_until_complete(close())

    def teardown(self) -> None:
        """Commit everything, compare once more, and clean up."""
        self.wait(8000)
        self.stats_match_table()
        assert (
            self.telemetry.agent_row_counts["observed"] + self.telemetry.agent_row_counts["unobserved"]
            == self.written_count - self.lost_count
        )
        self.close_collector()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()
        self.server.release_databases(self.table.database)


@pytest.mark.long
@pytest.mark.parametrize("json_session_counts", [False, True], ids=["columns", "session_counts"])
def test_every_report_is_counted_exactly_once(postgres: Postgres, *, json_session_counts: bool) -> None:
    machine = type(
        "ConfiguredMachine",
        (PostgresReaderMachine,),
        {"server": postgres, "json_session_counts": json_session_counts},
    )

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8,
            phases=[Phase.generate],
            stateful_step_count=8,
            suppress_health_check=list(HealthCheck),
        ),
    )
