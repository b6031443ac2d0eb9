"""The exporter scrapes a simulated coderd over real sockets; each failure has its reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from aiohttp import web

from insights_exporter.agent_stats.collector import AgentStatsCollector
from insights_exporter.app.runtime import Dependencies, Runtime
from insights_exporter.coder.metrics_client import METRICS_ENDPOINT, MetricsClient
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    CoderSettings,
    PrivacySettings,
    Settings,
)
from insights_exporter.metrics.catalogue import agent_stats as families
from insights_exporter.metrics.encoder import Format
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import (
    Delay,
    DropConnection,
    Fault,
    LoginPage,
    Redirect,
    Status,
    TruncateBody,
    UnrelatedJson,
)
from insights_exporter.simulator.api.http_server import METRICS_ROUTE, serve, serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.snapshot import AgentStats
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry

WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
UNLIMITED = ApiOptions(rate_limit=0)


def simulated_deployment(clock: FakeClock, options: ApiOptions = UNLIMITED) -> SimulatedDeployment:
    return demo_deployment(Size(templates=3, users=12), now=clock.now, options=options)


@asynccontextmanager
async def coderd_metrics_runtime(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    token: str = DEMO_TOKEN,
    telemetry: RecordingTelemetry | None = None,
    through_api: bool = False,
    **coder: Any,
) -> AsyncIterator[Runtime]:
    """Yield the components of an exporter that scrapes the deployment."""
    async with serve(deployment) as url, serve_metrics(deployment) as metrics_url:
        settings = Settings(
            coder=CoderSettings(url=url, token=LiteralSecret(Secret(token)), **{"retries": 0, **coder}),
            agent_stats=AgentStatsSettings(
                source=AgentStatsSource.CODERD_METRICS,
                metrics_url=None if through_api else f"{metrics_url}/metrics",
            ),
        )
        dependencies = Dependencies(
            clock=clock, random=Random(1), telemetry=telemetry or RecordingTelemetry()
        )
        async with Runtime(settings, dependencies) as runtime:
            yield runtime


async def collect_inventory(runtime: Runtime) -> None:
    """Poll once, so that the exporter knows the inventory."""
    await runtime.poller._collect_inventory(runtime._client.with_timeout(60))


def agent_stats_collector(runtime: Runtime) -> AgentStatsCollector:
    """Return the agent statistics collector."""
    assert isinstance(runtime._agent_stats_collector, AgentStatsCollector)
    return runtime._agent_stats_collector


def current_stats(runtime: Runtime) -> AgentStats:
    """Return the collected agent statistics."""
    reading = agent_stats_collector(runtime).current()
    assert reading is not None
    return reading.value


@pytest.mark.parametrize("through_api", [False, True])
async def test_every_family_is_exported_after_three_samples(*, through_api: bool) -> None:
    clock = FakeClock(WORKDAY)
    token = OWNER_TOKEN if through_api else DEMO_TOKEN
    async with coderd_metrics_runtime(
        simulated_deployment(clock), clock, token=token, through_api=through_api
    ) as runtime:
        await runtime.poller.poll_once()
        for _ in range(3):
            assert await agent_stats_collector(runtime).read_once()
            clock.advance(60)
        body = runtime.exposition.body(Format.OPENMETRICS, gzip=False).decode()

    for family in families.AGENT_STATS_FAMILIES:
        assert f"# TYPE {family.name.removesuffix('_total')} " in body, family.name
        assert any(
            line.startswith(family.name.removesuffix("_total")) and not line.startswith("#")
            for line in body.splitlines()
        )


async def test_token_is_not_sent_to_metrics_url() -> None:
    clock = FakeClock(WORKDAY)
    request_headers: list[dict[str, str]] = []

    async def serve_metrics_text(request: web.Request) -> web.Response:
        request_headers.append(dict(request.headers))
        return web.Response(text="coderd_up 1\n")

    app = web.Application()
    app.router.add_get("/prefix/metrics", serve_metrics_text)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/prefix/metrics?all=1"
    settings = CoderSettings(url="https://coder.example.test", token=LiteralSecret(Secret(DEMO_TOKEN)))
    client = MetricsClient(settings, address, clock=clock, telemetry=RecordingTelemetry(), random=Random(1))
    async with client:
        text = await client.fetch(timeout=10)
    await runner.cleanup()

    assert text == "coderd_up 1\n"
    assert len(request_headers) == 1
    assert not any(
        "token" in name.lower() or DEMO_TOKEN in value for name, value in request_headers[0].items()
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DropConnection(), "unreachable"),
        (DropConnection(after_bytes=500), "unreachable"),
        (Delay(seconds=5), "timeout"),
        (Status(status=500), "server_error"),
        (Status(status=403), "forbidden"),
        (LoginPage(), "login_page"),
        (Redirect(), "redirect_refused"),
        (UnrelatedJson(), "metrics_foreign"),
        (TruncateBody(kept_fraction=0.5003), "metrics_truncated"),
    ],
    ids=lambda error: type(error).__name__ if not isinstance(error, str) else error,
)
async def test_error_is_counted_by_reason_and_last_data_is_kept(fault: Fault, reason: str) -> None:
    clock, telemetry = FakeClock(WORKDAY), RecordingTelemetry()
    deployment = simulated_deployment(clock)
    async with coderd_metrics_runtime(
        deployment, clock, telemetry=telemetry, read_timeout=0.5, total_timeout=0.5
    ) as runtime:
        await collect_inventory(runtime)
        await agent_stats_collector(runtime).read_once()
        before = current_stats(runtime)
        deployment.faults.inject(METRICS_ROUTE, fault)

        assert not await agent_stats_collector(runtime).read_once()
        assert current_stats(runtime) is before
        deployment.faults.clear()
        assert await agent_stats_collector(runtime).read_once()

    assert [error for error in telemetry.errors if error[0] == "agent_stats"] == [("agent_stats", reason)]
    assert [success for name, success in telemetry.collector_results if name == "agent_stats"] == [
        True,
        False,
        True,
    ]
    assert METRICS_ENDPOINT in {endpoint for endpoint, _ in telemetry.requests}


async def test_oversized_response_is_rejected() -> None:
    clock, telemetry = FakeClock(WORKDAY), RecordingTelemetry()
    deployment = simulated_deployment(clock)
    async with coderd_metrics_runtime(deployment, clock, telemetry=telemetry) as runtime:
        await collect_inventory(runtime)
        limited_client = MetricsClient(
            runtime.settings.coder.model_copy(update={"max_response_bytes": 1000}),
            str(runtime.settings.agent_stats.metrics_url),
            clock=clock,
            telemetry=telemetry,
            random=Random(1),
        )
        async with limited_client:
            runtime._metrics_client = limited_client

            assert not await agent_stats_collector(runtime).read_once()

    assert telemetry.errors[-1] == ("agent_stats", "response_too_large")


@pytest.mark.parametrize(
    ("version", "token", "reason"),
    [("v2.35.1", DEMO_TOKEN, "forbidden"), ("v2.30.1", OWNER_TOKEN, "route_missing")],
)
async def test_debug_route_needs_permission_and_version(version: str, token: str, reason: str) -> None:
    clock, telemetry = FakeClock(WORKDAY), RecordingTelemetry()
    deployment = simulated_deployment(clock, ApiOptions(version=version, rate_limit=0))
    async with coderd_metrics_runtime(
        deployment, clock, token=token, telemetry=telemetry, through_api=True
    ) as runtime:
        await collect_inventory(runtime)

        assert not await agent_stats_collector(runtime).read_once()

    assert telemetry.errors[-1] == ("agent_stats", reason)


async def test_sampling_needs_workspaces() -> None:
    clock, telemetry = FakeClock(WORKDAY), RecordingTelemetry()
    async with coderd_metrics_runtime(simulated_deployment(clock), clock, telemetry=telemetry) as runtime:
        assert not await agent_stats_collector(runtime).read_once()
        await collect_inventory(runtime)
        assert await agent_stats_collector(runtime).read_once()

    assert ("agent_stats", "workspaces_unknown") in telemetry.errors


@pytest.mark.parametrize("same", [True, False])
async def test_reload_keeps_compatible_counts(*, same: bool) -> None:
    clock = FakeClock(WORKDAY)
    async with coderd_metrics_runtime(simulated_deployment(clock), clock) as old:
        await collect_inventory(old)
        for _ in range(4):
            await agent_stats_collector(old).read_once()
            clock.advance(60)
        before = current_stats(old)
        privacy = PrivacySettings(parameter_free_text=not same)
        settings = old.settings.model_copy(update={"privacy": privacy})
        dependencies = Dependencies(clock=clock, random=Random(1), telemetry=RecordingTelemetry())
        async with Runtime(settings, dependencies, state=old.poller.state) as new:
            await agent_stats_collector(new).read_once()
            await agent_stats_collector(new).read_once()
            after = current_stats(new)

    assert sum(before.received_bytes.values()) > 0
    for key, number in before.received_bytes.items():
        assert (after.received_bytes[key] >= number) if same else after.received_bytes[key] == 0
