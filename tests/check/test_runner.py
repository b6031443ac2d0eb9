"""What the checks find at a simulated deployment, healthy or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from insights_exporter import check
from insights_exporter.check import Finding, Level
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config.settings import LimitSettings, Settings, UsernameMode
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.secrets import EnvironmentSecret, LiteralSecret, Secret, SecretSource
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Status, UnrelatedJson
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.snapshot import Snapshot
from tests.landing_page.fakes import fake_snapshot
from tests.support.clock import FakeClock

SMALL_SIZE = Size(templates=3, users=12)


async def collect_findings(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    token: SecretSource | None = None,
    limits: LimitSettings | None = None,
    polled_snapshot: Snapshot | None = None,
) -> dict[str, Finding]:
    """Return the findings by subject; the worst one where a subject has several."""
    async with serve(deployment) as url:
        coder = CoderSettings(url=url, token=token or LiteralSecret(Secret(DEMO_TOKEN)), retries=0)
        settings = Settings(coder=coder, limits=limits or LimitSettings())

        async def poll() -> Snapshot:
            assert polled_snapshot is not None
            return polled_snapshot

        async with CoderClient(settings.coder, clock=clock) as client:
            findings = [
                finding
                async for finding in check.run_checks(
                    client,
                    settings,
                    clock=clock,
                    username_policy=UsernamePolicy(UsernameMode.NAMED),
                    poll=poll if polled_snapshot else None,
                )
            ]
    return {finding.subject: finding for finding in sorted(findings, key=lambda finding: finding.level)}


def simulated_deployment(
    clock: FakeClock, size: Size = SMALL_SIZE, options: ApiOptions | None = None
) -> SimulatedDeployment:
    return demo_deployment(size, now=clock.now, options=options)


async def test_a_healthy_deployment_has_no_problem() -> None:
    clock = FakeClock()

    findings = await collect_findings(simulated_deployment(clock), clock)

    assert check.worst(findings.values()) < Level.PROBLEM
    for subject in ("address", "tls", "version", "clock", "token", "templates", "statistics", "date range"):
        assert findings[subject].level is Level.OK, findings[subject]
    assert "users were active" in findings["date range"].text
    assert findings["permission template view_insights"].level is Level.OK
    assert "workspaces run" in findings["workspaces"].text
    assert "latency" in findings
    assert all(finding.advice for finding in findings.values() if finding.level is not Level.OK)


async def test_connection_refused() -> None:
    clock = FakeClock()
    settings = Settings(
        coder=CoderSettings(url="http://127.0.0.1:9", token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0)
    )
    async with CoderClient(settings.coder, clock=clock) as client:
        username_policy = UsernamePolicy(UsernameMode.NAMED)
        findings = [
            finding
            async for finding in check.run_checks(
                client, settings, clock=clock, username_policy=username_policy
            )
        ]

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
        (timedelta(days=6), Level.OK),
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
        (revoke_roles, "permission template view_insights", Level.PROBLEM, "auditor or template-admin"),
        (revoke_roles, "statistics", Level.PROBLEM, "view_insights"),
        (revoke_roles, "templates", Level.PROBLEM, "template-admin"),
        (make_auditor, "permission workspace read", Level.WARNING, "template-admin"),
        (make_auditor, "workspaces", Level.WARNING, "template-admin"),
        (disable_statistics, "statistics", Level.PROBLEM, "CODER_STATS_COLLECTION_USAGE_STATS_ENABLE"),
        (fail_latency_endpoint, "latency", Level.PROBLEM, "try again"),
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
    # Only owners are told this.
    assert findings["health"].text == "Coder finds itself healthy."


async def test_coder_health_problems_are_reported_to_owners() -> None:
    clock = FakeClock()
    deployment = simulated_deployment(clock)
    report = '{"healthy":false,"derp":{"healthy":false},"database":{"healthy":true}}'
    deployment.faults.inject("/debug/health", UnrelatedJson(body=report))

    findings = await collect_findings(deployment, clock, token=LiteralSecret(Secret(OWNER_TOKEN)))

    assert findings["health"].level is Level.WARNING
    assert "fault with itself: derp." in findings["health"].text


async def test_old_server_lists_missing_features() -> None:
    clock = FakeClock()

    findings = await collect_findings(
        simulated_deployment(clock, options=ApiOptions(version="v2.12.0")), clock
    )

    assert findings["version"].level is Level.OK
    assert "does not tell accounts by status" in findings["version"].text


async def test_clock_skew_is_a_warning() -> None:
    clock = FakeClock()
    slow_clock = FakeClock(current_time=clock.current_time - timedelta(minutes=10))

    deployment = simulated_deployment(clock)
    findings = await collect_findings(deployment, slow_clock)

    assert findings["clock"].level in {Level.OK, Level.WARNING}
    if "does not tell" not in findings["clock"].text:
        assert "ahead of ours" in findings["clock"].text


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
