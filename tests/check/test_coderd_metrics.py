"""Checks of agent reports in coderd's own metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from insights_exporter.check import Finding, Level
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
)
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import (
    Fault,
    LoginPage,
    Status,
    TruncateBody,
    UnrelatedJson,
)
from insights_exporter.simulator.api.http_server import METRICS_ROUTE, serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions, MetricsOptions
from tests.check.check_harness import check_deployment
from tests.support.clock import FakeClock

WORKDAY = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)
SUNDAY_NIGHT = datetime(2026, 1, 11, 22, 20, tzinfo=UTC)
SMALL_SIZE = Size(templates=3, users=20)


def simulated_deployment(clock: FakeClock, **metrics: object) -> SimulatedDeployment:
    options = ApiOptions(metrics=replace(MetricsOptions(), **metrics))  # type: ignore[arg-type] # Names are fields.
    return demo_deployment(SMALL_SIZE, now=clock.now, options=options)


async def collect_findings(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    token: str = DEMO_TOKEN,
    through_api: bool = False,
    interval: float = 60.0,
) -> dict[str, Finding]:
    """Return the findings on agent metrics by subject."""
    async with serve_metrics(deployment) as metrics:
        agent_stats = AgentStatsSettings(
            source=AgentStatsSource.CODERD_METRICS,
            interval=interval,
            metrics_url=None if through_api else f"{metrics}/metrics",
        )
        findings = await check_deployment(
            deployment, clock, token=LiteralSecret(Secret(token)), agent_stats=agent_stats
        )
    return {finding.subject: finding for finding in findings if finding.subject.startswith("agent metrics")}


@pytest.mark.parametrize("through_api", [False, True])
async def test_healthy_metrics_have_only_ok_findings(*, through_api: bool) -> None:
    clock = FakeClock(WORKDAY)

    findings = await collect_findings(
        simulated_deployment(clock), clock, token=OWNER_TOKEN, through_api=through_api
    )

    assert {finding.level for finding in findings.values()} == {Level.OK}, findings
    assert "KiB" in findings["agent metrics"].text
    assert (
        "coderd collects agent reports every 59 s; the exporter scrapes every 60 s."
        in findings["agent metrics: samples"].text
    )
    assert "sessions by app family" in findings["agent metrics: agents"].text
    assert "belong to a visible workspace" in findings["agent metrics: templates"].text
    assert "connected to Coder." in findings["agent metrics: freshness"].text


@pytest.mark.parametrize(
    ("fault", "text", "advice"),
    [
        (Status(status=503, html=True), "agent_stats.metrics_url", "CODER_PROMETHEUS_ADDRESS"),
        (LoginPage(), "agent_stats.metrics_url", "CODER_PROMETHEUS_ENABLE"),
        (UnrelatedJson(), "no metric of coderd", "agent_stats.metrics_url"),
        (TruncateBody(kept_fraction=0.501), "truncated", "proxies"),
    ],
)
async def test_failed_scrape_is_a_problem(fault: Fault, text: str, advice: str) -> None:
    clock = FakeClock(WORKDAY)
    deployment = simulated_deployment(clock)
    deployment.faults.inject(METRICS_ROUTE, fault)

    findings = await collect_findings(deployment, clock)

    assert list(findings) == ["agent metrics"]
    assert findings["agent metrics"].level is Level.PROBLEM
    assert text in findings["agent metrics"].text
    assert advice in findings["agent metrics"].advice


async def test_debug_route_requires_owner() -> None:
    clock = FakeClock(WORKDAY)

    findings = await collect_findings(simulated_deployment(clock), clock, through_api=True)

    assert findings["agent metrics"].level is Level.PROBLEM
    assert "Only owners" in findings["agent metrics"].text
    assert "agent_stats.metrics_url" in findings["agent metrics"].advice


@pytest.mark.parametrize(
    ("metrics", "text", "advice"),
    [
        ({"collect_agent_stats": False}, "does not collect", "CODER_PROMETHEUS_COLLECT_AGENT_STATS"),
        (
            {"aggregate_agent_stats_by": ("template_name",)},
            "overwrite each other",
            "CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY",
        ),
    ],
)
async def test_wrong_coderd_options_are_named(metrics: dict[str, object], text: str, advice: str) -> None:
    clock = FakeClock(WORKDAY)

    findings = await collect_findings(simulated_deployment(clock, **metrics), clock)

    page, problem = findings["agent metrics"], list(findings.values())[-1]
    assert (page is problem) or page.level is Level.OK
    assert problem.level is Level.PROBLEM
    assert text in problem.text
    assert advice in problem.advice


async def test_agents_without_visible_workspace_are_a_problem() -> None:
    clock = FakeClock(WORKDAY)
    deployment = simulated_deployment(clock)
    deployment.accounts.update("exporter", roles=frozenset({"auditor"}))

    findings = await collect_findings(deployment, clock)

    assert findings["agent metrics: templates"].level is Level.PROBLEM
    assert "template-admin" in findings["agent metrics: templates"].advice


async def test_stale_values_are_a_warning() -> None:
    clock = FakeClock(WORKDAY)
    deployment = simulated_deployment(clock)
    # One scrape at work; then statistics are disabled and coderd repeats the values.
    deployment.metrics.render(clock.now())
    deployment.world.usage_stats_enabled = False
    clock.advance(3600)

    findings = await collect_findings(deployment, clock)

    assert findings["agent metrics: freshness"].level is Level.WARNING
    assert "coderd repeats the last values" in findings["agent metrics: freshness"].text


async def test_no_agents_is_a_warning() -> None:
    clock = FakeClock(SUNDAY_NIGHT)

    findings = await collect_findings(simulated_deployment(clock), clock)

    assert findings["agent metrics: agents"].level is Level.WARNING
    assert "Connect to a workspace" in findings["agent metrics: agents"].advice


async def test_undersampling_is_a_warning() -> None:
    clock = FakeClock(WORKDAY)

    findings = await collect_findings(simulated_deployment(clock), clock, interval=300.0)

    assert findings["agent metrics: samples"].level is Level.WARNING
    assert "agent_stats.interval" in findings["agent metrics: samples"].advice
