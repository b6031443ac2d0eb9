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

from insights_exporter.simulator.coderd.options import MetricsOptions
from insights_exporter.snapshot import AgentStats
from tests.support.agent_stats import user_latency, user_seconds
from tests.support.clock import FakeClock
from tests.support.sampled import Sampled, observations
from tests.support.told_world import template, told_world

START = datetime(2026, 1, 14, 10, tzinfo=UTC)
TEMPLATES = ("go", "java")


def totals(found: AgentStats) -> dict[tuple[str, ...], float]:
    """Return every number that only ever grows."""
    return {
        **{("latency", *key): observations(one) for key, one in user_latency(found).items()},
        **{("apps", *key): observations(one) for key, one in found.app_latency.items()},
        **{("time", *key): seconds for key, seconds in user_seconds(found).items()},
        **{("received", *key): number for key, number in found.received_bytes.items()},
        **{("transmitted", *key): number for key, number in found.transmitted_bytes.items()},
    }


class Samples(RuleBasedStateMachine):
    """Agents speak, time passes, coderd and the exporter are restarted, samples fail."""

    options: MetricsOptions

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.world = told_world(*(template(place, name) for place, name in enumerate(TEMPLATES)))
        for place, name in enumerate(TEMPLATES):
            self.world.workspace(name, of=place)
        clock = FakeClock(START)
        state = Path(self.folder.name) / "state"
        self.sampled = Sampled(self.world, clock=clock, options=self.options, state=state)
        self.loop.run_until_complete(self.sampled.sample())
        self.last = totals(self.sampled.known())

    @rule(
        agent=st.integers(0, 1),
        received=st.integers(0, 10_000),
        latency=st.sampled_from([-0.001, 5.0, 150.0, 800.0]),
        sessions=st.dictionaries(st.sampled_from(["ssh", "vscode"]), st.integers(0, 2)),
    )
    def speak(self, agent: int, received: int, latency: float, sessions: dict[str, int]) -> None:
        """Let an agent report."""
        self.world.say(
            self.world.told_workspaces[agent],
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
    def grows(self) -> None:
        """Compare with what was known before."""
        now = totals(self.sampled.known())

        assert {key: value for key, value in self.last.items() if now.get(key, -1.0) < value} == {}
        self.last = now

    @invariant()
    def never_twice(self) -> None:
        """Compare with all that was ever reported."""
        self.loop.run_until_complete(self.sampled.sample())
        known = self.sampled.known()
        passed = (self.sampled.clock.now() - START).total_seconds()
        for place, name in enumerate(TEMPLATES):
            said = [one for one in self.world.reports if one.template_id == self.world.templates[place].id]
            measured = [one for one in said if one.latency_ms > 0 and any(one.sessions.values())]
            key = ("coder", name)
            assert known.received_bytes[key] <= sum(one.rx_bytes for one in said)
            assert known.transmitted_bytes[key] <= sum(one.tx_bytes for one in said)
            seen = user_latency(known).get((*key, "ada"))
            assert (observations(seen) if seen else 0) <= len(measured)
            assert user_seconds(known).get((*key, "ada", "ssh"), 0) <= passed

    def teardown(self) -> None:
        """Remove everything."""
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


@pytest.mark.parametrize("totals", [False, True], ids=["set anew", "growing"])
@pytest.mark.parametrize("clients", [False, True], ids=["four families", "clients"])
def test_nothing_is_counted_twice(*, totals: bool, clients: bool) -> None:
    options = MetricsOptions(totals=totals, client_sessions=clients)
    machine = type("Machine", (Samples,), {"options": options})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
