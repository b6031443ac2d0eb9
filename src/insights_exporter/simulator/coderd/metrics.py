"""coderd's page of metrics, which changes at ticks and not with each scrape."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from insights_exporter.simulator.coderd.agents import AgentStatistics, agents, pushed
from insights_exporter.simulator.coderd.insights import WINDOW, insights
from insights_exporter.simulator.coderd.options import MetricsOptions
from insights_exporter.simulator.coderd.vector import Vector, written
from insights_exporter.simulator.world import World

__all__ = ["CoderdMetrics"]

TICK = timedelta(minutes=1)
_TICKS_KEPT = 600
"""How far back a page that nobody asked for looks for what would still stand on it."""


@dataclass(slots=True)
class CoderdMetrics:
    """The metrics of one replica since ``started``; agents are gathered each minute, insights every five.

    ``organizations`` says whether the release tells templates of one name apart.
    """

    world: World
    started: datetime
    options: MetricsOptions = MetricsOptions()  # noqa: RUF009 - it is frozen.
    organizations: bool = True
    _statistics: AgentStatistics = field(init=False)
    _tick: int = field(default=0, init=False)
    _cycle: int = field(default=-1, init=False)
    _agents: list[Vector] = field(default_factory=list, init=False)
    _insights: list[Vector] = field(default_factory=list, init=False)
    _page: tuple[tuple[int, int], str] | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self._statistics = AgentStatistics(self.options)

    def restart(self, at: datetime) -> None:
        """Forget everything, as a new process does."""
        with self._lock:
            self.started, self._tick, self._cycle, self._page = at, 0, -1, None
            self._agents, self._insights = [], []
            self._statistics = AgentStatistics(self.options)

    def page(self, now: datetime) -> str:
        """Return the page as it stands; raise DuplicateError where coderd has none to show."""
        with self._lock:
            passed = max(timedelta(0), now - self.started)
            # The first tick comes with the start, and finds nothing.
            place = 1 + passed // TICK, passed // WINDOW
            if self._page is None or self._page[0] != place:
                if self.options.enable:
                    self._gather(*place)
                self._page = place, written(self._vectors())
            return self._page[1]

    def _gather(self, tick: int, cycle: int) -> None:
        if self.options.collect_agent_stats and tick > self._tick:
            self._gather_agents(tick)
        if cycle > self._cycle:
            at = self.started + cycle * WINDOW
            reports = self.world.agent_reports(at - WINDOW, at) if self.world.collecting else ()
            self._insights = insights(self.world, at, organizations=self.organizations, reports=reports)
            self._cycle = cycle

    def _gather_agents(self, tick: int) -> None:
        """Look at every minute since the last time whose reports still show: the last ones with any."""
        missed = range(max(self._tick + 1, tick - _TICKS_KEPT, 2), tick + 1)
        found = self.world.workspaces(self.started + (tick - 1) * TICK)
        workspaces = {one.id: one for one in found}
        for number in missed if self.options.totals else reversed(missed):
            end = self.started + (number - 1) * TICK
            reports = list(self.world.agent_reports(end - TICK, end)) if self.world.collecting else []
            self._statistics.tick(self.world, reports, workspaces)
            if not self.options.totals and any(one.latency_ms > 0 for one in reports):
                break
        self._agents = [*agents(found), *pushed(found, self.options)]
        self._tick = tick

    def _vectors(self) -> list[Vector]:
        started = Vector("process_start_time_seconds", "Start time of the process in seconds.")
        started.set(self.started.timestamp())
        requests = Vector(
            "coderd_api_requests_processed_total",
            "The total number of processed API requests",
            ("code", "method", "path"),
            kind="counter",
        )
        requests.set(1 + self._tick, "200", "GET", "/api/v2/buildinfo")
        vectors = [started, requests]
        if not self.options.enable:
            return vectors
        vectors += self._insights
        if self.options.collect_agent_stats:
            # A histogram; its number of observations is the number of ticks.
            ticks = Vector(
                "coderd_prometheusmetrics_agentstats_execution_seconds",
                "Histogram for duration of agent stats metrics collection in seconds.",
                kind="histogram",
            )
            ticks.observe(self._tick, self._tick * 0.004)
            vectors += [ticks, *self._statistics.vectors, *self._agents]
        return vectors
