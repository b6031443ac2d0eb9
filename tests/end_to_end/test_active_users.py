"""Counts of active users per template, from the deployment-wide user activity, equal Coder's own."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.config.settings import (
    FilterSettings,
    InsightsSettings,
    NameFilter,
    PrivacySettings,
    Settings,
    UsernameMode,
)
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, SeriesKey, in_process_exporter

NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)
TODAY = NOW.replace(hour=0, minute=0)
DAY = timedelta(days=1)
FAMILY = "coder_insights_template_active_users"
UNIQUE_USERS = "coder_insights_template_unique_users"

Counts = dict[tuple[str, str, str], float]
"""Users by template, interval or window, and how long ago."""


def simulated_deployment() -> SimulatedDeployment:
    """Return a deployment in which users have several templates, and one in ten accounts was deleted."""
    deployment = demo_deployment(Size(8, 40), options=ApiOptions(rate_limit=0))
    for user in deployment.world.users[::10]:
        object.__setattr__(user, "deleted", True)
    return deployment


async def exported_counts(deployment: SimulatedDeployment, settings: Settings) -> Counts:
    """Return the counts of an exporter's first poll."""
    async with in_process_exporter(deployment, FakeClock(NOW), settings) as exporter:
        samples = await exporter.poll()
    return {key: value for series, value in samples.items() if (key := count_key(series)) is not None}


def count_key(series: SeriesKey) -> tuple[str, str, str] | None:
    name, labels = series[0], dict(series[1])
    if name == FAMILY:
        return labels["template_name"], labels["interval"], labels["ago"]
    return (labels["template_name"], labels["window"], "") if name == UNIQUE_USERS else None


def expected_counts(deployment: SimulatedDeployment, organizations: Collection[str] = ()) -> Counts:
    """Return the counts that Coder's report gives for each template and range."""
    counts: Counts = {}
    ranges = {("day", str(ago)): (TODAY - ago * DAY, TODAY + (1 - ago) * DAY) for ago in range(7)}
    weeks_end = TODAY - DAY
    ranges |= {
        ("week", str(ago)): (weeks_end - 7 * (ago + 1) * DAY, weeks_end - 7 * ago * DAY) for ago in range(12)
    }
    ranges |= {("7d", ""): (TODAY - 6 * DAY, TODAY + DAY), ("30d", ""): (TODAY - 29 * DAY, TODAY + DAY)}
    for template in deployment.world.templates:
        if organizations and template.organization.name not in organizations:
            continue
        for (interval, ago), (start, end) in ranges.items():
            next_hour = NOW.replace(minute=0) + timedelta(hours=1)
            users, _ = deployment.world.active_users(
                start, min(end, next_hour), now=NOW, templates=frozenset({template.id})
            )
            counts[template.name, interval, ago] = users
    return counts


SETTINGS = {
    "named": Settings(coder=CODER_SETTINGS),
    "users off": Settings(coder=CODER_SETTINGS, privacy=PrivacySettings(users=UsernameMode.OFF)),
    "users filtered": Settings(
        coder=CODER_SETTINGS, filters=FilterSettings(users=NameFilter(deny=("a*", "m*")))
    ),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_active_users_equal_reports(settings: Settings) -> None:
    """Also with deleted users, filtered users and without usernames, none of which changes a count."""
    deployment = simulated_deployment()
    expected = expected_counts(deployment)
    counts = await exported_counts(deployment, settings)

    assert sum(expected.values()) > 0
    assert {key: counts[key] for key in expected} == expected


async def test_active_users_of_an_organization_account_equal_reports() -> None:
    """The account has no deployment-wide insights; each template is counted by its own activity."""
    deployment = simulated_deployment()
    deployment.accounts.update(
        "exporter",
        roles=frozenset({"member"}),
        organization_roles={"acme": frozenset({"organization-admin"})},
    )
    expected = expected_counts(deployment, {"acme"})
    counts = await exported_counts(deployment, SETTINGS["named"])

    assert sum(expected.values()) > 0
    assert {key: counts[key] for key in expected} == expected


async def test_active_users_cost_no_request_per_template() -> None:
    """Days and weeks are requested for the deployment alone, and each settled range once."""
    deployment = simulated_deployment()
    clock = FakeClock(NOW)
    settings = Settings(coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today",), days=7, weeks=12))
    async with in_process_exporter(deployment, clock, settings) as exporter:
        await exporter.poll()
        first = deployment.request_counts["/insights/user-activity"]
        clock.advance(300)
        await exporter.poll()
        second = deployment.request_counts["/insights/user-activity"] - first

    templates = len(deployment.world.templates)
    # 7 days, 12 weeks and all days since the anchor. Templates only need today and the days since the anchor.
    assert 7 + 12 + 1 <= first <= 7 + 12 + 1 + 2 * templates
    assert 1 <= second <= 1 + templates
