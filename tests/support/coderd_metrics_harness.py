"""A coderd metrics reader against a simulated coderd, under the test's clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from insights_exporter.agent_stats.accumulator import Accumulator
from insights_exporter.agent_stats.coderd_metrics.reader import CoderdMetricsReader
from insights_exporter.agent_stats.collector import AgentStatsCollector
from insights_exporter.config.settings import AgentStatsSettings, AgentStatsSource, UsernameMode
from insights_exporter.privacy import Filters, UsernamePolicy
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.options import MetricsOptions
from insights_exporter.simulator.world import World
from insights_exporter.snapshot import (
    AgentStats,
    Inventory,
    LatencyHistogram,
    Template,
    TemplateKey,
    Timestamped,
    Workspace,
)
from tests.support.clock import FakeClock
from tests.support.histograms import bucket_counts
from tests.support.recording_telemetry import RecordingTelemetry

__all__ = ["CoderdMetricsHarness", "inventory_of", "observation_count"]


def inventory_of(world: World, now: datetime) -> Inventory:
    """Return the exporter's inventory of a world."""
    keys = {item.id: TemplateKey(item.organization.name, item.name) for item in world.templates}
    return Inventory(
        templates=tuple(Template(template_id, key) for template_id, key in keys.items()),
        workspaces=tuple(
            Workspace(item.id, item.name, item.owner.username, keys[item.template.id], item.status)
            for item in world.workspaces(now)
        ),
    )


def observation_count(distribution: LatencyHistogram) -> int:
    """Return the number of observations."""
    return sum(bucket_counts(distribution))


@dataclass
class CoderdMetricsHarness:
    """A collector and its coderd, which started 30 seconds before the clock's time.

    ``fetch`` replaces coderd's response, ``inventory`` the list of workspaces.
    """

    world: World
    clock: FakeClock = field(default_factory=lambda: FakeClock(datetime(2026, 1, 14, 10, 0, 30, tzinfo=UTC)))
    options: MetricsOptions = field(default_factory=MetricsOptions)
    interval: float = 60.0
    by_client: bool = False
    state: Path | None = None
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    users: UsernameMode = UsernameMode.NAMED
    url: str = "https://coder.example.test"
    fetch: Callable[[], Awaitable[str]] | None = None
    inventory: Inventory | None = None
    collector: AgentStatsCollector = field(init=False)
    coderd: CoderdMetrics = field(init=False)

    def __post_init__(self) -> None:
        """Start coderd and the collector."""
        self.coderd = CoderdMetrics(self.world, self.clock.now().replace(second=0), self.options)
        self.restart()

    def restart(self) -> None:
        """Restart the exporter."""
        username_policy = UsernamePolicy(self.users, b"key")
        accumulator = Accumulator(username_policy, Filters())
        settings = AgentStatsSettings(
            source=AgentStatsSource.CODERD_METRICS, interval=self.interval, state_file=self.state
        )
        self.collector = AgentStatsCollector(
            settings,
            accumulator,
            reader_factory=lambda on_state_rejected: CoderdMetricsReader(
                accumulator,
                fetch=self._page,
                inventory=lambda: Timestamped(
                    self.inventory or inventory_of(self.world, self.clock.now()), self.clock.now()
                ),
                identity=self.url,
                interval=self.interval,
                by_client=self.by_client,
                clock=self.clock,
                telemetry=self.telemetry,
                on_state_rejected=on_state_rejected,
            ),
            max_staleness=1800.0,
            clock=self.clock,
            random=Random(1),
            telemetry=self.telemetry,
        )

    async def sample(self, *, after: float = 0.0) -> bool:
        """Advance the clock, take a sample, and return whether it succeeded."""
        self.clock.advance(after)
        await self.collector.restore()
        return await self.collector.read_once()

    async def samples(self, count: int) -> AgentStats:
        """Take samples at the interval and return the statistics."""
        for _ in range(count):
            assert await self.sample(after=self.interval)
        return self.current_stats()

    def current_stats(self) -> AgentStats:
        """Return the current statistics."""
        reading = self.collector.current()
        assert reading is not None
        return reading.value

    async def _page(self) -> str:
        if self.fetch is not None:
            return await self.fetch()
        return self.coderd.render(self.clock.now())
