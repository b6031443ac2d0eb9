"""Requests of a report: few, within the rate limit, and what happens if some fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.coder.time_ranges import Window
from insights_exporter.errors import (
    ConfigError,
    ExpiredToken,
    InsightsDisabled,
    NotFoundOrForbidden,
    RequestTimeout,
)
from insights_exporter.insights.users import ActivityReport
from insights_exporter.report import PeriodRequest
from insights_exporter.report.fetcher import UsageFetcher
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.fault_injection import InvalidNumbers, Status
from insights_exporter.simulator.api.rate_limiter import RateLimiter
from insights_exporter.simulator.generated_world import Size
from tests.report.report_harness import NOW, create, create_everything_at, deployment_of, report_settings

DAY = 86_400
MEMBER_TOKEN = "memberuser-demotokendemotokendemo"
REQUESTS_PER_TEMPLATE = 2
"""Report and parameters."""

FIXED_REQUESTS = 25
MAX_GROUP_REQUESTS = 3
"""Latency, and activity in two periods; templates without a common user share a request."""

REQUESTS_PER_MINUTE = 3


async def test_requests_depend_on_used_templates_only() -> None:
    counts = []
    for templates in (6, 60):
        deployment = deployment_of(Size(templates=templates, users=14, active_templates=4))
        report = await create(deployment)
        counts.append(sum(deployment.request_counts.values()))

    assert counts[0] == counts[1]
    requests_per_template = REQUESTS_PER_TEMPLATE + MAX_GROUP_REQUESTS
    assert counts[0] <= FIXED_REQUESTS + requests_per_template * len(report.templates)
    assert len(report.unused_templates) == 56


async def test_templates_without_a_common_user_share_requests() -> None:
    deployment = deployment_of(Size(templates=20, users=20, active_templates=20))
    report = await create(deployment)
    used = len(report.templates)

    assert used > 8
    assert deployment.request_counts["/insights/user-latency"] <= 2 + used // 2
    assert deployment.request_counts["/insights/templates"] == 3 + used


async def test_requests_wait_for_the_rate_limit() -> None:
    unlimited = deployment_of(Size(templates=6, users=24))
    expected = await create(unlimited)
    deployment = deployment_of(Size(templates=6, users=24))
    # The clock of the deployment is replaced later.
    deployment.rate_limiter = RateLimiter(REQUESTS_PER_MINUTE, lambda: deployment.now())  # noqa: PLW0108
    settings = report_settings()
    settings = settings.model_copy(update={"coder": settings.coder.model_copy(update={"retries": 3})})
    report = await create(deployment, settings=settings)

    assert max(unlimited.request_counts.values()) > 2 * REQUESTS_PER_MINUTE
    assert deployment.now() >= NOW + timedelta(minutes=2)
    assert report == expected


async def test_disabled_statistics_fail_with_the_reason() -> None:
    deployment = deployment_of()
    deployment.world.usage_stats_enabled = False

    with pytest.raises(InsightsDisabled):
        await create(deployment)


async def test_token_that_expires_midway_fails_the_report() -> None:
    deployment = deployment_of()
    expired = Status(
        status=401,
        message="You are signed out or your session has expired. Please sign in again to continue.",
        detail='API key expired at "2026-11-02 06:05:00".',
    )
    deployment.faults.inject("/templateversions/{id}/rich-parameters", expired)

    with pytest.raises(ExpiredToken):
        await create(deployment)


async def test_permission_lost_midway_fails_the_report() -> None:
    deployment = deployment_of()
    lost = Status(
        status=404,
        message="Resource not found or you do not have access to this resource",
        detail="",
    )
    deployment.faults.inject("/insights/user-latency", lost)

    with pytest.raises(NotFoundOrForbidden, match="/insights/user-latency: HTTP 404"):
        await create(deployment)


async def test_account_without_permissions_fails_with_the_reason() -> None:
    deployment = deployment_of()
    deployment.accounts.add(Account(token=MEMBER_TOKEN, user="member", roles=frozenset({"member"})))

    with pytest.raises(NotFoundOrForbidden, match="/insights/user-activity: HTTP 404"):
        await create(deployment, settings=report_settings(token=MEMBER_TOKEN))


async def test_unreadable_parameters_are_a_note() -> None:
    deployment = deployment_of()
    deployment.faults.inject("/templateversions/{id}/rich-parameters", Status(status=425))
    report = await create(deployment)

    assert len(report.notes) == len(report.templates)
    assert all("parameters could not be read" in note for note in report.notes)
    assert report.parameters


async def test_slow_year_before_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_activity = UsageFetcher.fetch_activity

    async def fail_for_long_ranges(fetcher: UsageFetcher, window: Window) -> ActivityReport:
        if window.seconds > 60 * DAY:
            raise RequestTimeout("no response", endpoint="/insights/user-activity")
        return await fetch_activity(fetcher, window)

    monkeypatch.setattr(UsageFetcher, "fetch_activity", fail_for_long_ranges)
    deployment = deployment_of()
    create_everything_at(deployment, datetime(2025, 1, 1, tzinfo=UTC))
    report = await create(deployment)

    assert report.summary.new_users.value is None
    assert report.summary.lost_users is not None
    assert report.notes == (
        (
            "New users are unknown, as Coder did not return the year before: "
            "/insights/user-activity: no response"
        ),
    )


async def test_invalid_rows_are_a_note() -> None:
    deployment = deployment_of()
    deployment.faults.inject(
        "/insights/user-activity", InvalidNumbers(fields=frozenset({"seconds"}), every=7)
    )
    report = await create(deployment)

    assert report.summary.active_users.value
    assert any("rows of Coder's responses are invalid and left out" in note for note in report.notes)


async def test_failing_licence_is_a_note() -> None:
    deployment = deployment_of()
    deployment.faults.inject("/entitlements", Status(status=500))
    report = await create(deployment)

    assert report.summary.seats is None
    assert report.notes == ("Coder did not return all numbers of accounts and of the licence.",)


async def test_period_before_the_deployment_fails_before_requests_for_usage() -> None:
    deployment = deployment_of()

    with pytest.raises(ConfigError) as error:
        await create(deployment, PeriodRequest(month="2026-06"))

    assert str(error.value) == (
        "--month: expected a period that ends on 2026-07-06 or later, as Coder's oldest account or template "
        "is from that day, got June 2026"
    )
    assert not [path for path in deployment.request_counts if "insights" in path]


async def test_invalid_period_fails_before_the_first_request() -> None:
    deployment = deployment_of()

    with pytest.raises(ConfigError, match="--quarter: expected a quarter"):
        await create(deployment, PeriodRequest(quarter="3"))

    assert deployment.request_counts == {}
