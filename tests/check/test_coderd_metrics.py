"""What the check says of agent statistics from coderd's own metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from insights_exporter import check
from insights_exporter.check import Finding, Level
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.redaction import Redaction
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import AgentStatsSettings, AgentStatsSource, Settings, UserNames
from insights_exporter.simulator.api.application import METRICS, serve, serve_metrics
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import Fault, ForeignJson, LoginPage, Status, Truncate
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.coderd.options import MetricsOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, OWNER_TOKEN, stage
from tests.support.clock import FakeClock

WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
SMALL = Size(templates=3, users=20)


def made(clock: FakeClock, **metrics: object) -> SimulatedDeployment:
    options = ApiOptions(metrics=replace(MetricsOptions(), **metrics))  # type: ignore[arg-type] # Names are fields.
    return stage(SMALL, now=clock.now, options=options)


async def found(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    token: str = DEMO_TOKEN,
    through_api: bool = False,
    interval: float = 60.0,
) -> dict[str, Finding]:
    """Return the findings on agent metrics by subject."""
    async with serve(deployment) as url, serve_metrics(deployment) as metrics:
        settings = Settings(
            coder=CoderSettings(url=url, token=LiteralSecret(Secret(token)), retries=0),
            agent_stats=AgentStatsSettings(
                source=AgentStatsSource.CODERD_METRICS,
                interval=interval,
                metrics_url=None if through_api else f"{metrics}/metrics",
            ),
        )
        async with CoderClient(settings.coder, clock=clock) as client:
            redaction = Redaction(UserNames.NAMED)
            findings = [
                one
                async for one in check.findings(client, settings, clock=clock, redaction=redaction)
                if one.subject.startswith("agent metrics")
            ]
    return {one.subject: one for one in findings}


@pytest.mark.parametrize("through_api", [False, True])
async def test_all_is_well(*, through_api: bool) -> None:
    clock = FakeClock(WORKDAY)

    findings = await found(made(clock), clock, token=OWNER_TOKEN, through_api=through_api)

    assert {one.level for one in findings.values()} == {Level.OK}, findings
    assert "KiB" in findings["agent metrics"].text
    assert "looks at agents 1 times a minute" in findings["agent metrics: samples"].text
    assert "sessions by family" in findings["agent metrics: agents"].text
    assert "belong to a workspace" in findings["agent metrics: templates"].text
    assert "connected to Coder now" in findings["agent metrics: freshness"].text


@pytest.mark.parametrize(
    ("fault", "text", "advice"),
    [
        (Status(status=503, html=True), "agent_stats.metrics_url", "CODER_PROMETHEUS_ADDRESS"),
        (LoginPage(), "agent_stats.metrics_url", "CODER_PROMETHEUS_ENABLE"),
        (ForeignJson(), "no metric of coderd", "agent_stats.metrics_url"),
        (Truncate(kept=0.501), "cut short", "proxies"),
    ],
)
async def test_what_does_not_answer_well_is_a_problem(fault: Fault, text: str, advice: str) -> None:
    clock = FakeClock(WORKDAY)
    deployment = made(clock)
    deployment.faults.on(METRICS, fault)

    findings = await found(deployment, clock)

    assert list(findings) == ["agent metrics"]
    assert findings["agent metrics"].level is Level.PROBLEM
    assert text in findings["agent metrics"].text
    assert advice in findings["agent metrics"].advice


async def test_the_debug_route_needs_an_owner() -> None:
    clock = FakeClock(WORKDAY)

    findings = await found(made(clock), clock, through_api=True)

    assert findings["agent metrics"].level is Level.PROBLEM
    assert "only owners" in findings["agent metrics"].text
    assert "agent_stats.metrics_url" in findings["agent metrics"].advice


@pytest.mark.parametrize(
    ("metrics", "text", "advice"),
    [
        ({"collect_agent_stats": False}, "no statistics", "CODER_PROMETHEUS_COLLECT_AGENT_STATS"),
        (
            {"aggregate_agent_stats_by": ("template_name",)},
            "not told apart",
            "CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY",
        ),
    ],
)
async def test_options_of_coderd_are_named(metrics: dict[str, object], text: str, advice: str) -> None:
    clock = FakeClock(WORKDAY)

    findings = await found(made(clock, **metrics), clock)

    assert findings["agent metrics"].level is Level.PROBLEM or len(findings) == 1
    last = list(findings.values())[-1]
    assert last.level is Level.PROBLEM
    assert text in last.text
    assert advice in last.advice


async def test_whoever_sees_no_workspaces_cannot_join_agents() -> None:
    clock = FakeClock(WORKDAY)
    deployment = made(clock)
    deployment.accounts.change("exporter", roles=frozenset({"auditor"}))

    findings = await found(deployment, clock)

    assert findings["agent metrics: templates"].level is Level.PROBLEM
    assert "template-admin" in findings["agent metrics: templates"].advice


async def test_values_that_stand_still_are_told_from_fresh_ones() -> None:
    clock = FakeClock(WORKDAY)
    deployment = made(clock)
    # Somebody asks while people work; then statistics are switched off and the page stands still.
    deployment.metrics.page(clock.now())
    deployment.world.collecting = False
    clock.advance(3600)

    findings = await found(deployment, clock)

    assert findings["agent metrics: freshness"].level is Level.WARNING
    assert "stand still" in findings["agent metrics: freshness"].text


async def test_nobody_connected_yet_is_told_from_switched_off() -> None:
    clock = FakeClock(WORKDAY)
    deployment = made(clock)
    deployment.world.collecting = False

    findings = await found(deployment, clock)

    assert findings["agent metrics: agents"].level is Level.WARNING
    assert "Connect to a workspace" in findings["agent metrics: agents"].advice


async def test_sampling_less_often_than_coderd_looks_is_warned_about() -> None:
    clock = FakeClock(WORKDAY)

    findings = await found(made(clock), clock, interval=300.0)

    assert findings["agent metrics: samples"].level is Level.WARNING
    assert "agent_stats.interval" in findings["agent metrics: samples"].advice
