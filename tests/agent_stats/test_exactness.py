"""Whatever the order of reports, readings and restarts, the counts are those of the table."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from insights_exporter.collectors.agent_stats import PostgresCollector
from tests.agent_stats.reading import collecting, compare, statement
from tests.support.agent_table import CLIENTS, Report, Table
from tests.support.postgres import Postgres

OVERLAP = 120.0

reports: st.SearchStrategy[dict[str, object]] = st.builds(
    dict,
    user=st.sampled_from(["ada", "grace", "alan"]),
    template=st.sampled_from(["python", "java"]),
    latency_ms=st.one_of(st.sampled_from([None, -1.0, -0.001, 5.0, 150.0, 300.0]), st.floats(0.1, 9000)),
    sessions=st.dictionaries(st.sampled_from(CLIENTS), st.integers(0, 3)),
    usage=st.booleans(),
    agent=st.integers(1, 3),
)


class Readings(RuleBasedStateMachine):
    """Writes reports, lets time pass by making them older, reads and restarts."""

    server: Postgres
    counts: bool

    def __init__(self) -> None:
        super().__init__()
        self.table = Table.create(self.server, counts=self.counts)
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.passed = timedelta(0)
        # Twenty hours ago, so that as much may pass before the database's own clock is reached.
        self.since = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=20)
        self.reader = self.begin()
        organization = self.table.sql("SELECT id FROM organizations")
        self.reader.ledger.begin(self.since, identity=organization, position=self.since.isoformat())
        self.read()

    def begin(self) -> PostgresCollector:
        """Return a new process's collector."""
        reader = collecting(self.table, state=Path(self.folder.name) / "state", overlap=OVERLAP)
        self.loop.run_until_complete(reader._restore())
        return reader

    @rule(made=st.lists(st.tuples(reports, st.floats(0, OVERLAP - 61)), max_size=5))
    def write(self, made: list[tuple[dict[str, object], float]]) -> None:
        """Write reports that are up to nearly the overlap late, as clocks and queues have it."""
        now = self.since + self.passed
        moments = [max(self.since, now - timedelta(seconds=late)) for _, late in made]
        self.table.add(*(Report(at, **one) for at, (one, _) in zip(moments, made, strict=True)))  # type: ignore[arg-type] # The strategy gives the right types.

    @rule(seconds=st.sampled_from([20, 60, 150, 4000]))
    def wait(self, seconds: int) -> None:
        """Let reports from now on be later; the reader takes the newest one for the time of day."""
        self.passed += timedelta(seconds=seconds)

    @rule()
    def read(self) -> None:
        """Read."""
        assert self.loop.run_until_complete(self.reader.read_once())

    @rule(saved=st.booleans())
    def restart(self, *, saved: bool) -> None:
        """Begin as a new process, with or without a last reading."""
        if saved:
            self.read()
        self.stop()
        self.reader = self.begin()
        self.read()

    @invariant()
    def exact(self) -> None:
        """Compare with the table; a label set that is new is zero once, so read twice."""
        self.read()
        self.read()
        compare(self.table.truth(self.since), statement(self.reader))

    def stop(self) -> None:
        """Close the connection."""

        async def close() -> None:
            self.reader.close()
            await asyncio.sleep(0)

        self.loop.run_until_complete(close())

    def teardown(self) -> None:
        """Remove everything."""
        # What is older than the overlap was closed, or the machine shows nothing.
        newest = self.table.sql("SELECT count(*), max(created_at) FROM workspace_agent_stats")
        if not newest.startswith("0|"):
            last = datetime.fromisoformat(newest.partition("|")[2])
            closed = datetime.fromisoformat(self.reader.ledger.position)
            assert closed == max(
                self.since, (last - timedelta(seconds=OVERLAP)).replace(second=0, microsecond=0)
            )
        self.stop()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


@pytest.mark.parametrize("counts", [False, True], ids=["columns", "session_counts"])
def test_every_report_is_counted_once(postgres: Postgres, *, counts: bool) -> None:
    machine = type("Machine", (Readings,), {"server": postgres, "counts": counts})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
