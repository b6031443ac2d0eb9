"""From an incident in Coder to whoever is called, through everything in between, all of it real.

A simulated Coder, the exporter, Prometheus with the rules, Alertmanager with the example of routes. Time is
compressed: intervals and waits are as many times shorter as everything else; expressions are untouched.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from aiohttp import ClientSession

from insights_exporter.application import Application
from insights_exporter.bundle.alerts import Site
from insights_exporter.bundle.alerts.writing import files
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import PollSettings, ServerSettings, Settings
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import AppOutage, GeneratedWorld, Size, SlowRegion, generate
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from tests.support.alertmanager import Alertmanager, Pager, pager
from tests.support.prometheus import Prometheus

PATIENCE: Final = 90.0
FASTER: Final = 200
"""How many times shorter a wait is."""

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NAME: Final = "CoderInsights{}".format

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-alertmanager"))),
        reason="prometheus or prometheus-alertmanager is not installed.",
    ),
]


def shorter(duration: str) -> str:
    return f"{int(duration[:-1]) * SECONDS[duration[-1]] * 1000 // FASTER}ms"


def hurried(document: Any) -> Any:
    """Return rules or routes with shorter waits and intervals, and nothing else changed."""
    if isinstance(document, dict):
        times = {"for", "interval", "group_wait", "group_interval"}
        return {key: shorter(one) if key in times else hurried(one) for key, one in document.items()}
    return [hurried(one) for one in document] if isinstance(document, list) else document


@dataclass
class Chain:
    """All that runs, and what an incident needs."""

    coder: SimulatedDeployment
    exporter: Application
    alertmanager: Alertmanager
    prometheus: Prometheus
    pager: Pager
    stop_exporter: Callable[[], None]

    @property
    def world(self) -> GeneratedWorld:
        """What happens in Coder."""
        assert isinstance(self.coder.world, GeneratedWorld)
        return self.coder.world

    async def happens(self, *incidents: SlowRegion | AppOutage) -> None:
        """Let something happen in Coder, and the exporter poll it now and not only at its next turn."""
        self.world.incidents += incidents
        self.world.forget()
        await self.exporter.reload()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; say what was there instead where it never does."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - it is another process.
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"notified: {self.pager.firing()}, states: {self.alertmanager.states()}")

    async def notified(self, *names: str) -> None:
        """Wait until these were told."""
        await self.until(lambda: {NAME(one) for one in names} <= {told for _, told in self.pager.firing()})

    async def suppressed(self, *names: str) -> None:
        """Wait until these fire and are kept from everybody."""
        await self.until(lambda: {NAME(one) for one in names} <= self.alertmanager.states()["suppressed"])


def morning() -> datetime:
    """Return the last Wednesday morning: people are at work, and it is not long ago."""
    now = datetime.now(UTC)
    day = now - timedelta(days=(now.weekday() - 2) % 7 or 7)
    return day.replace(hour=10, minute=30, second=0, microsecond=0)


def made_up() -> SimulatedDeployment:
    """Return people at work, all near to their workspaces."""
    world = generate(Size(2, 16, active_templates=2), seed=3)
    world.regions = [one for one in world.regions if one.name.startswith("europe")]
    began, offset = datetime.now(UTC), morning()
    options = ApiOptions(rate_limit=0, user_limit=30)
    now = lambda: offset + (datetime.now(UTC) - began)  # noqa: E731 - a clock.
    coder = stage(Size(2, 16), now=now, options=options, world=world)
    # Its clock is days behind, and so is the end of a token.
    coder.accounts.change("exporter", lifetime=timedelta(days=60))
    return coder


@asynccontextmanager
async def exporting(coder: SimulatedDeployment) -> AsyncIterator[tuple[Application, asyncio.Event]]:
    """Run an exporter; yield it and what stops it."""
    async with serve(coder) as url:
        application = Application(
            Settings(
                coder=CoderSettings(url=url, token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0),
                poll=PollSettings(interval=120, offset=0, jitter=0, deadline=60, refresh_interval=1),
                server=ServerSettings(port=0),
            )
        )
        stop = asyncio.Event()
        running = asyncio.create_task(application.run(stop))
        try:
            await application.address
            yield application, stop
        finally:
            stop.set()
            await running


def written(folder: Path, site: Site, hook: str) -> str:
    """Write the rules, and return the routes to whoever listens."""
    made = files(site)
    for path, text in made.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        rules = path.startswith("prometheus/")
        file.write_text(yaml.safe_dump(hurried(yaml.safe_load(text))) if rules else text)
    routes = yaml.safe_dump(hurried(yaml.safe_load(made["alertmanager.yml"])))
    return routes.replace("http://127.0.0.1:5001", f"{hook}/notify")


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    coder, alerts = made_up(), tmp_path / "alerts"
    alerts.mkdir()
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(pager(alerts))
        routes = written(alerts, Site(runbook_url=f"{listening.url}/pages/runbooks"), listening.url)
        exporter, stop = await stack.enter_async_context(exporting(coder))
        alertmanager = stack.enter_context(Alertmanager.serving(tmp_path / "alertmanager", routes))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"},
            "rule_files": [str(alerts / "prometheus" / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
            "scrape_configs": [
                {
                    "job_name": "coder-insights",
                    "static_configs": [{"targets": [urlsplit(await exporter.address).netloc]}],
                }
            ],
        }
        prometheus = stack.enter_context(
            Prometheus.serving(tmp_path / "prometheus", config=yaml.safe_dump(config))
        )
        found = Chain(coder, exporter, alertmanager, prometheus, listening, stop.set)
        users = 'template:coder_insights_latency_seconds:users{job="coder-insights"} > 0'
        await found.until(lambda: bool(prometheus.instant(users, datetime.now(UTC))))
        yield found


async def leads_somewhere(alert: dict[str, Any]) -> None:
    """Follow the links of a notification."""
    told, labels = alert["annotations"], alert["labels"]
    async with ClientSession() as session, session.get(told["runbook_url"]) as answer:
        assert answer.status == 200
        assert f"# {labels['alertname']}\n" in await answer.text()
    url = urlsplit(told["dashboard_url"])
    dashboards = Path(__file__).parents[2] / "dashboards"
    dashboard = json.loads((dashboards / f"{url.path.rsplit('/', 1)[1]}.json").read_text())
    query = {name: one[0] for name, one in parse_qs(url.query).items()}
    filled = {"organization": "organization_name", "template": "template_name", "username": "username"}

    assert dashboard["uid"] == url.path.split("/")[2]
    assert int(query.pop("viewPanel")) in {panel["id"] for panel in dashboard["panels"]}
    assert query == {
        f"var-{name}": labels[filled.get(name, name)]
        for name in (variable.removeprefix("var-") for variable in query)
    }
    assert query["var-job"] == "coder-insights"


def once(chain: Chain, **receivers: str) -> None:
    """Assert that these alerts, and no others, were told, each once and to whom it may concern."""
    told = sorted(chain.pager.firing())

    assert sorted((receiver, NAME(name)) for name, receiver in receivers.items()) == told


async def test_a_slow_region_calls_once_and_a_dead_exporter_silences_what_follows(chain: Chain) -> None:
    now = chain.coder.now()
    await chain.happens(SlowRegion("europe", now - timedelta(hours=8), now + timedelta(days=1), 12.0))
    await chain.notified("TemplateLatencyCritical", "LatencyBudgetFastBurn")
    await chain.suppressed("TemplateLatencyHigh", "TemplateP95High", "LatencyBudgetSlowBurn")
    once(chain, TemplateLatencyCritical="pager", LatencyBudgetFastBurn="pager")
    for name in ("TemplateLatencyCritical", "LatencyBudgetFastBurn"):
        for alert in chain.pager.alerts(NAME(name)):
            await leads_somewhere(alert)
            assert re.search(r"\d+(\.\d+)?% of (the )?users", alert["annotations"]["description"])

    chain.stop_exporter()
    await chain.notified("ExporterDown")
    await chain.suppressed("LatencyBudgetFastBurn")

    once(chain, TemplateLatencyCritical="pager", LatencyBudgetFastBurn="pager", ExporterDown="pager")


async def test_an_app_that_dies_calls_once(chain: Chain) -> None:
    now = chain.coder.now()
    slug = chain.world.templates[0].apps[0].slug
    await chain.happens(AppOutage(slug, now - timedelta(minutes=5), now + timedelta(days=1)))
    await chain.notified("AppsUnhealthy")
    for alert in chain.pager.alerts(NAME("AppsUnhealthy")):
        await leads_somewhere(alert)
        assert alert["labels"]["app"] == slug
        assert "100% of the running workspaces" in alert["annotations"]["description"]

    once(chain, AppsUnhealthy="chat")


async def test_a_revoked_token_calls_once_and_silences_what_follows(chain: Chain) -> None:
    chain.coder.accounts.revoke("exporter")
    await chain.happens()
    await chain.notified("TokenInvalid")
    await chain.suppressed("CollectorFailing")
    for alert in chain.pager.alerts(NAME("TokenInvalid")):
        await leads_somewhere(alert)

    once(chain, TokenInvalid="pager")


async def test_statistics_that_are_switched_off_call_once(chain: Chain) -> None:
    chain.world.collecting = False
    await chain.happens()
    await chain.notified("CollectionDisabled")
    for alert in chain.pager.alerts(NAME("CollectionDisabled")):
        await leads_somewhere(alert)

    once(chain, CollectionDisabled="chat")
