"""The metrics of coderd, which change at ticks and not with each scrape."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from insights_exporter.simulator.coderd.agent_metrics import (
    AgentStatsMetrics,
    agent_status_metrics,
    pushed_agent_metrics,
)
from insights_exporter.simulator.coderd.build_metrics import BuildMetrics
from insights_exporter.simulator.coderd.insights_metrics import INSIGHTS_INTERVAL, insights_metrics
from insights_exporter.simulator.coderd.metric_vectors import MetricVec, format_metrics
from insights_exporter.simulator.options import MetricsOptions
from insights_exporter.simulator.world import World

__all__ = ["CoderdMetrics"]

COLLECT_INTERVAL = timedelta(minutes=1)
_MAX_MISSED_TICKS = 600
"""The number of ticks that the first scrape after a pause looks back."""


@dataclass(slots=True)
class CoderdMetrics:
    """The metrics of one replica since ``started_at``: agents each minute, insights every five minutes.

    ``organization_label`` is whether the release labels templates with their organization, and
    ``build_durations`` whether it has durations of builds by template.
    """

    world: World
    started_at: datetime
    options: MetricsOptions = field(default_factory=MetricsOptions)
    organization_label: bool = True
    build_durations: bool = True
    _agent_stats: AgentStatsMetrics = field(init=False)
    _builds: BuildMetrics = field(init=False)
    _builds_until: datetime = field(init=False)
    _tick: int = field(default=0, init=False)
    _cycle: int = field(default=-1, init=False)
    _agent_vectors: list[MetricVec] = field(default_factory=list, init=False)
    _insights_vectors: list[MetricVec] = field(default_factory=list, init=False)
    _rendered: tuple[tuple[int, int], str] | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        """Create the empty agent and build metrics."""
        self._agent_stats = AgentStatsMetrics(self.options)
        self._builds = BuildMetrics(has_template_durations=self.build_durations)
        self._builds_until = self.started_at

    def restart(self, at: datetime) -> None:
        """Reset all metrics, as a restart does."""
        with self._lock:
            self.started_at, self._tick, self._cycle, self._rendered = at, 0, -1, None
            self._agent_vectors, self._insights_vectors = [], []
            self.__post_init__()

    def render(self, now: datetime) -> str:
        """Return the current exposition; raise DuplicateMetricError for colliding series."""
        with self._lock:
            elapsed = max(timedelta(0), now - self.started_at)
            # The first tick is at the start and finds no reports.
            tick_and_cycle = 1 + elapsed // COLLECT_INTERVAL, elapsed // INSIGHTS_INTERVAL
            if self._rendered is None or self._rendered[0] != tick_and_cycle:
                if self.options.enable:
                    self._collect(*tick_and_cycle)
                    self._count_builds(now)
                self._rendered = tick_and_cycle, format_metrics(self._vectors())
            return self._rendered[1]

    def _collect(self, tick: int, cycle: int) -> None:
        if self.options.collect_agent_stats and tick > self._tick:
            self._collect_agents(tick)
        if cycle > self._cycle:
            at = self.started_at + cycle * INSIGHTS_INTERVAL
            reports = (
                self.world.agent_reports(at - INSIGHTS_INTERVAL, at) if self.world.usage_stats_enabled else ()
            )
            self._insights_vectors = insights_metrics(
                self.world, at, organizations=self.organization_label, reports=reports
            )
            self._cycle = cycle

    def _count_builds(self, now: datetime) -> None:
        builds = list(self.world.builds(self._builds_until, now))
        if builds:
            self._builds.add(builds, self.world.workspaces(now))
        self._builds_until = max(now, self._builds_until)

    def _collect_agents(self, tick: int) -> None:
        """Process the ticks since the last scrape; for gauges the latest one with a latency suffices."""
        missed = range(max(self._tick + 1, tick - _MAX_MISSED_TICKS, 2), tick + 1)
        workspace_list = self.world.workspaces(self.started_at + (tick - 1) * COLLECT_INTERVAL)
        workspaces = {item.id: item for item in workspace_list}
        for number in missed if self.options.cumulative_bytes else reversed(missed):
            end = self.started_at + (number - 1) * COLLECT_INTERVAL
            reports = (
                list(self.world.agent_reports(end - COLLECT_INTERVAL, end))
                if self.world.usage_stats_enabled
                else []
            )
            self._agent_stats.tick(self.world, reports, workspaces)
            if not self.options.cumulative_bytes and any(item.latency_ms > 0 for item in reports):
                break
        last_tick = self.started_at + (tick - 1) * COLLECT_INTERVAL
        # Agents push their peers also while coderd collects no usage statistics.
        last_minute = last_tick - COLLECT_INTERVAL, last_tick
        self._agent_vectors = [
            *agent_status_metrics(workspace_list),
            *pushed_agent_metrics(workspace_list, self.options, self.world.agent_reports(*last_minute)),
        ]
        self._tick = tick

    def _vectors(self) -> list[MetricVec]:
        started = MetricVec("process_start_time_seconds", "Start time of the process in seconds.")
        started.set(self.started_at.timestamp())
        requests = MetricVec(
            "coderd_api_requests_processed_total",
            "The total number of processed API requests",
            ("code", "method", "path"),
            metric_type="counter",
        )
        requests.set(1 + self._tick, "200", "GET", "/api/v2/buildinfo")
        vectors = [started, requests]
        if not self.options.enable:
            return vectors
        vectors += [*self._insights_vectors, *self._builds.vectors]
        if self.options.collect_agent_stats:
            # A histogram with one observation per tick.
            ticks = MetricVec(
                "coderd_prometheusmetrics_agentstats_execution_seconds",
                "Histogram for duration of agent stats metrics collection in seconds.",
                metric_type="histogram",
            )
            ticks.set_histogram(self._tick, self._tick * 0.004)
            vectors += [ticks, *self._agent_stats.vectors, *self._agent_vectors]
        return vectors
