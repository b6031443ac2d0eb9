"""All checks against a simulated deployment."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from insights_exporter import check
from insights_exporter.check import Finding, Level
from insights_exporter.config.settings import CoderSettings, LimitSettings, Settings
from insights_exporter.secrets import EnvironmentSecret, LiteralSecret, Secret, SecretSource
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import LoginPage, Status, UnrelatedJson
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.check.check_harness import by_subject, check_deployment, check_settings, levels
from tests.landing_page.fakes import fake_snapshot
from tests.support.clock import FakeClock

SMALL_SIZE = Size(templates=3, users=12)


async def collect_findings(
    deployment: SimulatedDeployment, clock: FakeClock, **circumstances: Any
) -> dict[str, Finding]:
    return by_subject(await check_deployment(deployment, clock, **circumstances))


def simulated_deployment(
    clock: FakeClock, size: Size = SMALL_SIZE, options: ApiOptions | None = None
) -> SimulatedDeployment:
    return demo_deployment(size, now=clock.now, options=options)


async def test_a_healthy_deployment_has_no_problem() -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    deployment.accounts.update("exporter", expires_at=clock.now() + timedelta(days=90))

    findings = await collect_findings(deployment, clock)

    assert levels(findings.values(), Level.PROBLEM) == []
    assert levels(findings.values(), Level.WARNING) == []
    assert "active users from" in findings["date range"].text
    assert findings["permission template view_insights"].level is Level.OK
    assert "workspaces are running" in findings["workspaces"].text
    assert "latency" in findings
    assert [
        finding.subject for finding in findings.values() if bool(finding.advice) is (not finding.level)
    ] == []


async def test_connection_refused() -> None:
    clock = FakeClock()
    settings = Settings(
        coder=CoderSettings(url="http://127.0.0.1:9", token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0)
    )

    findings = await check_settings(settings, clock)

    assert [finding.subject for finding in findings] == ["address"]
    assert findings[0].level is Level.PROBLEM


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (LiteralSecret(Secret("aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb")), "/users/me: HTTP 401"),
        (EnvironmentSecret("NONE", {}), "the environment variable NONE"),
    ],
)
async def test_invalid_token_is_reported_but_not_shown(token: SecretSource, text: str) -> None:
    clock = FakeClock()

    findings = await collect_findings(simulated_deployment(clock), clock, token=token)

    assert findings["token"].level is Level.PROBLEM
    assert text in findings["token"].text
    assert "bbbbbbbb" not in findings["token"].text
    assert "statistics" not in findings


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (timedelta(days=15), Level.OK),
        (timedelta(days=13), Level.WARNING),
        (timedelta(hours=5), Level.WARNING),
    ],
)
async def test_expiring_token_is_a_warning(left: timedelta, level: Level) -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    deployment.accounts.update("exporter", expires_at=clock.now() + left, sliding_expiration=False)

    findings = await collect_findings(deployment, clock)

    assert findings["token expiry"].level is level
    assert f"{clock.now() + left:%Y-%m-%d %H:%M} UTC" in findings["token expiry"].text


def revoke_roles(deployment: SimulatedDeployment) -> None:
    deployment.accounts.update("exporter", roles=frozenset({"member"}))


def make_auditor(deployment: SimulatedDeployment) -> None:
    deployment.accounts.update("exporter", roles=frozenset({"auditor"}))


def fail_latency_endpoint(deployment: SimulatedDeployment) -> None:
    deployment.faults.inject("/insights/user-latency", Status(status=503, html=True))


def disable_statistics(deployment: SimulatedDeployment) -> None:
    deployment.world.usage_stats_enabled = False


@pytest.mark.parametrize(
    ("change", "subject", "level", "advice"),
    [
        (revoke_roles, "permission template view_insights", Level.PROBLEM, "auditor (read-only)"),
        (revoke_roles, "statistics", Level.PROBLEM, "view_insights"),
        (revoke_roles, "templates", Level.PROBLEM, "auditor or template-admin"),
        (make_auditor, "permission workspace read", Level.WARNING, "template-admin"),
        (make_auditor, "workspaces", Level.WARNING, "template-admin"),
        (disable_statistics, "statistics", Level.PROBLEM, "CODER_STATS_COLLECTION_USAGE_STATS_ENABLE"),
        (fail_latency_endpoint, "latency", Level.PROBLEM, "Then try again"),
    ],
)
async def test_problems_come_with_advice(
    change: Callable[[SimulatedDeployment], None], subject: str, level: Level, advice: str
) -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    change(deployment)

    findings = await collect_findings(deployment, clock)

    assert findings[subject].level is level
    assert advice in findings[subject].advice


async def test_owner_role_is_a_warning() -> None:
    clock = FakeClock()

    findings = await collect_findings(
        simulated_deployment(clock), clock, token=LiteralSecret(Secret(OWNER_TOKEN))
    )

    assert findings["roles"].level is Level.WARNING
    assert findings["health"].text == "Coder reports that it is healthy."


async def test_coder_health_problems_are_reported_to_owners() -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    report = '{"healthy":false,"derp":{"healthy":false},"database":{"healthy":true}}'
    deployment.faults.inject("/debug/health", UnrelatedJson(body=report))

    findings = await collect_findings(deployment, clock, token=LiteralSecret(Secret(OWNER_TOKEN)))

    assert findings["health"].level is Level.WARNING
    assert "Coder reports problems: derp." in findings["health"].text


async def test_old_server_lists_missing_features() -> None:
    clock = FakeClock()

    findings = await collect_findings(
        simulated_deployment(clock, options=ApiOptions(version="v2.12.0")), clock
    )

    assert findings["version"].level is Level.OK
    assert "does not report whether statistics are disabled" in findings["version"].text


async def test_clock_skew_is_a_warning() -> None:
    clock = FakeClock()
    slow_clock = FakeClock(current_time=clock.current_time - timedelta(minutes=10))

    deployment = simulated_deployment(clock)
    findings = await collect_findings(deployment, slow_clock)

    assert findings["clock"].level is Level.WARNING
    assert findings["clock"].text == "Coder's clock is 600 s ahead of the local clock."


async def test_series_estimate_names_exceeded_limits() -> None:
    clock = FakeClock()
    limits = LimitSettings(series_per_family=30)

    findings = await collect_findings(
        simulated_deployment(clock), clock, limits=limits, polled_snapshot=fake_snapshot(5)
    )

    assert "series. The largest families: coder_insights_" in findings["series"].text
    folded = [finding for finding in findings.values() if finding.subject.startswith("series of")]
    assert folded
    assert all("limits.families.coder_insights_" in finding.advice for finding in folded)
    assert any("are folded" in finding.text for finding in folded)


def test_findings_as_text_and_json() -> None:
    problem = Finding(Level.PROBLEM, "token", "It is bad.", "Make another.")
    ok = replace(problem, level=Level.OK, advice="")

    assert check.format_text(problem) == "problem  token: It is bad.\n         -> Make another."
    assert check.format_text(ok) == "ok       token: It is bad."
    document = json.loads(check.format_json([ok, problem]))
    assert document["result"] == "problem"
    assert document["findings"][1] == {
        "level": "problem",
        "subject": "token",
        "text": "It is bad.",
        "advice": "Make another.",
    }
    assert check.worst([]) is Level.OK


@pytest.mark.parametrize(
    ("version", "level", "text"),
    [
        ('{"version":"v2.11.9"}', Level.PROBLEM, "older than v2.12.0, the oldest supported version"),
        ('{"version":"devel"}', Level.WARNING, "Unknown version format: 'devel'"),
    ],
)
async def test_unsupported_versions(version: str, level: Level, text: str) -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    deployment.faults.inject("/buildinfo", UnrelatedJson(body=version))

    findings = await collect_findings(deployment, clock)

    assert findings["version"].level is level
    assert text in findings["version"].text


async def test_expired_token_is_a_problem() -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    later = FakeClock(clock.current_time + timedelta(days=400))

    finding = (await collect_findings(deployment, later))["token expiry"]

    assert finding.level is Level.PROBLEM
    assert "expired at" in finding.text


async def test_a_login_page_names_the_proxy() -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    deployment.faults.inject("/buildinfo", LoginPage())

    finding = (await collect_findings(deployment, clock))["address"]

    assert finding.level is Level.PROBLEM
    assert "proxy" in finding.advice
