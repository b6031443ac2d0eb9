"""A real Prometheus understands what is served, and its arithmetic gives back what happened."""

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

from insights_exporter.application import Application
from insights_exporter.clock import SystemClock
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import InsightsSettings, ServerSettings, Settings
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from tests.support.clock import FakeClock
from tests.support.exporting import CODER, exporting
from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed, so nothing scrapes."
)

DAY = datetime(2026, 11, 18, tzinfo=UTC)
"""A Wednesday."""

INTERVAL = 300
SLACK = 4 * INTERVAL / 86_400
"""Prometheus reaches beyond the first and the last sample of a range by at most one and a half intervals
each, where the day's rate is one that it never was."""

COUNTERS = {
    "coder_insights_template_usage_seconds_total": "template_usage",
    "coder_insights_user_activity_seconds_total": "user_activity",
    "coder_insights_template_app_usage_seconds_total": "template_app",
    "coder_insights_deployment_app_usage_seconds_total": "deployment_app",
}


async def recorded(deployment: SimulatedDeployment) -> AsyncIterator[tuple[str, float]]:
    """Yield the counters as they are served from an hour before the day to an hour after it, with times."""
    clock, jitter = FakeClock(DAY - timedelta(hours=1)), Random(3)
    insights = InsightsSettings(windows=("yesterday",), days=1, weeks=1, anchor=date(2026, 11, 16))
    async with exporting(deployment, clock, Settings(coder=CODER, insights=insights)) as exporter:
        for slot in range(26 * 3600 // INTERVAL):
            begin = DAY - timedelta(hours=1) + slot * timedelta(seconds=INTERVAL)
            clock.moment = begin + timedelta(seconds=20 + jitter.uniform(0, 10))
            await exporter.poller.poll_once()
            # Prometheus comes when it comes, and finds what the last poll left.
            at = (begin + timedelta(seconds=60)).timestamp()
            for line in exporter.page().decode().splitlines():
                if line.partition("{")[0] in COUNTERS:
                    yield line, at


async def openmetrics(deployment: SimulatedDeployment) -> str:
    """Return a page with all that was recorded, each family and each series in one place."""
    lines: dict[str, list[str]] = {}
    async for line, at in recorded(deployment):
        lines.setdefault(line.rpartition(" ")[0], []).append(f"{line} {at}\n")
    page = []
    for name in COUNTERS:
        page.append(f"# TYPE {name.removesuffix('_total')} counter\n")
        for series in sorted(one for one in lines if one.startswith(name + "{")):
            page += lines[series]
    return "".join([*page, "# EOF\n"])


def spent(deployment: SimulatedDeployment) -> dict[tuple[str, ...], float]:
    """Return the seconds of the day by counter and labels, from the events themselves."""
    world, end = deployment.world, DAY + timedelta(days=1)
    whole = world.report(DAY, end, now=end)
    found: dict[tuple[str, ...], float] = {}
    for family, minutes in whole.builtin.items():
        found["deployment_app", family.replace("_", "-")] = 60 * minutes
    for (slug, _, _), minutes in whole.custom.items():
        found["deployment_app", slug] = 60 * minutes
    for template in world.templates:
        report = world.report(DAY, end, now=end, templates=frozenset({template.id}))
        key = template.organization.name, template.name
        found["template_usage", *key] = 60 * sum(report.user_minutes.values())
        for place, minutes in report.user_minutes.items():
            found["user_activity", *key, world.users[place].username] = 60 * minutes
        for family, minutes in report.builtin.items():
            found["template_app", *key, family.replace("_", "-")] = 60 * minutes
        for (slug, _, _), minutes in report.custom.items():
            found["template_app", *key, slug] = 60 * minutes
    return {key: seconds for key, seconds in found.items() if seconds}


def keyed(name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    wanted = ("organization_name", "template_name", "username", "app")
    return (COUNTERS[name], *(labels[label] for label in wanted if label in labels))


@pytest.mark.long
async def test_the_increase_of_a_day_is_what_happened_on_it(tmp_path: Path) -> None:
    deployment = stage(Size(4, 14), options=ApiOptions(rate_limit=0))
    page = tmp_path / "page.txt"
    page.write_text(await openmetrics(deployment))
    blocks = tmp_path / "blocks"
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(page), str(blocks)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    # The scrape that sees all of the day is the first one after its rollup.
    at = DAY + timedelta(days=1, seconds=60)
    found: dict[tuple[str, ...], float] = {}
    with Prometheus.serving(blocks) as prometheus:
        for name in COUNTERS:
            answer = await asyncio.to_thread(prometheus.instant, f"increase({name}[1d]) > 0", at)
            found |= {keyed(name, labels): values[0][1] for labels, values in answer}
    expected = spent(deployment)

    assert len(expected) > 30
    assert found == {key: pytest.approx(seconds, rel=SLACK) for key, seconds in expected.items()}


# Live


@asynccontextmanager
async def running() -> AsyncIterator[str]:
    """Run the exporter against a simulated Coder, each at its own address; yield the exporter's."""
    deployment = stage(Size(4, 20), options=ApiOptions(rate_limit=0))
    async with serve(deployment) as coder:
        settings = Settings(
            coder=CoderSettings(url=coder, token=LiteralSecret(Secret(DEMO_TOKEN))),
            server=ServerSettings(host="127.0.0.1", port=0),
        )
        application, stop = Application(settings, clock=SystemClock()), asyncio.Event()
        serving = asyncio.create_task(application.run(stop))
        try:
            yield await application.address
        finally:
            stop.set()
            await serving


def config(target: str) -> str:
    return f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: coder-insights
    static_configs: [{{targets: ["{target.removeprefix("http://")}"]}}]
"""


async def test_prometheus_scrapes_the_exporter(tmp_path: Path) -> None:
    async with running() as address:
        with Prometheus.serving(tmp_path / "data", config=config(address)) as prometheus:

            async def value(query: str) -> float | None:
                answer = await asyncio.to_thread(prometheus.instant, query, datetime.now(UTC))
                return answer[0][1][0][1] if answer else None

            async with asyncio.timeout(60):
                while not await value("count(coder_insights_template_unique_users)"):  # noqa: ASYNC110 - another process.
                    await asyncio.sleep(0.2)
            up = await value("min_over_time(up[1h])")
            samples = await value("scrape_samples_scraped")
            served = await value("sum(coder_insights_exporter_series)")
            # Only OpenMetrics has these, so that is what was agreed upon.
            kind = await asyncio.to_thread(prometheus.kind, "coder_insights_template")

    assert up == 1
    assert served is not None
    assert samples is not None
    assert samples > served > 100
    assert kind == "info"
