"""Push only: exporter to OTLP to Prometheus to rules, without a scrape."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from insights_exporter.app.application import Application
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.renderers import alert_files
from insights_exporter.config.settings import CoderSettings, OtlpSettings, PollSettings, Settings
from insights_exporter.metrics import catalogue
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.options import ApiOptions
from tests.support.prometheus import Prometheus, prometheus_otlp_arguments
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

SPEEDUP: Final = 300
"""Factor by which rule intervals and `for` are shortened."""

LOOKBACK_SECONDS: Final = 4
"""Time after which Prometheus marks a pushed series stale, instead of five minutes."""

SECONDS_BY_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def shortened(document: Any) -> Any:
    """Return rules with shorter intervals and waits."""
    if isinstance(document, list):
        return [shortened(value) for value in document]
    if not isinstance(document, dict):
        return document
    return {
        key: _shortened_duration(value) if key in {"for", "interval"} else shortened(value)
        for key, value in document.items()
    }


def _shortened_duration(text: str) -> str:
    amount, unit = re.fullmatch(r"(\d+)([smhd])", text).groups()  # type: ignore[union-attr]
    return f"{max(100, int(amount) * SECONDS_BY_UNIT[unit] * 1000 // SPEEDUP)}ms"


def prometheus_config(folder: Path) -> str:
    """Write the rules into a folder and return a configuration without scrapes."""
    for path, text in alert_files(InstallOptions()).items():
        if path.startswith("prometheus/"):
            (folder / Path(path).name).write_text(yaml.safe_dump(shortened(yaml.safe_load(text))))
    return yaml.safe_dump({"global": {"evaluation_interval": "200ms"}, "rule_files": [str(folder / "*.yml")]})


def simulated_deployment() -> SimulatedDeployment:
    """Return a deployment whose users are all near their workspaces, at the current time."""
    world = generate_world(Size(2, 16, active_templates=2), seed=3)
    world.regions = [region for region in world.regions if region.name.startswith("europe")]
    coder = demo_deployment(Size(2, 16), options=ApiOptions(rate_limit=0, user_limit=30), world=world)
    coder.accounts.update("exporter", lifetime=timedelta(days=60))
    return coder


@asynccontextmanager
async def pushing_exporter(endpoint: str) -> AsyncIterator[None]:
    """Run an exporter that pushes every second and serves nothing."""
    async with serve(simulated_deployment()) as coder_url:
        application = Application(
            Settings(
                coder=CoderSettings(url=coder_url, token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0),
                poll=PollSettings(interval=120, offset=0, jitter=0, deadline=60, refresh_interval=1),
                otlp=OtlpSettings(enabled=True, endpoint=endpoint),
            ),
            serve_http=False,
        )
        stop = asyncio.Event()
        run = asyncio.create_task(application.run(stop))
        reloads = asyncio.create_task(_poll_every_second(application))
        try:
            yield
        finally:
            reloads.cancel()
            stop.set()
            await run


async def _poll_every_second(application: Application) -> None:
    while True:
        await asyncio.sleep(1)
        # A reload polls at once.
        await application.reload()


async def test_rules_work_on_pushed_series(tmp_path: Path) -> None:
    arguments = [*prometheus_otlp_arguments(), f"--query.lookback-delta={LOOKBACK_SECONDS}s"]
    (tmp_path / "rules").mkdir()
    config = prometheus_config(tmp_path / "rules")
    with Prometheus.run(tmp_path / "data", config=config, arguments=arguments) as prometheus:

        def series(promql: str) -> set[str]:
            return {
                labels.get("alertname") or labels.get("__name__", "")
                for labels, _ in prometheus.query(promql, datetime.now(UTC))
            }

        async def wait_for(promql: str, names: set[str]) -> None:
            await wait_until(
                lambda: asyncio.to_thread(lambda: names <= series(promql)),
                timeout=60,
                interval=0.2,
                describe=lambda: f"{series(promql)}, alerts: {series('ALERTS')}",
            )

        async with pushing_exporter(f"{prometheus.url}/api/v1/otlp"):
            await wait_for(
                '{job="coder-insights"}', {catalogue.TEMPLATE_USAGE.name, catalogue.BUILD_INFO.name}
            )
            recorded = '{job="coder-insights", __name__=~".+:coder_insights_.+"}'
            await wait_for(recorded, {"template_user:coder_insights_latency_seconds:usual"})
            jobs = {
                labels["job"] for labels, _ in prometheus.query(catalogue.BUILD_INFO.name, datetime.now(UTC))
            }
            # Longer than the shortened ``for`` of the alert on a missing exporter.
            await asyncio.sleep(2 * LOOKBACK_SECONDS)
            firing = series('ALERTS{alertstate="firing"}')

        assert jobs == {"coder-insights"}
        assert firing == set()

        await wait_for('ALERTS{alertstate="firing"}', {"CoderInsightsExporterDown"})
        await asyncio.sleep(1)

        assert series('ALERTS{alertstate="firing"}') == {"CoderInsightsExporterDown"}
