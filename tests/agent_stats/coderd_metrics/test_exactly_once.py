"""State machine: counters are monotonic and each collection is counted exactly once."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from insights_exporter.simulator.options import MetricsOptions
from insights_exporter.snapshot import AgentStats
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.clock import FakeClock
from tests.support.coderd_metrics_harness import CoderdMetricsHarness, observation_count
from tests.support.scripted_world import scripted_world, template

START = datetime(2026, 1, 14, 10, tzinfo=UTC)
TEMPLATES = ("go", "java")


def counter_values(stats: AgentStats) -> dict[tuple[str, ...], float]:
    """Return the values of all counters."""
    return {
        **{
            ("latency", *key): observation_count(distribution)
            for key, distribution in user_latency(stats).items()
        },
        **{
            ("apps", *key): observation_count(distribution) for key, distribution in stats.app_latency.items()
        },
        **{("time", *key): seconds for key, seconds in user_seconds(stats).items()},
        **{("received", *key): number for key, number in stats.received_bytes.items()},
        **{("transmitted", *key): number for key, number in stats.transmitted_bytes.items()},
    }


class CoderdMetricsReaderMachine(RuleBasedStateMachine):
    """Agents report, time passes, coderd and the exporter restart."""

    options: MetricsOptions

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.world = scripted_world(*(template(number, name) for number, name in enumerate(TEMPLATES)))
        for number, name in enumerate(TEMPLATES):
            self.world.add_workspace(name, template_index=number)
        clock = FakeClock(START)
        state = Path(self.directory.name) / "state"
        self.sampled = CoderdMetricsHarness(self.world, clock=clock, options=self.options, state=state)
        self.loop.run_until_complete(self.sampled.sample())
        self.previous = counter_values(self.sampled.current_stats())

    @rule(
        agent=st.integers(0, 1),
        received=st.integers(0, 10_000),
        latency=st.sampled_from([-0.001, 5.0, 150.0, 800.0]),
        sessions=st.dictionaries(st.sampled_from(["ssh", "vscode"]), st.integers(0, 2)),
    )
    def report(self, agent: int, received: int, latency: float, sessions: dict[str, int]) -> None:
        """Add a report of an agent."""
        self.world.add_report(
            self.world.scripted_workspaces[agent],
            self.sampled.clock.now(),
            latency_ms=latency,
            received=received,
            sent=received // 2,
            sessions=sessions,
        )

    @rule(seconds=st.sampled_from([1.0, 20.0, 60.0, 61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.sampled.clock.advance(seconds)

    @rule(times=st.integers(1, 2))
    def sample(self, times: int) -> None:
        """Take samples at the same time."""
        for _ in range(times):
            assert self.loop.run_until_complete(self.sampled.sample())

    @rule()
    def restart_coderd(self) -> None:
        """Restart coderd."""
        self.sampled.coderd.restart(self.sampled.clock.now())

    @rule(pause=st.sampled_from([0.0, 5.0, 400.0]))
    def restart_exporter(self, pause: float) -> None:
        """Restart the exporter, which restores its state file."""
        self.sampled.restart()
        self.sampled.clock.advance(pause)
        assert self.loop.run_until_complete(self.sampled.sample())

    @invariant()
    def counters_are_monotonic(self) -> None:
        """Compare with the previous values."""
        now = counter_values(self.sampled.current_stats())

        assert {key: value for key, value in self.previous.items() if now.get(key, -1.0) < value} == {}
        self.previous = now

    @invariant()
    def counts_never_exceed_reports(self) -> None:
        """Compare with the counts of all reports."""
        self.loop.run_until_complete(self.sampled.sample())
        stats = self.sampled.current_stats()
        elapsed = (self.sampled.clock.now() - START).total_seconds()
        for number, name in enumerate(TEMPLATES):
            reports = [
                report
                for report in self.world.reports
                if report.template_id == self.world.templates[number].id
            ]
            measured = [
                report for report in reports if report.latency_ms > 0 and any(report.sessions.values())
            ]
            key = ("coder", name)
            assert stats.received_bytes[key] <= sum(report.rx_bytes for report in reports)
            assert stats.transmitted_bytes[key] <= sum(report.tx_bytes for report in reports)
            distribution = user_latency(stats).get((*key, "ada"))
            assert (observation_count(distribution) if distribution else 0) <= len(measured)
            assert user_seconds(stats).get((*key, "ada", "ssh"), 0) <= elapsed

    def teardown(self) -> None:
        """Check that a new report is counted exactly once after any history, and clean up."""
        self.loop.run_until_complete(self.sampled.sample())
        before = counter_values(self.sampled.current_stats())
        for received in (10_001, 10_002):
            self.report(0, received, 150.0, {"ssh": 1})
            self.sampled.clock.advance(60)
            assert self.loop.run_until_complete(self.sampled.sample())
            assert self.loop.run_until_complete(self.sampled.sample())
        after = counter_values(self.sampled.current_stats())
        latency = ("latency", "coder", "go", "ada")
        assert after[latency] - before.get(latency, 0) == 2
        assert after["received", "coder", "go"] > before["received", "coder", "go"]
        assert after["time", "coder", "go", "ada", "ssh"] > before.get(
            ("time", "coder", "go", "ada", "ssh"), 0
        )
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()


@pytest.mark.parametrize("cumulative", [False, True], ids=["reset", "cumulative"])
@pytest.mark.parametrize("by_client", [False, True], ids=["by_family", "by_client"])
def test_no_collection_is_counted_twice(*, cumulative: bool, by_client: bool) -> None:
    options = MetricsOptions(cumulative_bytes=cumulative, client_sessions=by_client)
    machine = type("ConfiguredMachine", (CoderdMetricsReaderMachine,), {"options": options})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
