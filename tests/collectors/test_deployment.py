"""The deployment as a whole, and what the token may do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.coder import models
from insights_exporter.coder.versions import ServerVersion
from insights_exporter.collectors import DeploymentCollector
from insights_exporter.config.settings import PollSettings
from insights_exporter.errors import ExpiredToken, Forbidden, ServerError, UnsupportedEndpoint, UpstreamError
from insights_exporter.snapshot import Deployment
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder

DAY = datetime(2026, 1, 13, tzinfo=UTC)
ENTITLEMENTS = models.Entitlements({"user_limit": models.Entitlement("entitled", True, 50, 40)})


class DeploymentHarness:
    """A deployment collector with everything around it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.coder = ScriptedCoder(self.clock, entitlements_response=ENTITLEMENTS)
        self.telemetry = RecordingTelemetry()
        self.collector = DeploymentCollector(poll=PollSettings(), telemetry=self.telemetry)

    async def poll(self, after: float = 0) -> Deployment:
        """Let some time pass, and collect."""
        self.clock.advance(after)
        self.coder.calls.clear()
        return (await self.collector.collect(self.coder, now=self.clock.now())).value


def fail_endpoint(error: UpstreamError, endpoint: str) -> Callable[[ApiCall], Exception | None]:
    return lambda call: error if call.endpoint == endpoint else None


async def test_version_and_url_are_collected() -> None:
    deployment = await DeploymentHarness().poll()

    assert (deployment.version, deployment.deployment_id) == ("v2.35.1", "deployment-1")
    assert deployment.dashboard_url == "https://coder.example.com"


async def test_latest_count_of_each_status_is_collected() -> None:
    harness = DeploymentHarness()
    harness.coder.status_counts = {
        "active": [models.StatusCount(DAY, 7), models.StatusCount(DAY + timedelta(hours=10), 9)],
        "dormant": [models.StatusCount(DAY + timedelta(hours=10), 2)],
    }

    assert (await harness.poll()).users == {"active": 9, "dormant": 2, "suspended": 0}


async def test_license_user_limit_is_collected() -> None:
    assert (await DeploymentHarness().poll()).license_user_limit == 50


async def test_open_source_edition_has_no_user_limit() -> None:
    harness = DeploymentHarness()
    route_missing = UnsupportedEndpoint("no such route", endpoint="/entitlements", status=404)
    harness.coder.error_for = fail_endpoint(route_missing, "entitlements")

    assert (await harness.poll()).license_user_limit is None
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
    assert "user_status_counts" not in {call.endpoint for call in harness.coder.calls}


async def test_user_counts_need_server_support() -> None:
    harness = DeploymentHarness()
    harness.coder.version = ServerVersion(2, 18, 0)
    deployment = await harness.poll()

    assert deployment.users == {}


async def test_slow_data_is_refreshed_hourly() -> None:
    harness = DeploymentHarness()
    await harness.poll()
    request_count = 0
    for _ in range(12):
        await harness.poll(after=300)
        request_count += sum(call.endpoint == "entitlements" for call in harness.coder.calls)

    assert request_count == 1


async def test_failed_request_keeps_last_value_and_is_retried() -> None:
    harness = DeploymentHarness()
    harness.coder.error_for = fail_endpoint(
        ServerError("broken", endpoint="/x", status=500), "user_status_counts"
    )
    first = await harness.poll()
    harness.coder.error_for = lambda _: None
    harness.coder.status_counts = {"active": [models.StatusCount(DAY, 7)]}
    later = await harness.poll(after=300)

    assert first.license_user_limit == 50
    assert harness.telemetry.errors == [("deployment", "server_error")]
    assert later.users["active"] == 7


async def test_rejected_token_raises() -> None:
    harness = DeploymentHarness()
    harness.coder.error_for = fail_endpoint(
        ExpiredToken("new one", endpoint="/authcheck", status=401), "authcheck"
    )

    with pytest.raises(ExpiredToken):
        await harness.poll()
