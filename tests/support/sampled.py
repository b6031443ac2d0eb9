"""An exporter that samples a simulated coderd's metrics, at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from insights_exporter.collectors.agent_stats import Ledger, LedgerCollector, SamplingReader
from insights_exporter.filters import Filters
from insights_exporter.redaction import Redaction
from insights_exporter.settings import AgentStatsSettings, AgentStatsSource, UserNames
from insights_exporter.simulator.coderd.metrics import CoderdMetrics
from insights_exporter.simulator.coderd.options import MetricsOptions
from insights_exporter.simulator.world import World
from insights_exporter.snapshot import (
    AgentStats,
    Distribution,
    Inventory,
    Reading,
    Template,
    TemplateKey,
    Workspace,
)
from tests.support.clock import FakeClock
from tests.support.told import Told

__all__ = ["Sampled", "existing", "observations"]


def existing(world: World, now: datetime) -> Inventory:
    """Return what the exporter's own list of a world's templates and workspaces holds."""
    keys = {one.id: TemplateKey(one.organization.name, one.name) for one in world.templates}
    return Inventory(
        templates=tuple(Template(number, key) for number, key in keys.items()),
        workspaces=tuple(
            Workspace(one.id, one.name, one.owner.username, keys[one.template.id], one.status)
            for one in world.workspaces(now)
        ),
    )


def observations(seen: Distribution) -> int:
    """Return how many observations there were."""
    return sum(seen.counts)


@dataclass
class Sampled:
    """A collector and the coderd that it samples; coderd began half a minute before the clock's time.

    ``fetch`` takes the place of coderd's page, ``inventory`` that of what exists.
    """

    world: World
    clock: FakeClock = field(default_factory=lambda: FakeClock(datetime(2026, 1, 14, 10, 0, 30, tzinfo=UTC)))
    options: MetricsOptions = field(default_factory=MetricsOptions)
    interval: float = 60.0
    state: Path | None = None
    told: Told = field(default_factory=Told)
    users: UserNames = UserNames.NAMED
    url: str = "https://coder.example.test"
    fetch: Callable[[], Awaitable[str]] | None = None
    inventory: Inventory | None = None
    collector: LedgerCollector = field(init=False)
    coderd: CoderdMetrics = field(init=False)

    def __post_init__(self) -> None:
        """Start both."""
        self.coderd = CoderdMetrics(self.world, self.clock.now().replace(second=0), self.options)
        self.restart()

    def restart(self) -> None:
        """Begin as a new process of the exporter."""
        redaction = Redaction(self.users, b"key")
        ledger = Ledger(redaction, Filters())
        settings = AgentStatsSettings(
            source=AgentStatsSource.CODERD_METRICS, interval=self.interval, state_file=self.state
        )
        self.collector = LedgerCollector(
            settings,
            ledger,
            reader=lambda foreign: SamplingReader(
                ledger,
                fetch=self._page,
                inventory=lambda: Reading(
                    self.inventory or existing(self.world, self.clock.now()), self.clock.now()
                ),
                identity=self.url,
                interval=self.interval,
                clock=self.clock,
                telemetry=self.told,
                foreign=foreign,
            ),
            max_staleness=1800.0,
            clock=self.clock,
            random=Random(1),
            telemetry=self.told,
        )

    async def sample(self, *, after: float = 0.0) -> bool:
        """Let time pass, take a sample and say whether it went well."""
        self.clock.advance(after)
        await self.collector._restore()
        return await self.collector.read_once()

    async def samples(self, count: int) -> AgentStats:
        """Take samples at the interval and return what is known then."""
        for _ in range(count):
            assert await self.sample(after=self.interval)
        return self.known()

    def known(self) -> AgentStats:
        """Return what is known."""
        reading = self.collector.current()
        assert reading is not None
        return reading.value

    async def _page(self) -> str:
        if self.fetch is not None:
            return await self.fetch()
        return self.coderd.page(self.clock.now())
