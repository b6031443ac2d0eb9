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
from insights_exporter.redaction import Redaction
from insights_exporter.secret import EnvironmentSecret, LiteralSecret, Secret, SecretSource
from insights_exporter.settings import LimitSettings, Settings, UserNames
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import ForeignJson, Status
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, OWNER_TOKEN, stage
from insights_exporter.snapshot import Snapshot
from tests.page.made_up import snapshot
from tests.support.clock import FakeClock

SMALL = Size(templates=3, users=12)


async def found(
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    token: SecretSource | None = None,
    limits: LimitSettings | None = None,
    counted: Snapshot | None = None,
) -> dict[str, Finding]:
    """Return the findings by subject; the worst one where a subject has several."""
    async with serve(deployment) as url:
        coder = CoderSettings(url=url, token=token or LiteralSecret(Secret(DEMO_TOKEN)), retries=0)
        settings = Settings(coder=coder, limits=limits or LimitSettings())

        async def poll() -> Snapshot:
            assert counted is not None
            return counted

        async with CoderClient(settings.coder, clock=clock) as client:
            findings = [
                one
                async for one in check.findings(
                    client,
                    settings,
                    clock=clock,
                    redaction=Redaction(UserNames.NAMED),
                    poll=poll if counted else None,
                )
            ]
    return {one.subject: one for one in sorted(findings, key=lambda one: one.level)}


def made(clock: FakeClock, size: Size = SMALL, options: ApiOptions | None = None) -> SimulatedDeployment:
    return stage(size, now=clock.now, options=options)


async def test_a_healthy_deployment_has_no_problem() -> None:
    clock = FakeClock()

    findings = await found(made(clock), clock)

    assert check.worst(findings.values()) < Level.PROBLEM
    for subject in ("address", "tls", "version", "clock", "token", "templates", "statistics", "date range"):
        assert findings[subject].level is Level.OK, findings[subject]
    assert "users were active" in findings["date range"].text
    assert findings["permission template view_insights"].level is Level.OK
    assert "workspaces run" in findings["workspaces"].text
    assert "latency" in findings
    assert all(one.advice for one in findings.values() if one.level is not Level.OK)


async def test_nothing_listens_there() -> None:
    clock = FakeClock()
    settings = Settings(
        coder=CoderSettings(url="http://127.0.0.1:9", token=LiteralSecret(Secret(DEMO_TOKEN)), retries=0)
    )
    async with CoderClient(settings.coder, clock=clock) as client:
        redaction = Redaction(UserNames.NAMED)
        findings = [one async for one in check.findings(client, settings, clock=clock, redaction=redaction)]

    assert [one.subject for one in findings] == ["address"]
    assert findings[0].level is Level.PROBLEM


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (LiteralSecret(Secret("aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb")), "/users/me: HTTP 401"),
        (EnvironmentSecret("NONE", {}), "the environment variable NONE"),
    ],
)
async def test_a_bad_token_is_named_and_not_shown(token: SecretSource, text: str) -> None:
    clock = FakeClock()

    findings = await found(made(clock), clock, token=token)

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
async def test_an_expiring_token_is_warned_about(left: timedelta, level: Level) -> None:
    clock = FakeClock()
    deployment = made(clock)
    deployment.accounts.change("exporter", expires_at=clock.now() + left, sliding=False)

    findings = await found(deployment, clock)

    assert findings["token expiry"].level is level
    assert f"{clock.now() + left:%Y-%m-%d %H:%M} UTC" in findings["token expiry"].text


def member(deployment: SimulatedDeployment) -> None:
    deployment.accounts.change("exporter", roles=frozenset({"member"}))


def auditor(deployment: SimulatedDeployment) -> None:
    deployment.accounts.change("exporter", roles=frozenset({"auditor"}))


def failing(deployment: SimulatedDeployment) -> None:
    deployment.faults.on("/insights/user-latency", Status(status=503, html=True))


def switched_off(deployment: SimulatedDeployment) -> None:
    deployment.world.collecting = False


@pytest.mark.parametrize(
    ("change", "subject", "level", "advice"),
    [
        (member, "permission template view_insights", Level.PROBLEM, "auditor or template-admin"),
        (member, "statistics", Level.PROBLEM, "view_insights"),
        (member, "templates", Level.PROBLEM, "template-admin"),
        (auditor, "permission workspace read", Level.WARNING, "template-admin"),
        (auditor, "workspaces", Level.WARNING, "template-admin"),
        (switched_off, "statistics", Level.PROBLEM, "CODER_STATS_COLLECTION_USAGE_STATS_ENABLE"),
        (failing, "latency", Level.PROBLEM, "try again"),
    ],
)
async def test_what_is_wrong_is_named_with_what_to_do(
    change: Callable[[SimulatedDeployment], None], subject: str, level: Level, advice: str
) -> None:
    clock = FakeClock()
    deployment = made(clock)
    change(deployment)

    findings = await found(deployment, clock)

    assert findings[subject].level is level
    assert advice in findings[subject].advice


async def test_an_owner_is_more_than_needed() -> None:
    clock = FakeClock()

    findings = await found(made(clock), clock, token=LiteralSecret(Secret(OWNER_TOKEN)))

    assert findings["roles"].level is Level.WARNING
    # Only owners are told this.
    assert findings["health"].text == "Coder finds itself healthy."


async def test_what_ails_coder_is_named_to_whoever_may_know() -> None:
    clock = FakeClock()
    deployment = made(clock)
    report = '{"healthy":false,"derp":{"healthy":false},"database":{"healthy":true}}'
    deployment.faults.on("/debug/health", ForeignJson(body=report))

    findings = await found(deployment, clock, token=LiteralSecret(Secret(OWNER_TOKEN)))

    assert findings["health"].level is Level.WARNING
    assert "fault with itself: derp." in findings["health"].text


async def test_an_old_server_is_told_from_a_disabled_feature() -> None:
    clock = FakeClock()

    findings = await found(made(clock, options=ApiOptions(version="v2.12.0")), clock)

    assert findings["version"].level is Level.OK
    assert "does not tell accounts by status" in findings["version"].text


async def test_clocks_that_differ_are_warned_about() -> None:
    clock = FakeClock()
    behind = FakeClock(moment=clock.moment - timedelta(minutes=10))

    deployment = made(clock)
    findings = await found(deployment, behind)

    assert findings["clock"].level in {Level.OK, Level.WARNING}
    if "does not tell" not in findings["clock"].text:
        assert "ahead of ours" in findings["clock"].text


async def test_series_are_counted_and_limits_that_bind_are_named() -> None:
    clock = FakeClock()
    limits = LimitSettings(series_per_family=30)

    findings = await found(made(clock), clock, limits=limits, counted=snapshot(5))

    assert "series. The largest families: coder_insights_" in findings["series"].text
    folded = [one for one in findings.values() if one.subject.startswith("series of")]
    assert folded
    assert all("limits.families.coder_insights_" in one.advice for one in folded)
    assert any("are folded" in one.text for one in folded)


def test_findings_are_written_for_people_and_for_machines() -> None:
    bad = Finding(Level.PROBLEM, "token", "It is bad.", "Make another.")
    good = replace(bad, level=Level.OK, advice="")

    assert check.as_text(bad) == "problem  token: It is bad.\n         -> Make another."
    assert check.as_text(good) == "ok       token: It is bad."
    document = json.loads(check.as_json([good, bad]))
    assert document["result"] == "problem"
    assert document["findings"][1] == {
        "level": "problem",
        "subject": "token",
        "text": "It is bad.",
        "advice": "Make another.",
    }
    assert check.worst([]) is Level.OK
