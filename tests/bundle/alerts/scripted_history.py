"""Days of a simulated company with four incidents, in the database of a real Prometheus.

The exporter polls a simulated Coder with an advanced clock. Prometheus computes recorded series from the
scraped ones, in order of their dependencies.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import AppOutage, Size, SlowRegion, generate_world
from insights_exporter.simulator.options import ApiOptions
from tests.bundle.alerts.cases.series import JOB, REPLICAS
from tests.bundle.alerts.exposition_filter import filter_exposition
from tests.bundle.alerts.rule_files import alerting_rules, recording_rules
from tests.support.clock import FakeClock
from tests.support.history_recorder import recorder, to_timestamped_samples
from tests.support.prometheus import Prometheus, Series
from tests.support.promql import parse_selectors

__all__ = ["INCIDENTS", "INCIDENT_DURATION", "ScriptedHistory", "scripted_history"]

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_SCRAPE_INTERVAL, _INCIDENT_INTERVAL = 20 * _MINUTE, 5 * _MINUTE

_MONDAY: Final = datetime(2026, 5, 4, tzinfo=UTC)
INCIDENTS: Final = {
    "a slow region": _MONDAY + 1 * _DAY + 9 * _HOUR,
    "a dead app": _MONDAY + 2 * _DAY + 9 * _HOUR,
    "statistics switched off": _MONDAY + 3 * _DAY + 9 * _HOUR,
    "a revoked token": _MONDAY + 4 * _DAY + 9 * _HOUR,
}
"""Start of each incident; each lasts ``INCIDENT_DURATION`` of a working day."""

INCIDENT_DURATION: Final = 2 * _HOUR
_BLOCK_DURATION: Final = "4374h"
_LOOKBACK_ARGUMENTS: Final = ("--query.lookback-delta=20m",)
"""The longest time between two scrapes."""


def _incident_at(at: datetime) -> str:
    return next((name for name, start in INCIDENTS.items() if start <= at < start + INCIDENT_DURATION), "")


def _scrape_times(start: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Yield scrape times and the poll interval, which is short during incidents."""
    time_ = start
    while time_ < end:
        in_incident = bool(_incident_at(time_))
        yield time_, _INCIDENT_INTERVAL if in_incident else _HOUR
        time_ += _INCIDENT_INTERVAL if in_incident else _SCRAPE_INTERVAL


def _simulated_deployment() -> SimulatedDeployment:
    """Return users close to their workspaces, and enough seats."""
    world = generate_world(Size(2, 24, active_templates=2), seed=3)
    world.regions = [region for region in world.regions if region.latency_ms < 100]
    slow_region_start, app_outage_start = INCIDENTS["a slow region"], INCIDENTS["a dead app"]
    world.incidents += [
        SlowRegion("europe", slow_region_start - 2 * _HOUR, slow_region_start + INCIDENT_DURATION, 12.0),
        AppOutage(world.templates[0].apps[0].slug, app_outage_start, app_outage_start + INCIDENT_DURATION),
    ]
    options = ApiOptions(rate_limit=0, user_limit=60)
    deployment = demo_deployment(Size(2, 24), options=options, world=world)
    deployment.accounts.update("exporter", lifetime=90 * _DAY)
    return deployment


async def _write_scrapes(file: Path, start: datetime, end: datetime) -> None:
    clock, deployment = FakeClock(), _simulated_deployment()
    clock.current_time = start
    exposition, last_poll = b"", start - _DAY
    async with recorder(deployment, clock) as exporter:
        with file.open("wb") as out:
            for time_, interval in _scrape_times(start, end):
                clock.advance((time_ - clock.now()).total_seconds())
                deployment.world.usage_stats_enabled = _incident_at(time_) != "statistics switched off"
                if _incident_at(time_) == "a revoked token":
                    deployment.accounts.revoke("exporter")
                if time_ - last_poll >= interval:
                    exporter._telemetry.config_applied(
                        poll_interval=interval.total_seconds(), max_api_time_ratio=0.1
                    )
                    await exporter.poll()
                    exposition, last_poll = filter_exposition(exporter.exposition_body()), time_
                out.write(to_timestamped_samples(exposition, time_, job=JOB, instance=REPLICAS[0]))
            out.write(b"# EOF\n")


def _create_blocks(openmetrics_file: Path, data_folder: Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += ["--max-block-duration", _BLOCK_DURATION, str(openmetrics_file), str(data_folder)]
    subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True)
class ScriptedHistory:
    """A Prometheus with data from ``start`` to ``end``."""

    prometheus: Prometheus
    start: datetime
    end: datetime

    def alert_fired(self, rule: Mapping[str, Any], start: datetime, end: datetime, step: timedelta) -> bool:
        """Return whether an alert's expression held without interruption for its duration."""
        for_duration = _duration(rule["for"])
        series = self.prometheus.query_range(rule["expr"], start, end, step.total_seconds())
        return any(
            for_duration <= duration for _, points in series for duration in _active_durations(points, step)
        )

    def recording_samples(self, rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """Yield the recorded samples of rules in text format."""
        for rule in rules:
            for labels, points in self._query_all_ranges(rule["expr"]):
                sample_labels = {
                    name: label_value for name, label_value in labels.items() if name != "__name__"
                } | rule.get("labels", {})
                head = (
                    rule["record"]
                    + "{"
                    + ",".join(f'{name}="{label_value}"' for name, label_value in sample_labels.items())
                    + "}"
                )
                yield from (f"{head} {value!r} {timestamp:.3f}\n" for timestamp, value in points)

    def _query_all_ranges(self, query: str) -> list[Series]:
        points_by_labels: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
        incidents = (
            (incident_start, incident_start + INCIDENT_DURATION, _INCIDENT_INTERVAL)
            for incident_start in INCIDENTS.values()
        )
        for start, end, step in ((self.start, self.end, _SCRAPE_INTERVAL), *incidents):
            for labels, points in self.prometheus.query_range(query, start, end, step.total_seconds()):
                points_by_labels.setdefault(tuple(sorted(labels.items())), {}).update(points)
        return [(dict(labels), sorted(points.items())) for labels, points in points_by_labels.items()]

    def fired_alerts(self, start: datetime, end: datetime, step: timedelta) -> dict[str, str]:
        """Return severities of the alerts that fired, by name."""
        return {
            rule["alert"].removeprefix("CoderInsights"): rule["labels"]["severity"]
            for rule in alerting_rules()
            if self.alert_fired(rule, start, end, step)
        }


def _duration(text: str) -> timedelta:
    return int(text[:-1]) * {"m": _MINUTE, "h": _HOUR, "d": _DAY}[text[-1]]


def _active_durations(points: Iterable[tuple[float, float]], step: timedelta) -> Iterator[timedelta]:
    start = last = None
    for timestamp, _ in points:
        if start is None or last is None or timestamp - last > step.total_seconds():
            start = timestamp
        last = timestamp
        yield timedelta(seconds=timestamp - start)


def _evaluation_order() -> list[list[dict[str, Any]]]:
    """Return the recording rules in passes; each pass reads only earlier passes."""
    depth: dict[str, int] = {}
    for rule in recording_rules():
        dependency_depths = [
            depth[selector.name] + 1 for selector in parse_selectors(rule["expr"]) if selector.name in depth
        ]
        depth[rule["record"]] = max([depth.get(rule["record"], 0), *dependency_depths])
    return [
        [rule for rule in recording_rules() if depth[rule["record"]] == level]
        for level in range(max(depth.values()) + 1)
    ]


@contextmanager
def scripted_history(folder: Path, start: datetime, end: datetime) -> Iterator[ScriptedHistory]:
    """Run Prometheus with the data of a time range."""
    openmetrics_file, data_folder = folder / "scraped.txt", folder / "data"
    asyncio.run(_write_scrapes(openmetrics_file, start, end))
    _create_blocks(openmetrics_file, data_folder)
    for rules in _evaluation_order():
        with Prometheus.run(data_folder, arguments=_LOOKBACK_ARGUMENTS) as prometheus:
            openmetrics_file.write_text(
                "".join(ScriptedHistory(prometheus, start, end).recording_samples(rules)) + "# EOF\n"
            )
        _create_blocks(openmetrics_file, data_folder)
    with Prometheus.run(data_folder, arguments=_LOOKBACK_ARGUMENTS) as prometheus:
        yield ScriptedHistory(prometheus, start, end)
