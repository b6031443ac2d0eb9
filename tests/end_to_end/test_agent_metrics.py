"""The whole exporter samples a simulated coderd over real sockets, and what goes wrong has a name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from aiohttp import web

from insights_exporter.coder.metrics import ENDPOINT, MetricsClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.collectors.agent_stats import LedgerCollector
from insights_exporter.generation import Environment, Generation
from insights_exporter.metrics.catalogue import agent_stats as families
from insights_exporter.metrics.text import Format
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import AgentStatsSettings, AgentStatsSource, PrivacySettings, Settings
from insights_exporter.simulator.api.application import METRICS, serve, serve_metrics
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import (
    Delay,
    Drop,
    Fault,
    ForeignJson,
    LoginPage,
    Redirect,
    Status,
    Truncate,
)
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, OWNER_TOKEN, stage
from insights_exporter.snapshot import AgentStats
from tests.support.clock import FakeClock
from tests.support.told import Told

WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
PLAIN = ApiOptions(rate_limit=0)


def made(clock: FakeClock, options: ApiOptions = PLAIN) -> SimulatedDeployment:
    return stage(Size(templates=3, users=12), now=clock.now, options=options)


@asynccontextmanager
async def exporting(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    token: str = DEMO_TOKEN,
    told: Told | None = None,
    through_api: bool = False,
    **coder: Any,
) -> AsyncIterator[Generation]:
    """Yield the parts of an exporter that reads the deployment."""
    async with serve(deployment) as url, serve_metrics(deployment) as metrics:
        settings = Settings(
            coder=CoderSettings(url=url, token=LiteralSecret(Secret(token)), **{"retries": 0, **coder}),
            agent_stats=AgentStatsSettings(
                source=AgentStatsSource.CODERD_METRICS,
                metrics_url=None if through_api else f"{metrics}/metrics",
            ),
        )
        environment = Environment(clock=clock, random=Random(1), telemetry=told or Told())
        async with Generation(settings, environment) as generation:
            yield generation


async def listed(generation: Generation) -> None:
    """Let the exporter learn what exists, and nothing else."""
    await generation.poller._collect_inventory(generation._client.within(60))


def source(generation: Generation) -> LedgerCollector:
    """Return what samples."""
    assert isinstance(generation._agents, LedgerCollector)
    return generation._agents


def known(generation: Generation) -> AgentStats:
    """Return what was sampled."""
    reading = source(generation).current()
    assert reading is not None
    return reading.value


@pytest.mark.parametrize("through_api", [False, True])
async def test_every_family_of_agent_statistics_is_served_after_three_samples(*, through_api: bool) -> None:
    clock = FakeClock(WORKDAY)
    token = OWNER_TOKEN if through_api else DEMO_TOKEN
    async with exporting(made(clock), clock, token=token, through_api=through_api) as generation:
        await generation.poller.poll_once()
        for _ in range(3):
            assert await source(generation).read_once()
            clock.advance(60)
        page = generation.exposition.page(Format.OPENMETRICS, gzip=False).decode()

    for family in families.FAMILIES:
        assert f"# TYPE {family.name.removesuffix('_total')} " in page, family.name
        assert any(
            line.startswith(family.name.removesuffix("_total")) and not line.startswith("#")
            for line in page.splitlines()
        )


async def test_the_token_does_not_go_to_the_metrics_address() -> None:
    clock = FakeClock(WORKDAY)
    seen: list[dict[str, str]] = []

    async def page(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.Response(text="coderd_up 1\n")

    app = web.Application()
    app.router.add_get("/prefix/metrics", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/prefix/metrics?all=1"
    settings = CoderSettings(url="https://coder.example.test", token=LiteralSecret(Secret(DEMO_TOKEN)))
    client = MetricsClient(settings, address, clock=clock, observer=Told(), random=Random(1))
    async with client:
        text = await client.page(within=10)
    await runner.cleanup()

    assert text == "coderd_up 1\n"
    assert len(seen) == 1
    assert not any("token" in name.lower() or DEMO_TOKEN in value for name, value in seen[0].items())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Drop(), "unreachable"),
        (Drop(after=500), "unreachable"),
        (Delay(seconds=5), "timeout"),
        (Status(status=500), "server_error"),
        (Status(status=403), "forbidden"),
        (LoginPage(), "login_page"),
        (Redirect(), "redirect_refused"),
        (ForeignJson(), "metrics_foreign"),
        (Truncate(kept=0.5003), "metrics_truncated"),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else one,
)
async def test_a_fault_is_counted_by_its_reason_and_what_is_known_stays(fault: Fault, reason: str) -> None:
    clock, told = FakeClock(WORKDAY), Told()
    deployment = made(clock)
    async with exporting(deployment, clock, told=told, read_timeout=0.5, total_timeout=0.5) as generation:
        await listed(generation)
        await source(generation).read_once()
        before = known(generation)
        deployment.faults.on(METRICS, fault)

        assert not await source(generation).read_once()
        assert known(generation) is before
        deployment.faults.clear()
        assert await source(generation).read_once()

    assert [one for one in told.errors if one[0] == "agent_stats"] == [("agent_stats", reason)]
    assert [good for name, good in told.collectors if name == "agent_stats"] == [True, False, True]
    assert ENDPOINT in told.requests


async def test_a_huge_page_is_not_taken() -> None:
    clock, told = FakeClock(WORKDAY), Told()
    deployment = made(clock)
    async with exporting(deployment, clock, told=told) as generation:
        await listed(generation)
        small = MetricsClient(
            replace(generation.settings.coder, max_response_bytes=1000),
            str(generation.settings.agent_stats.metrics_url),
            clock=clock,
            observer=told,
            random=Random(1),
        )
        async with small:
            generation._metrics = small

            assert not await source(generation).read_once()

    assert told.errors[-1] == ("agent_stats", "response_too_large")


@pytest.mark.parametrize(
    ("version", "token", "reason"),
    [("v2.35.1", DEMO_TOKEN, "forbidden"), ("v2.30.1", OWNER_TOKEN, "route_missing")],
)
async def test_the_debug_route_may_be_closed(version: str, token: str, reason: str) -> None:
    clock, told = FakeClock(WORKDAY), Told()
    deployment = made(clock, ApiOptions(version=version, rate_limit=0))
    async with exporting(deployment, clock, token=token, told=told, through_api=True) as generation:
        await listed(generation)

        assert not await source(generation).read_once()

    assert told.errors[-1] == ("agent_stats", reason)


async def test_without_a_poll_agents_wait_for_the_workspaces() -> None:
    clock, told = FakeClock(WORKDAY), Told()
    async with exporting(made(clock), clock, told=told) as generation:
        assert not await source(generation).read_once()
        await listed(generation)
        assert await source(generation).read_once()

    assert ("agent_stats", "workspaces_unknown") in told.errors


@pytest.mark.parametrize("same", [True, False])
async def test_a_reading_of_the_configuration_keeps_counts_where_they_mean_the_same(*, same: bool) -> None:
    clock = FakeClock(WORKDAY)
    async with exporting(made(clock), clock) as old:
        await listed(old)
        for _ in range(4):
            await source(old).read_once()
            clock.advance(60)
        before = known(old)
        privacy = PrivacySettings(parameter_free_text=not same)
        settings = replace(old.settings, privacy=privacy)
        environment = Environment(clock=clock, random=Random(1), telemetry=Told())
        async with Generation(settings, environment, state=old.poller.state) as new:
            await source(new).read_once()
            await source(new).read_once()
            after = known(new)

    assert sum(before.received_bytes.values()) > 0
    for key, number in before.received_bytes.items():
        assert (after.received_bytes[key] >= number) if same else after.received_bytes[key] == 0
