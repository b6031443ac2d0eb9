"""The deployment collector: version, users, licence, permissions and expiry of the token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from insights_exporter.coder import models
from insights_exporter.collectors import DeploymentCollector
from insights_exporter.config.settings import PollSettings
from insights_exporter.errors import ExpiredToken, Forbidden, ServerError, UnsupportedEndpoint, UpstreamError
from insights_exporter.snapshot import Deployment
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder

DAY = datetime(2026, 1, 13, tzinfo=UTC)
ENTITLEMENTS = models.Entitlements(
    {
        "user_limit": models.Entitlement("entitled", True, 50, 40),
        "managed_agent_limit": models.Entitlement("grace_period", True, 1000, 120),
        # Unlimited.
        "agent_runtime_hours": models.Entitlement("entitled", True, None, 12.5),
        # Without a licence Coder reports outdated use.
        "ai_governance_user_limit": models.Entitlement("not_entitled", False, None, 4),
        "high_availability": models.Entitlement("entitled", True, None, None),
    }
)


class DeploymentHarness:
    """A deployment collector with a scripted Coder."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.coder = ScriptedCoder(self.clock, entitlements_response=ENTITLEMENTS)
        self.telemetry = RecordingTelemetry()
        self.collector = DeploymentCollector(poll=PollSettings(), telemetry=self.telemetry)

    async def poll(self, after: float = 0) -> Deployment:
        """Advance the clock, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        return (await self.collector.collect(self.coder, now=self.clock.now())).value


def user(user_id: str, status: str) -> models.User:
    return models.User(user_id, user_id, status=status)


def fail_endpoint(error: UpstreamError, endpoint: str) -> Callable[[ApiCall], Exception | None]:
    return lambda call: error if call.endpoint == endpoint else None


async def test_version_and_url_are_collected() -> None:
    deployment = await DeploymentHarness().poll()

    assert (deployment.version, deployment.deployment_id) == ("v2.35.1", "deployment-1")
    assert deployment.dashboard_url == "https://coder.example.com"


async def test_users_are_counted_by_status_hourly() -> None:
    harness = DeploymentHarness()
    harness.coder.user_list = [user("a", "active"), user("b", "active"), user("c", "dormant")]
    first = await harness.poll()
    harness.coder.user_list.append(user("d", "suspended"))
    counted = []
    for _ in range(12):
        harness.coder.calls.clear()
        deployment = await harness.poll(after=300)
        counted += [call.template for call in harness.coder.calls if call.endpoint == "user_count"]

    assert first.users == {"active": 2, "dormant": 1, "suspended": 0}
    assert deployment.users == {"active": 2, "dormant": 1, "suspended": 1}
    assert counted == ["active", "dormant", "suspended"]


async def test_limits_and_use_of_licensed_features_are_collected() -> None:
    """Features that are not metered or not enabled are left out; an unlimited feature has no limit."""
    deployment = await DeploymentHarness().poll()

    assert deployment.license_limits == {"user_limit": 50, "managed_agent_limit": 1000}
    assert deployment.license_used == {
        "user_limit": 40,
        "managed_agent_limit": 120,
        "agent_runtime_hours": 12.5,
    }


async def test_open_source_build_has_no_licensed_features() -> None:
    harness = DeploymentHarness()
    await harness.poll()
    route_missing = UnsupportedEndpoint("no such route", endpoint="/entitlements", status=404)
    harness.coder.error_for = fail_endpoint(route_missing, "entitlements")
    deployment = await harness.poll(after=3600)

    assert (deployment.license_limits, deployment.license_used) == ({}, {})
    assert harness.telemetry.errors == []


async def test_permissions_and_token_expiry_are_reported() -> None:
    harness = DeploymentHarness()
    harness.coder.denied_checks = {"debug", "deployment_config"}
    harness.coder.token_expires_at = DAY
    await harness.poll()

    assert harness.telemetry.permissions == {
        ("template", "view_insights"): True,
        ("template", "read"): True,
        ("user", "read"): True,
        ("workspace", "read"): True,
        ("deployment_stats", "read"): True,
        ("deployment_config", "read"): False,
        ("debug_info", "read"): False,
    }
    assert harness.telemetry.token_expiries == [DAY]


async def test_scoped_token_has_unknown_expiry() -> None:
    harness = DeploymentHarness()
    harness.coder.error_for = fail_endpoint(
        Forbidden("no", endpoint="/users/me/keys", status=403), "token_expiry"
    )
    await harness.poll()

    assert harness.telemetry.token_expiries == [None]
    assert harness.telemetry.errors == []


async def test_user_counts_need_permission() -> None:
    harness = DeploymentHarness()
    harness.coder.denied_checks = {"users"}
    deployment = await harness.poll()

    assert deployment.users == {}
    assert "user_count" not in {call.endpoint for call in harness.coder.calls}


async def test_slow_data_is_refreshed_hourly() -> None:
    harness = DeploymentHarness()
    await harness.poll()
    request_count = 0
    for _ in range(12):
        await harness.poll(after=300)
        request_count += sum(call.endpoint == "entitlements" for call in harness.coder.calls)

    assert request_count == 1


async def test_failed_licence_request_keeps_last_value_and_is_retried() -> None:
    harness = DeploymentHarness()
    await harness.poll()
    server_error = ServerError("broken", endpoint="/x", status=500)
    harness.coder.error_for = fail_endpoint(server_error, "entitlements")
    failed = await harness.poll(after=3600)
    harness.coder.error_for = lambda _: None
    harness.coder.entitlements_response = models.Entitlements()
    later = await harness.poll(after=300)

    assert failed.license_limits["user_limit"] == 50
    assert harness.telemetry.errors == [("deployment", "server_error")]
    assert later.license_limits == {}


async def test_failed_user_counts_keep_last_value_until_max_staleness() -> None:
    harness = DeploymentHarness()
    harness.coder.user_list = [user("a", "active")]
    await harness.poll()
    server_error = ServerError("broken", endpoint="/x", status=500)
    harness.coder.error_for = fail_endpoint(server_error, "user_count")
    while (await harness.poll(after=300)).users:
        assert len(harness.telemetry.errors) < 12
    failures = len(harness.telemetry.errors)

    # The counts were valid until the last poll before the first failure.
    assert 300 * (failures - 1) <= PollSettings().max_staleness < 300 * failures


async def test_rejected_token_raises() -> None:
    harness = DeploymentHarness()
    harness.coder.error_for = fail_endpoint(
        ExpiredToken("new one", endpoint="/authcheck", status=401), "authcheck"
    )

    with pytest.raises(ExpiredToken):
        await harness.poll()
