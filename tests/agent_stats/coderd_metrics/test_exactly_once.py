"""Whatever happens to coderd and to the exporter, counters never fall and nothing is counted twice."""

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
    """Return every number that only ever grows."""
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
    """Agents speak, time passes, coderd and the exporter are restarted, samples fail."""

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
        """Let an agent report."""
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
        """Let time pass."""
        self.sampled.clock.advance(seconds)

    @rule(times=st.integers(1, 2))
    def sample(self, times: int) -> None:
        """Take samples, one right after the other."""
        for _ in range(times):
            assert self.loop.run_until_complete(self.sampled.sample())

    @rule()
    def restart_coderd(self) -> None:
        """Let coderd begin anew."""
        self.sampled.coderd.restart(self.sampled.clock.now())

    @rule(pause=st.sampled_from([0.0, 5.0, 400.0]))
    def restart_exporter(self, pause: float) -> None:
        """Begin as a new process of the exporter, which reads its file."""
        self.sampled.restart()
        self.sampled.clock.advance(pause)
        assert self.loop.run_until_complete(self.sampled.sample())

    @invariant()
    def counters_are_monotonic(self) -> None:
        """Compare with what was known before."""
        now = counter_values(self.sampled.current_stats())

        assert {key: value for key, value in self.previous.items() if now.get(key, -1.0) < value} == {}
        self.previous = now

    @invariant()
    def counts_never_exceed_reports(self) -> None:
        """Compare with all that was ever reported."""
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
        """Remove everything."""
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()


@pytest.mark.parametrize("totals", [False, True], ids=["set anew", "growing"])
@pytest.mark.parametrize("clients", [False, True], ids=["four families", "clients"])
def test_no_collection_is_counted_twice(*, totals: bool, clients: bool) -> None:
    options = MetricsOptions(cumulative_bytes=totals, client_sessions=clients)
    machine = type("Machine", (CoderdMetricsReaderMachine,), {"options": options})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
