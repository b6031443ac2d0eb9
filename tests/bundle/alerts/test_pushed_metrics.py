"""Alerts on the exporter with pushed metrics only: real exporter, OTLP, Prometheus, rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.rules import exporter
from insights_exporter.config.settings import OtlpSettings
from insights_exporter.metrics.self_metrics import SelfMetrics
from tests.support.otlp_pusher import otlp_pusher_harness
from tests.support.prometheus import Prometheus, prometheus_otlp_arguments
from tests.support.snapshots import rich_snapshot

PUSH_INTERVAL: Final = timedelta(minutes=5)
STEP: Final = timedelta(minutes=1)
PUSHES: Final = 8
MINUTES_BY_UNIT: Final = {"m": 1, "h": 60, "d": 1440}


@pytest.fixture
async def pushed_until(tmp_path: Path) -> AsyncIterator[tuple[Prometheus, datetime]]:
    """Yield Prometheus after pushes every five minutes, and the time of the last push, 20 minutes ago."""
    arguments = prometheus_otlp_arguments()
    with Prometheus.run(tmp_path / "data", arguments=arguments) as prometheus:
        settings = OtlpSettings(endpoint=f"{prometheus.url}/api/v1/otlp", timeout=30.0)
        metrics = SelfMetrics(poll_interval=PUSH_INTERVAL.total_seconds(), process=False)
        async with otlp_pusher_harness(settings, self_metrics=metrics.samples) as harness:
            last_push = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=20)
            for number in reversed(range(PUSHES)):
                at = last_push - number * PUSH_INTERVAL
                harness.clock.current_time = at
                for collector in ("insights", "inventory", "deployment"):
                    metrics.collector_finished(collector, 1.0, success=True, at=at)
                    metrics.request_finished(f"/{collector}", "200", 0.1)
                await harness.publish(rich_snapshot(templates=2, users=3))
        yield prometheus, last_push


def firing_alerts(prometheus: Prometheus, start: datetime, end: datetime) -> set[str]:
    """Return the alerts of the exporter whose expression holds for their duration."""
    alerts = set()
    for alert in exporter.group(InstallOptions()).alerts:
        minutes = int(alert.for_[:-1]) * MINUTES_BY_UNIT[alert.for_[-1]]
        for _, points in prometheus.query_range(alert.expr, start, end, STEP.total_seconds()):
            present = {round((time - start.timestamp()) / 60) for time, _ in points}
            if any(all(first + i in present for i in range(minutes + 1)) for first in present):
                alerts.add(alert.name)
    return alerts


async def test_pushed_metrics_fire_no_alert_while_pushes_arrive(
    pushed_until: tuple[Prometheus, datetime],
) -> None:
    prometheus, last_push = pushed_until
    series = await asyncio.to_thread(
        prometheus.query, 'coder_insights_exporter_build_info{job="coder-insights"}', last_push
    )
    start = last_push - (PUSHES - 1) * PUSH_INTERVAL

    assert len(series) == 1
    assert await asyncio.to_thread(firing_alerts, prometheus, start, last_push) == set()


async def test_only_exporter_down_fires_after_the_last_push(
    pushed_until: tuple[Prometheus, datetime],
) -> None:
    prometheus, last_push = pushed_until
    end = last_push + timedelta(minutes=20)

    assert await asyncio.to_thread(firing_alerts, prometheus, last_push, end) == {"CoderInsightsExporterDown"}
