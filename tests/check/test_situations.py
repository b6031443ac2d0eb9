"""Misconfigurations that users meet: each has one problem with the right remedy."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from insights_exporter import commands
from insights_exporter.check import Finding, Level
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
)
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Status
from insights_exporter.simulator.api.http_server import serve, serve_metrics
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.check.check_harness import by_subject, check_deployment, levels
from tests.support.clock import FakeClock

SIZE = Size(templates=3, users=12)


def create_deployment(clock: FakeClock, **options: object) -> SimulatedDeployment:
    api_options = replace(ApiOptions(), **options)  # type: ignore[arg-type]  # The names are those of the fields.
    return demo_deployment(SIZE, now=clock.now, options=api_options)


async def test_https_url_of_a_plain_http_server() -> None:
    clock = FakeClock()

    (finding,) = await check_deployment(create_deployment(clock), clock, scheme="https")

    assert (finding.level, finding.subject) == (Level.PROBLEM, "address")
    assert "uses https, but the server speaks plain HTTP" in finding.text
    assert finding.advice.startswith("Set coder.url to http://127.0.0.1:")


async def test_http_url_of_a_tls_server() -> None:
    clock = FakeClock()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    (finding,) = await check_deployment(create_deployment(clock), clock, scheme="http", ssl_context=context)

    assert (finding.level, finding.subject) == (Level.PROBLEM, "address")
    assert "uses http, but the server refuses plain HTTP" in finding.text
    assert finding.advice.startswith("Set coder.url to https://127.0.0.1:")


async def test_untrusted_certificate_names_the_ca_file() -> None:
    clock = FakeClock()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    (finding,) = await check_deployment(create_deployment(clock), clock, ssl_context=context)

    assert (finding.level, finding.subject) == (Level.PROBLEM, "address")
    assert "coder.ca_file" in finding.advice


@pytest.mark.parametrize("path", ["/templates", "/@ada/workspace"])
async def test_url_with_the_path_of_a_page(path: str) -> None:
    clock = FakeClock()

    (finding,) = await check_deployment(create_deployment(clock), clock, path=path)

    assert (finding.level, finding.subject) == (Level.PROBLEM, "address")
    assert f"coder.url has the path {path}" in finding.text
    assert finding.advice.startswith("Set coder.url to http://127.0.0.1:")


async def test_disabled_statistics_are_one_problem() -> None:
    clock = FakeClock()
    deployment = create_deployment(clock)
    deployment.world.usage_stats_enabled = False

    findings = await check_deployment(deployment, clock)

    assert levels(findings, Level.PROBLEM) == ["statistics"]
    assert "CODER_STATS_COLLECTION_USAGE_STATS_ENABLE" in by_subject(findings)["statistics"].advice


async def test_disabled_statistics_explain_missing_agents_in_coderd_metrics() -> None:
    clock = FakeClock()
    deployment = create_deployment(clock)
    deployment.world.usage_stats_enabled = False
    async with serve_metrics(deployment) as metrics:
        stats = AgentStatsSettings(source=AgentStatsSource.CODERD_METRICS, metrics_url=f"{metrics}/metrics")

        findings = await check_deployment(deployment, clock, agent_stats=stats)

    assert levels(findings, Level.PROBLEM) == ["statistics"]
    agents = by_subject(findings)["agent metrics: agents"]
    assert agents.level is Level.WARNING
    assert "usage statistics are disabled" in agents.text
    assert "CODER_STATS_COLLECTION_USAGE_STATS_ENABLE" in agents.advice


async def test_organization_roles_give_the_insights_of_their_templates() -> None:
    clock = FakeClock()
    deployment = create_deployment(clock)
    organization = deployment.world.organizations[0].name
    deployment.accounts.update(
        "exporter",
        roles=frozenset({"member"}),
        organization_roles={organization: frozenset({"organization-template-admin"})},
    )

    findings = await check_deployment(deployment, clock)

    subjects = by_subject(findings)
    assert levels(findings, Level.PROBLEM) == []
    assert subjects["statistics"].level is Level.WARNING
    assert f"in {organization}; those of the whole deployment are not" in subjects["statistics"].text
    assert subjects["permission template view_insights"].level is Level.WARNING
    assert f"Roles in {organization} give the data" in subjects["roles"].text
    assert f"Granted in {organization} only" in subjects["permission template view_insights"].text
    assert subjects["date range"].level is Level.OK


async def test_debug_route_without_owner_role_names_the_metrics_url() -> None:
    clock = FakeClock()
    stats = AgentStatsSettings(source=AgentStatsSource.CODERD_METRICS)

    findings = await check_deployment(create_deployment(clock), clock, agent_stats=stats)

    assert levels(findings, Level.PROBLEM) == ["agent metrics"]
    assert "agent_stats.metrics_url" in by_subject(findings)["agent metrics"].advice


async def test_debug_route_with_owner_role_recommends_the_metrics_url() -> None:
    clock = FakeClock()
    stats = AgentStatsSettings(source=AgentStatsSource.CODERD_METRICS)
    token = LiteralSecret(Secret(OWNER_TOKEN))

    findings = await check_deployment(create_deployment(clock), clock, agent_stats=stats, token=token)

    finding = by_subject(findings)["permission debug_info read"]
    assert finding.level is Level.WARNING
    assert "agent_stats.metrics_url" in finding.advice


async def test_owners_get_a_command_with_their_maximum_lifetime() -> None:
    clock = FakeClock()
    token = LiteralSecret(Secret(OWNER_TOKEN))

    finding = by_subject(await check_deployment(create_deployment(clock), clock, token=token))["token expiry"]

    assert "maximum lifetime is 7 days" in finding.text
    assert finding.advice.endswith("--lifetime 168h")


@pytest.mark.parametrize(
    ("token", "options", "expected"),
    [
        (OWNER_TOKEN, {"user_limit": 50}, "The account takes a licensed seat."),
        (DEMO_TOKEN, {"user_limit": 50}, "The account is a service account, which takes no licensed seat."),
        (OWNER_TOKEN, {}, ""),
        (OWNER_TOKEN, {"user_limit": 50, "version": "v2.31.0"}, ""),
    ],
    ids=["user account", "service account", "without licence", "before service accounts"],
)
async def test_licensed_deployments_get_the_advice_to_use_a_service_account(
    token: str, options: dict[str, object], expected: str
) -> None:
    clock = FakeClock()
    deployment = create_deployment(clock, **options)

    findings = by_subject(await check_deployment(deployment, clock, token=LiteralSecret(Secret(token))))

    assert findings["seat"].text.startswith(expected) if expected else "seat" not in findings


async def test_health_sections_without_flag_are_healthy_unless_severe() -> None:
    clock = FakeClock()
    token = LiteralSecret(Secret(OWNER_TOKEN))

    findings = by_subject(await check_deployment(create_deployment(clock), clock, token=token))

    assert findings["health"] == Finding(Level.OK, "health", "Coder reports that it is healthy.")


async def test_failed_collectors_write_nothing_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deployment = create_deployment(FakeClock(datetime.now(UTC)))
    deployment.faults.inject("/workspaces", Status(status=500))
    file = tmp_path / "exporter.yaml"
    async with serve(deployment) as url:
        file.write_text(f"coder: {{url: '{url}', token: {DEMO_TOKEN}, retries: 0}}\n")

        exit_code = await commands.check(file, json=False, poll=True)

    output = capfd.readouterr()
    assert exit_code == Level.PROBLEM
    assert "problem  workspaces: /workspaces: HTTP 500" in output.out
    assert output.err == ""


@pytest.mark.parametrize(
    ("roles", "expected", "missing"),
    [
        ({"auditor"}, "auditor: read-only. It gives insights", ["permission workspace read"]),
        ({"template-admin"}, "template-admin: all exported data. It can change templates; auditor", []),
        ({"auditor", "template-admin"}, "auditor adds deployment statistics", []),
    ],
)
async def test_roles_say_what_they_give_and_cost(roles: set[str], expected: str, missing: list[str]) -> None:
    clock = FakeClock()
    deployment = create_deployment(clock)
    deployment.accounts.update("exporter", roles=frozenset(roles))

    findings = await check_deployment(deployment, clock)

    assert expected in by_subject(findings)["roles"].text
    assert levels(findings, Level.PROBLEM) == []
    assert [item for item in levels(findings, Level.WARNING) if item.startswith("permission")] == missing


@pytest.mark.parametrize(
    ("version", "slides"),
    [
        ("v2.26.4", True),
        ("v2.31.9", True),
        ("v2.32.7", True),
        ("v2.32.8", False),
        ("v2.33.8", True),
        ("v2.33.9", False),
        ("v2.34.2", True),
        ("v2.34.3", False),
        ("v2.35.0", False),
        ("v3.0.0", False),
    ],
)
async def test_token_expiry_depends_on_the_server_version(version: str, *, slides: bool) -> None:
    clock = FakeClock()
    deployment = create_deployment(clock, version=version)
    lifetime = timedelta(days=7)
    deployment.accounts.update("exporter", expires_at=clock.now() + lifetime, lifetime=lifetime)

    finding = by_subject(await check_deployment(deployment, clock))["token expiry"]

    assert f"expires at {clock.now() + lifetime:%Y-%m-%d %H:%M} UTC, in 7 days." in finding.text
    assert ("Each use extends it" in finding.text) is slides
    assert ("Its use does not extend it" in finding.text) is not slides
    assert "The deployment's maximum lifetime is 36,525 days." in finding.text
    assert finding.level is (Level.OK if slides else Level.WARNING)
    assert slides or "insights-exporter token rotate" in finding.advice


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"user_limit": 50}, "Visible groups: 6."),
        ({}, "they need a Premium licence. teams.file can map users to teams."),
        ({"open_source": True}, "they need a Premium licence. teams.file can map users to teams."),
    ],
    ids=["licence", "no licence", "open source"],
)
async def test_groups_are_optional(options: dict[str, object], text: str) -> None:
    clock = FakeClock()
    finding = by_subject(await check_deployment(create_deployment(clock, **options), clock))["groups"]

    assert finding.level is Level.OK
    assert finding.text.endswith(text)
