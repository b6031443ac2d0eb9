"""The client against the simulated deployment, which implement the same contract."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from insights_exporter.coder.models import PERMISSION_CHECKS
from insights_exporter.coder.time_ranges import last_days, past_weeks
from insights_exporter.errors import (
    BadResponse,
    ExpiredToken,
    Forbidden,
    InsightsDisabled,
    InvalidToken,
    LoginPageReturned,
    NotFoundOrForbidden,
    RateLimited,
    RedirectRefused,
    ServerError,
    Unreachable,
    UnsupportedEndpoint,
    UpstreamError,
    UserSuspended,
)
from insights_exporter.simulator.api import fault_injection
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, OWNER_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.support.api_client import simulator_client
from tests.support.clock import FakeClock

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
WEEK = last_days(NOW, 7)
MEMBER = "membermemb-0123456789012345678901"


def simulated_deployment(version: str = "v2.35.1+5e7d2c4", **options: int) -> SimulatedDeployment:
    deployment = demo_deployment(Size(4, 20), options=ApiOptions(version=version, **options))  # type: ignore[arg-type] # Only numbers.
    deployment.accounts.add(Account(token=MEMBER, user="member", roles=frozenset({"member"})))
    return deployment


async def test_lists_are_complete() -> None:
    deployment = simulated_deployment()
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        templates = await client.templates()
        users = await client.users()
        workspaces = await client.workspaces()

    assert {one.id for one in templates} == {one.id for one in deployment.world.templates}
    listed = (*deployment.world.users, *deployment.world.service_accounts)
    assert {one.username for one in users} == {one.username for one in listed}
    assert len(workspaces) == len(deployment.world.workspaces(NOW))


async def test_reports_agree_with_each_other() -> None:
    async with simulator_client(simulated_deployment(), clock=FakeClock(NOW)) as client:
        insights = await client.template_insights(
            WEEK.start, WEEK.end, interval="day", sections=("report", "interval_reports")
        )
        activity = await client.user_activity(WEEK.start, WEEK.end)
        latency = await client.user_latency(WEEK.start, WEEK.end)

    assert insights.report is not None
    assert insights.report.active_users == len(activity.users) == len(latency.users) > 0
    assert len(insights.interval_reports) == 7
    assert {one.username for one in activity.users} == {one.username for one in latency.users}


async def test_twelve_weeks_are_one_request() -> None:
    deployment = simulated_deployment()
    window = past_weeks(NOW)
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        response = await client.template_insights(
            window.start, window.end, interval="week", sections=("interval_reports",)
        )

    assert (len(response.interval_reports), deployment.request_counts["/insights/templates"]) == (12, 1)


async def test_permissions_need_one_request() -> None:
    deployment = simulated_deployment()
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        as_auditor = await client.authcheck(PERMISSION_CHECKS)
    async with simulator_client(deployment, clock=FakeClock(NOW), token=OWNER_TOKEN) as client:
        as_owner = await client.authcheck(PERMISSION_CHECKS)

    assert [key for key, granted in as_auditor.items() if not granted] == ["debug"]
    assert all(as_owner.values())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (fault_injection.Status(status=500), ServerError),
        (fault_injection.Status(status=502, html=True), ServerError),
        (fault_injection.DropConnection(), Unreachable),
        (fault_injection.TruncateBody(), BadResponse),
        (fault_injection.UnrelatedJson(), BadResponse),
        (fault_injection.LoginPage(), LoginPageReturned),
        (fault_injection.Redirect(), RedirectRefused),
    ],
    ids=lambda case: getattr(case, "__name__", type(case).__name__),
)
async def test_each_fault_maps_to_its_error(
    fault: fault_injection.Fault, expected: type[UpstreamError]
) -> None:
    deployment = simulated_deployment()
    deployment.faults.inject("/insights/templates", fault)
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        with pytest.raises(expected):
            await client.template_insights(WEEK.start, WEEK.end)


async def test_nan_drops_only_its_field() -> None:
    deployment = simulated_deployment()
    deployment.faults.inject("/insights/templates", fault_injection.NotANumber())
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        response = await client.template_insights(WEEK.start, WEEK.end)

    assert response.report is not None
    assert response.report.active_users is None
    assert sum(one.seconds or 0 for one in response.report.apps_usage) > 0


async def test_404_causes_are_distinguished() -> None:
    """Each is 404 on the wire."""
    old_server, insights_disabled = simulated_deployment("v2.12.0"), simulated_deployment()
    insights_disabled.world.usage_stats_enabled = False
    async with simulator_client(old_server, clock=FakeClock(NOW)) as client:
        with pytest.raises(UnsupportedEndpoint):
            await client.debug_metrics()
    async with simulator_client(insights_disabled, clock=FakeClock(NOW)) as client:
        with pytest.raises(InsightsDisabled):
            await client.user_latency(WEEK.start, WEEK.end)
    async with simulator_client(simulated_deployment(), clock=FakeClock(NOW), token=MEMBER) as client:
        with pytest.raises(NotFoundOrForbidden):
            await client.template_insights(WEEK.start, WEEK.end)


async def test_missing_role_raises_forbidden() -> None:
    async with simulator_client(simulated_deployment(), clock=FakeClock(NOW)) as client:
        with pytest.raises(Forbidden):
            await client.health()


async def test_token_errors_are_distinguished() -> None:
    deployment = simulated_deployment()
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        deployment.accounts.update("exporter", expires_at=NOW, sliding_expiration=False)
        with pytest.raises(ExpiredToken):
            await client.me()
        deployment.accounts.update("exporter", expires_at=None, status="suspended")
        with pytest.raises(UserSuspended):
            await client.me()
        deployment.accounts.revoke("exporter")
        with pytest.raises(InvalidToken):
            await client.me()


async def test_old_server_is_supported() -> None:
    async with simulator_client(simulated_deployment("v2.12.0"), clock=FakeClock(NOW)) as client:
        templates = await client.templates()
        response = await client.template_insights(WEEK.start, WEEK.end)

    assert (len(templates), response.report is not None) == (4, True)


async def test_unlicensed_server_has_no_entitlements() -> None:
    deployment = demo_deployment(Size(2, 5), options=ApiOptions(open_source=True))
    async with simulator_client(deployment, clock=FakeClock(NOW)) as client:
        with pytest.raises(UnsupportedEndpoint):
            await client.entitlements()


async def test_rate_limit_raises_rate_limited() -> None:
    async with simulator_client(simulated_deployment(rate_limit=1), clock=FakeClock(NOW)) as client:
        await client.me()
        with pytest.raises(RateLimited):
            await client.with_timeout(5).me()


async def test_demo_token_has_coder_format() -> None:
    key, _, secret = DEMO_TOKEN.partition("-")

    assert (len(key), len(secret)) == (10, 22)
