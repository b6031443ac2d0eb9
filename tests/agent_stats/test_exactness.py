"""Whatever the order of reports, readings, restarts and faults, the counts are those of the table."""

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

from insights_exporter.collectors.agent_stats import PostgresCollector
from insights_exporter.collectors.agent_stats.postgres import LOOK_EVERY, SILENCE, STRIDE
from tests.agent_stats.reading import collecting, compare, statement
from tests.support.agent_table import CLIENTS, Report, Table
from tests.support.clock import FakeClock
from tests.support.postgres import Postgres
from tests.support.told import Told

OVERLAP = timedelta(minutes=2)
START = datetime(2026, 1, 14, 10, 20, 31, tzinfo=UTC)

reports: st.SearchStrategy[dict[str, object]] = st.builds(
    dict,
    user=st.sampled_from(["ada", "grace", "alan"]),
    template=st.sampled_from(["python", "java"]),
    latency_ms=st.one_of(st.sampled_from([None, -1.0, -0.001, 5.0, 150.0, 300.0]), st.floats(0.1, 9000)),
    sessions=st.dictionaries(st.sampled_from(CLIENTS), st.integers(0, 3)),
    usage=st.booleans(),
    agent=st.integers(1, 3),
)
skews = st.one_of(
    st.floats(-60, 60),
    # A replica whose clock is far ahead, and one that is behind by more than the overlap forgives.
    st.sampled_from([-1500.0, -400.0, 400.0]),
)


class Readings(RuleBasedStateMachine):
    """Writes reports with clocks that differ, lets time pass, reads, restarts, upgrades and breaks off."""

    server: Postgres
    counts: bool

    def __init__(self) -> None:
        super().__init__()
        self.table = Table.create(self.server, counts=self.counts)
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.told, self.clock = Told(), FakeClock()
        self.now, self.written, self.lost = START, 0, 0
        self.table.set_clock(START)
        self.reader = self.begin()
        self.read()
        self.since = statement(self.reader).since

    def begin(self) -> PostgresCollector:
        """Return a new process's collector."""
        reader = collecting(
            self.table,
            state=Path(self.folder.name) / "state",
            overlap=OVERLAP.total_seconds(),
            batch_rows=3,
            told=self.told,
            clock=self.clock,
        )
        self.loop.run_until_complete(reader._restore())
        return reader

    @property
    def position(self) -> datetime:
        """Up to when reports are closed."""
        return datetime.fromisoformat(self.reader.ledger.position)

    @rule(made=st.lists(st.tuples(reports, skews), max_size=6))
    def write(self, made: list[tuple[dict[str, object], float]]) -> None:
        """Write reports late or early; what falls into a closed slice is lost, and only that."""
        found = []
        for one, skew in made:
            at = max(self.since, self.now + timedelta(seconds=skew))
            found.append(Report(at, lost=at < self.position, **one))  # type: ignore[arg-type] # The strategy gives the right types.
        self.table.add(*found)
        self.written += len(found)
        self.lost += sum(one.lost for one in found)

    @rule(seconds=st.sampled_from([20, 60, 150, 4000]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.table.set_clock(self.now)

    @rule(saved=st.booleans())
    def restart(self, *, saved: bool) -> None:
        """Begin as a new process, with or without a last reading."""
        if saved:
            self.read()
        self.stop()
        self.reader = self.begin()

    @precondition(lambda self: not self.table.counts)
    @rule()
    def upgrade(self) -> None:
        """Let Coder change its table under the reader."""
        self.table.upgrade()

    @rule()
    def disconnect(self) -> None:
        """End the connection from the other side; the next reading fails and the one after it does not."""
        self.table.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self.loop.run_until_complete(self.reader.read_once())

    def read(self) -> None:
        """Read."""
        assert self.loop.run_until_complete(self.reader.read_once()), self.told.errors[-1:]

    @invariant()
    def exact(self) -> None:
        """Compare with the table; a label set that is new is zero once, so read twice."""
        self.read()
        self.clock.advance(LOOK_EVERY)
        self.read()
        closed = self.told.rows["observed"] + self.told.rows["unobserved"]
        compare(self.table.truth(self.since), statement(self.reader))
        assert self.position >= self.now - SILENCE - OVERLAP - STRIDE - timedelta(minutes=1)
        assert self.told.rows["late"] == self.lost
        assert closed <= self.written - self.lost

    def stop(self) -> None:
        """Close the connection."""

        async def close() -> None:
            self.reader.close()
            await asyncio.sleep(0)

        self.loop.run_until_complete(close())

    def teardown(self) -> None:
        """See all closed in the end, and remove everything."""
        self.wait(8000)
        self.exact()
        assert self.told.rows["observed"] + self.told.rows["unobserved"] == self.written - self.lost
        self.stop()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()
        self.server.take_back(self.table.database)


@pytest.mark.long
@pytest.mark.parametrize("counts", [False, True], ids=["columns", "session_counts"])
def test_every_report_is_counted_once(postgres: Postgres, *, counts: bool) -> None:
    machine = type("Machine", (Readings,), {"server": postgres, "counts": counts})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8,
            phases=[Phase.generate],
            stateful_step_count=8,
            suppress_health_check=list(HealthCheck),
        ),
    )
