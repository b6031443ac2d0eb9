"""From an incident in a simulated Coder to the notification, with real programs in between.

The exporter, Prometheus with the rules, and Alertmanager with the example configuration. Durations and
intervals of rules and routes are divided by a common factor; expressions stay unchanged.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from aiohttp import ClientSession

from insights_exporter.app.application import Application
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import TEMPLATE_VARIABLES, TEMPLATES_VARIABLES
from insights_exporter.bundle.alerts.renderers import alert_files
from insights_exporter.bundle.registry import iter_panels, load_dashboard
from insights_exporter.coder import transport
from insights_exporter.config.settings import CoderSettings, PollSettings, ServerSettings, Settings
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import (
    AppOutage,
    GeneratedWorld,
    Size,
    SlowRegion,
    generate_world,
)
from insights_exporter.simulator.options import ApiOptions
from tests.support.alertmanager import Alertmanager, WebhookReceiver, webhook_receiver
from tests.support.prometheus import Prometheus
from tests.support.waiting import wait_until

WAIT_TIMEOUT: Final = 90.0
SPEEDUP: Final = 200
"""Divisor of durations and intervals."""

SECONDS_BY_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
alert_name: Final = "CoderInsights{}".format

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-alertmanager"))),
        reason="prometheus or prometheus-alertmanager is not installed.",
    ),
]


def shorten(duration: str) -> str:
    return f"{int(duration[:-1]) * SECONDS_BY_UNIT[duration[-1]] * 1000 // SPEEDUP}ms"


def shorten_durations(document: Any) -> Any:
    """Return rules or routes with shorter durations and intervals."""
    if isinstance(document, dict):
        duration_keys = {"for", "interval", "group_wait", "group_interval"}
        return {
            key: shorten(value) if key in duration_keys else shorten_durations(value)
            for key, value in document.items()
        }
    return [shorten_durations(value) for value in document] if isinstance(document, list) else document


@dataclass
class AlertPipeline:
    """The running programs."""

    coder: SimulatedDeployment
    exporter: Application
    alertmanager: Alertmanager
    prometheus: Prometheus
    pager: WebhookReceiver
    stop_exporter: Callable[[], None]

    @property
    def world(self) -> GeneratedWorld:
        """The simulated world in Coder."""
        assert isinstance(self.coder.world, GeneratedWorld)
        return self.coder.world

    async def trigger(self, *incidents: SlowRegion | AppOutage) -> None:
        """Start incidents in Coder and make the exporter poll immediately."""
        self.world.incidents += incidents
        self.world.clear_caches()
        await self.exporter.reload()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true; fail with the notifications and the alert states."""
        await wait_until(
            partial(asyncio.to_thread, condition),
            timeout=WAIT_TIMEOUT,
            interval=0.2,
            describe=lambda: f"notified: {self.pager.firing()}, states: {self.alertmanager.states()}",
        )

    async def wait_for_notifications(self, *names: str) -> None:
        """Wait until these alerts were notified."""
        await self.wait_until(
            lambda: {alert_name(name) for name in names} <= {alert for _, alert in self.pager.firing()}
        )

    async def wait_for_suppression(self, *names: str) -> None:
        """Wait until these alerts fire and are inhibited."""
        await self.wait_until(
            lambda: {alert_name(name) for name in names} <= self.alertmanager.states()["suppressed"]
        )


def last_wednesday_morning() -> datetime:
    """Return the last Wednesday morning: a recent working day."""
    now = datetime.now(UTC)
    day = now - timedelta(days=(now.weekday() - 2) % 7 or 7)
    return day.replace(hour=10, minute=30, second=0, microsecond=0)


def simulated_deployment() -> SimulatedDeployment:
    """Return a deployment with users at work, all close to their workspaces."""
    world = generate_world(Size(2, 16, active_templates=2), seed=3)
    world.regions = [region for region in world.regions if region.name.startswith("europe")]
    started, offset = datetime.now(UTC), last_wednesday_morning()
    options = ApiOptions(rate_limit=0, user_limit=30)

    def now() -> datetime:
        return offset + (datetime.now(UTC) - started)

    coder = demo_deployment(Size(2, 16), now=now, options=options, world=world)
    # The deployment's clock is days behind; the default lifetime would have expired.
    coder.accounts.update("exporter", lifetime=timedelta(days=60))
    return coder


@asynccontextmanager
async def running_exporter(coder: SimulatedDeployment) -> AsyncIterator[tuple[Application, asyncio.Event]]:
    """Run an exporter; yield it and the event that stops it."""
    async with serve(coder) as url:
        application = Application(
            Settings(
                coder=CoderSettings(url=url, token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0),
                poll=PollSettings(
                    interval=120, offset=0, jitter=0, deadline=60, refresh_interval=1, workspaces_every=1
                ),
                server=ServerSettings(port=0),
            )
        )
        stop = asyncio.Event()
        task = asyncio.create_task(application.run(stop))
        try:
            await application.address
            yield application, stop
        finally:
            stop.set()
            await task


def write_rules(folder: Path, options: InstallOptions, webhook_url: str) -> str:
    """Write the rules, and return the Alertmanager configuration with the webhook's address."""
    rendered = alert_files(options)
    for path, text in rendered.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        rules = path.startswith("prometheus/")
        file.write_text(yaml.safe_dump(shorten_durations(yaml.safe_load(text))) if rules else text)
    routes = yaml.safe_dump(shorten_durations(yaml.safe_load(rendered["alertmanager.yml"])))
    return routes.replace("http://127.0.0.1:5001", f"{webhook_url}/notify")


@pytest.fixture
async def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AlertPipeline]:
    # Coder's clock is days behind, because users are at work then. The exporter ignores such a clock.
    monkeypatch.setattr(transport, "MAX_CLOCK_SKEW", timedelta(days=8).total_seconds())
    deployment, alerts = simulated_deployment(), tmp_path / "alerts"
    alerts.mkdir()
    async with AsyncExitStack() as stack:
        pager_server = await stack.enter_async_context(webhook_receiver(alerts))
        routes = write_rules(
            alerts, InstallOptions(runbook_url=f"{pager_server.url}/pages/runbooks"), pager_server.url
        )
        exporter, stop = await stack.enter_async_context(running_exporter(deployment))
        alertmanager = stack.enter_context(Alertmanager.run(tmp_path / "alertmanager", routes))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"},
            "rule_files": [str(tmp_path / "loaded-rules" / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
            "scrape_configs": [
                {
                    "job_name": "coder-insights",
                    "static_configs": [{"targets": [urlsplit(await exporter.address).netloc]}],
                }
            ],
        }
        prometheus = stack.enter_context(
            Prometheus.run(
                tmp_path / "prometheus",
                config=yaml.safe_dump(config),
                arguments=("--web.enable-lifecycle",),
            )
        )
        pipeline_ = AlertPipeline(deployment, exporter, alertmanager, prometheus, pager_server, stop.set)
        # The shortened duration of ExporterDown is less than the time until the first scrape.
        await pipeline_.wait_until(
            lambda: bool(prometheus.query("coder_insights_exporter_build_info", datetime.now(UTC)))
        )
        (alerts / "prometheus").rename(tmp_path / "loaded-rules")
        async with ClientSession() as session, session.post(f"{prometheus.url}/-/reload") as response:
            assert response.status == 200
        # Prometheus 2 forgets its Alertmanagers during a reload, and sends a dropped alert a minute later.
        await pipeline_.wait_until(
            lambda: bool(prometheus._request("alertmanagers", {}, post=False)["activeAlertmanagers"])
        )
        users = 'template:coder_insights_latency_seconds:users{job="coder-insights"} > 0'
        await pipeline_.wait_until(lambda: bool(prometheus.query(users, datetime.now(UTC))))
        yield pipeline_


async def assert_links_exist(alert: dict[str, Any]) -> None:
    """Follow the links of a notification: the runbook exists, and the dashboard has the panel."""
    alert_annotations, labels = alert["annotations"], alert["labels"]
    async with ClientSession() as session, session.get(alert_annotations["runbook_url"]) as response:
        assert response.status == 200
        assert f"# {labels['alertname']}\n" in await response.text()
    url = urlsplit(alert_annotations["dashboard_url"])
    dashboard = load_dashboard(url.path.rsplit("/", 1)[1])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    label_by_variable = {**TEMPLATE_VARIABLES, **TEMPLATES_VARIABLES, "username": "username"}

    assert dashboard["uid"] == url.path.split("/")[2]
    assert int(query.pop("viewPanel")) in {panel["id"] for panel in iter_panels(dashboard["panels"])}
    assert query == {
        f"var-{name}": labels[label_by_variable.get(name, name)]
        for name in (variable.removeprefix("var-") for variable in query)
    }
    assert query["var-job"] == "coder-insights"


async def notified_alerts(pipeline: AlertPipeline, name: str) -> list[dict[str, Any]]:
    """Return the alerts of a notification, of which there is at least one; their links exist."""
    alerts = pipeline.pager.alerts(alert_name(name))
    assert alerts
    for alert in alerts:
        await assert_links_exist(alert)
    return alerts


def assert_notified_once(pipeline: AlertPipeline, **receivers: str) -> None:
    """Assert that exactly these alerts were notified, once each and to the expected receiver."""
    notifications = sorted(pipeline.pager.firing())

    assert sorted((receiver, alert_name(name)) for name, receiver in receivers.items()) == notifications


async def test_a_slow_region_notifies_once_and_a_dead_exporter_inhibits_other_alerts(
    pipeline: AlertPipeline,
) -> None:
    now = pipeline.coder.now()
    await pipeline.trigger(SlowRegion("europe", now - timedelta(hours=8), now + timedelta(days=1), 12.0))
    await pipeline.wait_for_notifications("TemplateLatencyCritical", "LatencyBudgetFastBurn")
    await pipeline.wait_for_suppression("TemplateLatencyHigh", "TemplateP95High", "LatencyBudgetSlowBurn")
    assert_notified_once(pipeline, TemplateLatencyCritical="pager", LatencyBudgetFastBurn="pager")
    for name in ("TemplateLatencyCritical", "LatencyBudgetFastBurn"):
        for alert in await notified_alerts(pipeline, name):
            assert re.search(r"\d+(\.\d+)?% of users", alert["annotations"]["description"])

    pipeline.stop_exporter()
    await pipeline.wait_for_notifications("ExporterDown")
    await pipeline.wait_for_suppression("LatencyBudgetFastBurn")

    assert_notified_once(
        pipeline, TemplateLatencyCritical="pager", LatencyBudgetFastBurn="pager", ExporterDown="pager"
    )


async def test_an_app_outage_notifies_once(pipeline: AlertPipeline) -> None:
    now = pipeline.coder.now()
    slug = pipeline.world.templates[0].apps[0].slug
    await pipeline.trigger(AppOutage(slug, now - timedelta(minutes=5), now + timedelta(days=1)))
    await pipeline.wait_for_notifications("AppsUnhealthy")
    for alert in await notified_alerts(pipeline, "AppsUnhealthy"):
        assert alert["labels"]["app"] == slug
        assert "100% of the running workspaces" in alert["annotations"]["description"]

    assert_notified_once(pipeline, AppsUnhealthy="chat")


async def test_a_revoked_token_notifies_once_and_inhibits_other_alerts(pipeline: AlertPipeline) -> None:
    pipeline.coder.accounts.revoke("exporter")
    await pipeline.trigger()
    await pipeline.wait_for_notifications("TokenInvalid")
    await pipeline.wait_for_suppression("CollectorFailing")
    await notified_alerts(pipeline, "TokenInvalid")

    assert_notified_once(pipeline, TokenInvalid="pager")


async def test_disabled_usage_statistics_notify_once(pipeline: AlertPipeline) -> None:
    pipeline.world.usage_stats_enabled = False
    await pipeline.trigger()
    await pipeline.wait_for_notifications("CollectionDisabled")
    await notified_alerts(pipeline, "CollectionDisabled")

    assert_notified_once(pipeline, CollectionDisabled="chat")
