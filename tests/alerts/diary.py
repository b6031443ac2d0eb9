"""Days of an ordinary company in Coder, with four incidents, as a real Prometheus remembers them.

The exporter's own code polls a simulated Coder on a clock that jumps. Recorded series are computed by
Prometheus from what it would have scraped, in the order in which they need one another.
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
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import AppOutage, Size, SlowRegion, generate
from insights_exporter.simulator.stage import stage
from tests.alerts.cases.series import JOB, REPLICAS
from tests.alerts.samples import kept
from tests.alerts.tree import alerts, recordings
from tests.support.clock import FakeClock
from tests.support.prometheus import Prometheus, Series
from tests.support.promql import selectors
from tests.support.recorder import recorder, stamped

__all__ = ["INCIDENTS", "LENGTH", "Diary", "diary"]

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_SCRAPE, _QUICK = 20 * _MINUTE, 5 * _MINUTE

_MONDAY: Final = datetime(2026, 5, 4, tzinfo=UTC)
INCIDENTS: Final = {
    "a slow region": _MONDAY + 1 * _DAY + 9 * _HOUR,
    "a dead app": _MONDAY + 2 * _DAY + 9 * _HOUR,
    "statistics switched off": _MONDAY + 3 * _DAY + 9 * _HOUR,
    "a revoked token": _MONDAY + 4 * _DAY + 9 * _HOUR,
}
"""When each of them begins; each lasts for ``LENGTH`` of a working day."""

LENGTH: Final = 2 * _HOUR
_BLOCK: Final = "4374h"
_LOOKING_BACK: Final = ("--query.lookback-delta=20m",)
"""As far as the next scrape."""


def _incident(at: datetime) -> str:
    return next((what for what, begin in INCIDENTS.items() if begin <= at < begin + LENGTH), "")


def _moments(begin: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Return when pages are scraped, and the interval of polls then: each hour, and often in an incident."""
    at = begin
    while at < end:
        quick = bool(_incident(at))
        yield at, _QUICK if quick else _HOUR
        at += _QUICK if quick else _SCRAPE


def _company() -> SimulatedDeployment:
    """Return people who all live near to their workspaces, and seats enough."""
    world = generate(Size(2, 24, active_templates=2), seed=3)
    world.regions = [one for one in world.regions if one.latency_ms < 100]
    slow, dead = INCIDENTS["a slow region"], INCIDENTS["a dead app"]
    world.incidents += [
        SlowRegion("europe", slow - 2 * _HOUR, slow + LENGTH, 12.0),
        AppOutage(world.templates[0].apps[0].slug, dead, dead + LENGTH),
    ]
    options = ApiOptions(rate_limit=0, user_limit=60)
    deployment = stage(Size(2, 24), options=options, world=world)
    deployment.accounts.change("exporter", lifetime=90 * _DAY)
    return deployment


async def _write(file: Path, begin: datetime, end: datetime) -> None:
    clock, company = FakeClock(), _company()
    clock.moment = begin
    page, polled = b"", begin - _DAY
    async with recorder(company, clock) as exporter:
        with file.open("wb") as out:
            for moment, interval in _moments(begin, end):
                clock.advance((moment - clock.now()).total_seconds())
                company.world.collecting = _incident(moment) != "statistics switched off"
                if _incident(moment) == "a revoked token":
                    company.accounts.revoke("exporter")
                if moment - polled >= interval:
                    exporter._telemetry.configured(poll_interval=interval.total_seconds())
                    await exporter.poll()
                    page, polled = kept(exporter.page()), moment
                out.write(stamped(page, moment, job=JOB, instance=REPLICAS[0]))
            out.write(b"# EOF\n")


def _store(text: Path, data: Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += ["--max-block-duration", _BLOCK, str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True)
class Diary:
    """What Prometheus knows of the time from ``begin`` to ``end``."""

    prometheus: Prometheus
    begin: datetime
    end: datetime

    def fired(self, rule: Mapping[str, Any], start: datetime, end: datetime, step: timedelta) -> bool:
        """Say whether an alert's expression held without a break for as long as the alert waits."""
        wait = _duration(rule["for"])
        found = self.prometheus.range(rule["expr"], start, end, step.total_seconds())
        return any(wait <= held for _, points in found for held in _runs(points, step))

    def recorded(self, rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """Return what these rules record, as text."""
        for rule in rules:
            for labels, points in self._course(rule["expr"]):
                named = {k: v for k, v in labels.items() if k != "__name__"} | rule.get("labels", {})
                head = rule["record"] + "{" + ",".join(f'{k}="{v}"' for k, v in named.items()) + "}"
                yield from (f"{head} {value!r} {moment:.3f}\n" for moment, value in points)

    def _course(self, query: str) -> list[Series]:
        found: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
        incidents = ((one, one + LENGTH, _QUICK) for one in INCIDENTS.values())
        for start, end, step in ((self.begin, self.end, _SCRAPE), *incidents):
            for labels, points in self.prometheus.range(query, start, end, step.total_seconds()):
                found.setdefault(tuple(sorted(labels.items())), {}).update(points)
        return [(dict(labels), sorted(points.items())) for labels, points in found.items()]

    def names(self, start: datetime, end: datetime, step: timedelta) -> dict[str, str]:
        """Return the alerts that fired, with their severity."""
        return {
            rule["alert"].removeprefix("CoderInsights"): rule["labels"]["severity"]
            for rule in alerts()
            if self.fired(rule, start, end, step)
        }


def _duration(text: str) -> timedelta:
    return int(text[:-1]) * {"m": _MINUTE, "h": _HOUR, "d": _DAY}[text[-1]]


def _runs(points: Iterable[tuple[float, float]], step: timedelta) -> Iterator[timedelta]:
    begin = last = None
    for moment, _ in points:
        if begin is None or last is None or moment - last > step.total_seconds():
            begin = moment
        last = moment
        yield timedelta(seconds=moment - begin)


def _passes() -> list[list[dict[str, Any]]]:
    """Return the recorded series in passes, each of which needs only those before."""
    depth: dict[str, int] = {}
    for rule in recordings():
        inner = [depth[one.name] + 1 for one in selectors(rule["expr"]) if one.name in depth]
        depth[rule["record"]] = max([depth.get(rule["record"], 0), *inner])
    return [
        [rule for rule in recordings() if depth[rule["record"]] == level]
        for level in range(max(depth.values()) + 1)
    ]


@contextmanager
def diary(folder: Path, begin: datetime, end: datetime) -> Iterator[Diary]:
    """Live through some time and remember it."""
    text, data = folder / "scraped.txt", folder / "data"
    asyncio.run(_write(text, begin, end))
    _store(text, data)
    for rules in _passes():
        with Prometheus.serving(data, arguments=_LOOKING_BACK) as prometheus:
            text.write_text("".join(Diary(prometheus, begin, end).recorded(rules)) + "# EOF\n")
        _store(text, data)
    with Prometheus.serving(data, arguments=_LOOKING_BACK) as prometheus:
        yield Diary(prometheus, begin, end)
