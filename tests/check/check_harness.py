"""Runs all checks against a simulated deployment."""

from __future__ import annotations

from collections.abc import Iterable
from ssl import SSLContext

from insights_exporter import check
from insights_exporter.check import Finding, Level
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import (
    AgentStatsSettings,
    CoderSettings,
    LimitSettings,
    Settings,
    UsernameMode,
)
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.secrets import LiteralSecret, Secret, SecretSource
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.snapshot import Snapshot
from tests.support.clock import FakeClock

__all__ = ["by_subject", "check_deployment", "check_settings", "levels"]


async def check_settings(
    settings: Settings, clock: FakeClock, *, polled_snapshot: Snapshot | None = None
) -> list[Finding]:
    """Return the findings of all checks; with a snapshot also those of series."""

    async def poll() -> Snapshot:
        assert polled_snapshot is not None
        return polled_snapshot

    async with CoderClient(settings.coder, clock=clock) as client:
        findings = check.run_checks(
            client,
            settings,
            clock=clock,
            username_policy=UsernamePolicy(UsernameMode.NAMED),
            poll=poll if polled_snapshot else None,
        )
        return [finding async for finding in findings]


async def check_deployment(  # Each keyword is one circumstance of a test.
    deployment: SimulatedDeployment,
    clock: FakeClock,
    *,
    scheme: str = "",
    path: str = "",
    ssl_context: SSLContext | None = None,
    token: SecretSource | None = None,
    agent_stats: AgentStatsSettings | None = None,
    limits: LimitSettings | None = None,
    polled_snapshot: Snapshot | None = None,
) -> list[Finding]:
    """Return the findings for a served deployment; ``scheme`` and ``path`` change ``coder.url``."""
    async with serve(deployment, ssl_context=ssl_context) as served:
        url = f"{scheme}://{served.partition('://')[2]}" if scheme else served
        settings = Settings(
            coder=CoderSettings(url=url + path, token=token or LiteralSecret(Secret(DEMO_TOKEN)), retries=0),
            agent_stats=agent_stats or AgentStatsSettings(),
            limits=limits or LimitSettings(),
        )
        return await check_settings(settings, clock, polled_snapshot=polled_snapshot)


def by_subject(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return the findings by subject; the most severe of each subject."""
    return {finding.subject: finding for finding in sorted(findings, key=lambda item: item.level)}


def levels(findings: Iterable[Finding], level: Level) -> list[str]:
    """Return the subjects of the findings with that level."""
    return [finding.subject for finding in findings if finding.level is level]
