"""A real Prometheus scrapes the exporter, and increase() of its counters equals the simulated usage."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from insights_exporter.app.application import Application
from insights_exporter.clock import SystemClock
from insights_exporter.config.settings import CoderSettings, InsightsSettings, ServerSettings, Settings
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, in_process_exporter
from tests.support.prometheus import Prometheus
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed, so nothing scrapes."
)

DAY = datetime(2026, 11, 18, tzinfo=UTC)
"""A Wednesday."""

INTERVAL = 300
TOLERANCE = 4 * INTERVAL / 86_400
"""increase() extrapolates by at most one and a half intervals at each end of a range."""

COUNTERS = {
    "coder_insights_template_usage_seconds_total": "template_usage",
    "coder_insights_user_activity_seconds_total": "user_activity",
    "coder_insights_template_app_usage_seconds_total": "template_app",
    "coder_insights_deployment_app_usage_seconds_total": "deployment_app",
}


async def recorded_lines(deployment: SimulatedDeployment) -> AsyncIterator[tuple[str, float]]:
    """Yield time and counters of each poll, from an hour before the day to an hour after it."""
    clock, jitter = FakeClock(DAY - timedelta(hours=1)), Random(3)
    insights = InsightsSettings(windows=("yesterday",), days=1, weeks=1, anchor=date(2026, 11, 16))
    async with in_process_exporter(
        deployment, clock, Settings(coder=CODER_SETTINGS, insights=insights)
    ) as exporter:
        for slot in range(26 * 3600 // INTERVAL):
            slot_start = DAY - timedelta(hours=1) + slot * timedelta(seconds=INTERVAL)
            clock.current_time = slot_start + timedelta(seconds=20 + jitter.uniform(0, 10))
            await exporter.poller.poll_once()
            # A scrape returns the data of the last poll.
            scraped_at = (slot_start + timedelta(seconds=60)).timestamp()
            for line in exporter.exposition_body().decode().splitlines():
                if line.partition("{")[0] in COUNTERS:
                    yield line, scraped_at


async def to_openmetrics(deployment: SimulatedDeployment) -> str:
    """Return an exposition of all recorded samples, grouped by family and series."""
    lines: dict[str, list[str]] = {}
    async for line, scraped_at in recorded_lines(deployment):
        lines.setdefault(line.rpartition(" ")[0], []).append(f"{line} {scraped_at}\n")
    output = []
    for name in COUNTERS:
        output.append(f"# TYPE {name.removesuffix('_total')} counter\n")
        for series in sorted(line_key for line_key in lines if line_key.startswith(name + "{")):
            output += lines[series]
    return "".join([*output, "# EOF\n"])


def expected_seconds(deployment: SimulatedDeployment) -> dict[tuple[str, ...], float]:
    """Return the seconds of the day by counter and labels, computed from the events."""
    world, end = deployment.world, DAY + timedelta(days=1)
    report = world.rollup(DAY, end, now=end)
    seconds_by_series: dict[tuple[str, ...], float] = {}
    for family, minutes in report.builtin_minutes.items():
        seconds_by_series["deployment_app", family.replace("_", "-")] = 60 * minutes
    for (slug, _, _), minutes in report.custom_minutes.items():
        seconds_by_series["deployment_app", slug] = 60 * minutes
    for template in world.templates:
        template_report = world.rollup(DAY, end, now=end, templates=frozenset({template.id}))
        key = template.organization.name, template.name
        seconds_by_series["template_usage", *key] = 60 * sum(template_report.user_minutes.values())
        for user_index, minutes in template_report.user_minutes.items():
            seconds_by_series["user_activity", *key, world.users[user_index].username] = 60 * minutes
        for family, minutes in template_report.builtin_minutes.items():
            seconds_by_series["template_app", *key, family.replace("_", "-")] = 60 * minutes
        for (slug, _, _), minutes in template_report.custom_minutes.items():
            seconds_by_series["template_app", *key, slug] = 60 * minutes
    return {key: seconds for key, seconds in seconds_by_series.items() if seconds}


def series_key(name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    label_names = ("organization_name", "template_name", "username", "app")
    return (COUNTERS[name], *(labels[label] for label in label_names if label in labels))


@pytest.mark.long
async def test_daily_increase_equals_usage(tmp_path: Path) -> None:
    deployment = demo_deployment(Size(4, 14), options=ApiOptions(rate_limit=0))
    input_file = tmp_path / "page.txt"
    input_file.write_text(await to_openmetrics(deployment))
    block_directory = tmp_path / "blocks"
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--quiet",
        str(input_file),
        str(block_directory),
    ]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    # The scrape that sees all of the day is the first one after its rollup.
    evaluated_at = DAY + timedelta(days=1, seconds=60)
    increases: dict[tuple[str, ...], float] = {}
    with Prometheus.run(block_directory) as prometheus:
        for name in COUNTERS:
            result = await asyncio.to_thread(prometheus.query, f"increase({name}[1d]) > 0", evaluated_at)
            increases |= {series_key(name, labels): values[0][1] for labels, values in result}
    expected = expected_seconds(deployment)

    assert len(expected) > 30
    assert increases == {key: pytest.approx(seconds, rel=TOLERANCE) for key, seconds in expected.items()}


# Live


@asynccontextmanager
async def running_exporter() -> AsyncIterator[str]:
    """Run the exporter against a simulated Coder; yield the address of the exporter."""
    deployment = demo_deployment(Size(4, 20), options=ApiOptions(rate_limit=0))
    async with serve(deployment) as coder:
        settings = Settings(
            coder=CoderSettings(url=coder, token=LiteralSecret(Secret(DEMO_TOKEN))),
            server=ServerSettings(host="127.0.0.1", port=0),
        )
        application, stop_event = Application(settings, clock=SystemClock()), asyncio.Event()
        run_task = asyncio.create_task(application.run(stop_event))
        try:
            yield await application.address
        finally:
            stop_event.set()
            await run_task


def scrape_config(target: str) -> str:
    return f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: coder-insights
    static_configs: [{{targets: ["{target.removeprefix("http://")}"]}}]
"""


async def test_prometheus_scrapes_the_exporter(tmp_path: Path) -> None:
    async with running_exporter() as address:
        with Prometheus.run(tmp_path / "data", config=scrape_config(address)) as prometheus:

            async def value(query: str) -> float | None:
                answer = await asyncio.to_thread(prometheus.query, query, datetime.now(UTC))
                return answer[0][1][0][1] if answer else None

            async def is_scraped() -> bool:
                return bool(await value("count(coder_insights_template_unique_users)"))

            await wait_until(is_scraped, timeout=60, interval=0.2)
            up = await value("min_over_time(up[1h])")
            samples = await value("scrape_samples_scraped")
            exported_series = await value("sum(coder_insights_exporter_series)")
            # Only OpenMetrics has the type info, so Prometheus negotiated OpenMetrics.
            metric_type = await asyncio.to_thread(prometheus.metric_type, "coder_insights_template")

    assert up == 1
    assert exported_series is not None
    assert samples is not None
    assert samples > exported_series > 100
    assert metric_type == "info"
