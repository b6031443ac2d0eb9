"""The client and the simulated deployment, each made after the same contract, understand each other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from insights_exporter.coder.authorization import PREFLIGHT
from insights_exporter.coder.windows import last_days, weeks
from insights_exporter.errors import (
    BadResponse,
    Forbidden,
    InsightsDisabled,
    LoginPage,
    NotPermitted,
    RateLimited,
    RedirectRefused,
    RouteMissing,
    ServerError,
    TokenExpired,
    TokenInvalid,
    Unreachable,
    UpstreamError,
    UserSuspended,
)
from insights_exporter.simulator.api import faults
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, OWNER_TOKEN, stage
from tests.support.clock import FakeClock
from tests.support.simulated import client_of

NOW = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
WEEK = last_days(NOW, 7)
MEMBER = "membermemb-0123456789012345678901"


def simulated(version: str = "v2.35.1+5e7d2c4", **options: int) -> SimulatedDeployment:
    made = stage(Size(4, 20), options=ApiOptions(version=version, **options))  # type: ignore[arg-type] # Only numbers.
    made.accounts.add(Account(token=MEMBER, user="member", roles=frozenset({"member"})))
    return made


async def test_every_list_arrives_whole() -> None:
    deployment = simulated()
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        templates = await client.templates()
        users = await client.users()
        workspaces = await client.workspaces()

    assert {one.id for one in templates} == {one.id for one in deployment.world.templates}
    assert {one.username for one in users} == {one.username for one in deployment.world.users}
    assert len(workspaces) == len(deployment.world.workspaces(NOW))


async def test_reports_agree_with_each_other() -> None:
    async with client_of(simulated(), clock=FakeClock(NOW)) as client:
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
    deployment = simulated()
    asked = weeks(NOW)
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        answer = await client.template_insights(
            asked.start, asked.end, interval="week", sections=("interval_reports",)
        )

    assert (len(answer.interval_reports), deployment.calls["/insights/templates"]) == (12, 1)


async def test_permissions_are_told_in_one_request() -> None:
    deployment = simulated()
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        as_auditor = await client.authcheck(PREFLIGHT)
    async with client_of(deployment, clock=FakeClock(NOW), token=OWNER_TOKEN) as client:
        as_owner = await client.authcheck(PREFLIGHT)

    assert [key for key, granted in as_auditor.items() if not granted] == ["debug"]
    assert all(as_owner.values())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.Status(status=500), ServerError),
        (faults.Status(status=502, html=True), ServerError),
        (faults.Drop(), Unreachable),
        (faults.Truncate(), BadResponse),
        (faults.ForeignJson(), BadResponse),
        (faults.LoginPage(), LoginPage),
        (faults.Redirect(), RedirectRefused),
    ],
    ids=lambda case: getattr(case, "__name__", type(case).__name__),
)
async def test_each_fault_has_its_error(fault: faults.Fault, expected: type[UpstreamError]) -> None:
    deployment = simulated()
    deployment.faults.on("/insights/templates", fault)
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        with pytest.raises(expected):
            await client.template_insights(WEEK.start, WEEK.end)


async def test_a_number_that_is_none_loses_nothing_else() -> None:
    deployment = simulated()
    deployment.faults.on("/insights/templates", faults.NotANumber())
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        answer = await client.template_insights(WEEK.start, WEEK.end)

    assert answer.report is not None
    assert answer.report.active_users is None
    assert sum(one.seconds or 0 for one in answer.report.apps_usage) > 0


async def test_three_missing_things_are_told_apart() -> None:
    """Each is 404 on the wire."""
    old, off = simulated("v2.12.0"), simulated()
    off.world.collecting = False
    async with client_of(old, clock=FakeClock(NOW)) as client:
        with pytest.raises(RouteMissing):
            await client.user_status_counts()
    async with client_of(off, clock=FakeClock(NOW)) as client:
        with pytest.raises(InsightsDisabled):
            await client.user_latency(WEEK.start, WEEK.end)
    async with client_of(simulated(), clock=FakeClock(NOW), token=MEMBER) as client:
        with pytest.raises(NotPermitted):
            await client.template_insights(WEEK.start, WEEK.end)


async def test_what_a_role_lacks_is_forbidden() -> None:
    async with client_of(simulated(), clock=FakeClock(NOW)) as client:
        with pytest.raises(Forbidden):
            await client.health()


async def test_lost_tokens_are_told_apart() -> None:
    deployment = simulated()
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        deployment.accounts.change("exporter", expires_at=NOW, sliding=False)
        with pytest.raises(TokenExpired):
            await client.me()
        deployment.accounts.change("exporter", expires_at=None, status="suspended")
        with pytest.raises(UserSuspended):
            await client.me()
        deployment.accounts.revoke("exporter")
        with pytest.raises(TokenInvalid):
            await client.me()


async def test_old_servers_give_what_they_have() -> None:
    async with client_of(simulated("v2.12.0"), clock=FakeClock(NOW)) as client:
        templates = await client.templates()
        answer = await client.template_insights(WEEK.start, WEEK.end)

    assert (len(templates), answer.report is not None) == (4, True)


async def test_an_unlicensed_server_has_no_seats_to_count() -> None:
    deployment = stage(Size(2, 5), options=ApiOptions(licensed=False))
    async with client_of(deployment, clock=FakeClock(NOW)) as client:
        with pytest.raises(RouteMissing):
            await client.entitlements()


async def test_the_rate_limit_is_named() -> None:
    async with client_of(simulated(rate_limit=1), clock=FakeClock(NOW)) as client:
        await client.me()
        with pytest.raises(RateLimited):
            async with client.within(5):
                await client.me()


async def test_the_token_of_the_demo_has_the_form_of_coders() -> None:
    key, _, secret = DEMO_TOKEN.partition("-")

    assert (len(key), len(secret)) == (10, 22)
