"""Polling the recorded deployment exports exactly the recorded values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.config.settings import InsightsSettings, PrivacySettings, Settings
from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.simulator.scenario import load_scenario
from tests.support.clock import FakeClock
from tests.support.goldens import GOLDENS, golden
from tests.support.in_process_exporter import CODER_SETTINGS, SeriesKey, in_process_exporter

DEPLOYMENT_WEEK = "multiple_users_and_workspaces_week_deployment_wide.json.golden"
FIRST_TEMPLATE_WEEK = "multiple_users_and_workspaces_week_first_template.json.golden"
SECOND_TEMPLATE_WEEK = "multiple_users_and_workspaces_week_second_template.json.golden"
SECOND_TEMPLATE_THREE_WEEKS = "multiple_users_and_workspaces_three_weeks_second_template.json.golden"
DEPLOYMENT_WEEKLY = "multiple_users_and_workspaces_weekly_aggregated_deployment_wide.json.golden"
PARAMETERS = "parameters_yesterday_and_today_deployment_wide.json.golden"

AFTER_RECORDING = datetime(2023, 9, 1, tzinfo=UTC)
"""After the recorded usage; builds happen on this day."""

LAST_HOUR = datetime(2023, 8, 21, 23, 40, tzinfo=UTC)
"""The 7d window of this day is the recorded week."""

SampleValues = Mapping[SeriesKey, float]


async def polled_samples(
    now: datetime, *, built_at: datetime = datetime(2023, 9, 1, tzinfo=UTC), weeks: int = 4
) -> SampleValues:
    """Return the samples of an exporter that polled at that time."""
    world = load_scenario(GOLDENS / "scenario.json", built_at=built_at)
    deployment = SimulatedDeployment(
        world, Accounts([Account(token=DEMO_TOKEN)]), lambda: now, ApiOptions(rate_limit=0)
    )
    settings = Settings(
        coder=CODER_SETTINGS,
        insights=InsightsSettings(windows=("today", "yesterday", "2d", "7d"), weeks=weeks),
        privacy=PrivacySettings(parameter_free_text=True),
    )
    async with in_process_exporter(deployment, FakeClock(now), settings) as exporter:
        return await exporter.poll()


def select_samples(
    samples: SampleValues, name: str, *labels: str, **matchers: str
) -> dict[tuple[str, ...], float]:
    """Return the values of a family by the given labels, for series that match ``matchers``."""
    return {
        tuple(dict(labels_)[label_name] for label_name in labels): value
        for (sample_name, labels_), value in samples.items()
        if sample_name == name and set(matchers.items()) <= labels_
    }


def app_seconds(report: Any) -> dict[tuple[str, ...], float]:
    return {(row["slug"], row["type"]): row["seconds"] for row in report["apps_usage"]}


def app_opens(report: Any) -> dict[tuple[str, ...], float]:
    return {(row["slug"],): row["times_used"] for row in report["apps_usage"] if row["type"] == "app"}


@pytest.fixture(scope="module")
def week() -> SampleValues:
    """Poll in the last hour of the recorded week."""
    return asyncio.run(polled_samples(LAST_HOUR))


@pytest.mark.parametrize(
    ("template", "name"), [("template1", FIRST_TEMPLATE_WEEK), ("template2", SECOND_TEMPLATE_WEEK)]
)
def test_template_apps_opens_and_users(week: SampleValues, template: str, name: str) -> None:
    recorded = golden("template/" + name)
    report = recorded["report"]
    matchers = {"template_name": template, "organization_name": "coder"}
    days = [interval["active_users"] for interval in reversed(recorded["interval_reports"])]
    seconds = select_samples(
        week, "coder_insights_template_app_usage_window_seconds", "app", "app_type", window="7d", **matchers
    )
    opens = select_samples(week, "coder_insights_template_app_opens", "app", window="7d", **matchers)

    assert app_seconds(report) == {
        key: value for key, value in seconds.items() if value or key in app_seconds(report)
    }
    assert app_opens(report) == {key: value for key, value in opens.items() if value}
    assert (
        select_samples(week, "coder_insights_template_unique_users", "window", **matchers)["7d",]
        == report["active_users"]
    )
    assert select_samples(
        week, "coder_insights_template_active_users", "ago", interval="day", **matchers
    ) == {(str(days_ago),): users for days_ago, users in enumerate(days)}


def test_deployment_apps_and_users(week: SampleValues) -> None:
    recorded = golden("template/" + DEPLOYMENT_WEEK)
    report = recorded["report"]
    days = [interval["active_users"] for interval in reversed(recorded["interval_reports"])]
    seconds = select_samples(
        week, "coder_insights_deployment_app_usage_window_seconds", "app", "app_type", window="7d"
    )

    assert {
        key: value for key, value in seconds.items() if value or key in app_seconds(report)
    } == app_seconds(report)
    assert (
        select_samples(week, "coder_insights_deployment_unique_users", "window")["7d",]
        == report["active_users"]
    )
    assert select_samples(week, "coder_insights_deployment_active_users", "ago", interval="day") == {
        (str(days_ago),): users for days_ago, users in enumerate(days)
    }


def test_user_activity(week: SampleValues) -> None:
    """The deployment's activity counts concurrent templates once; a template's adds up over its users."""
    deployment_users = golden("user-activity/" + DEPLOYMENT_WEEK)["report"]["users"]
    template_users = golden("user-activity/" + FIRST_TEMPLATE_WEEK)["report"]["users"]
    matchers = {"template_name": "template1", "window": "7d"}

    assert select_samples(
        week, "coder_insights_deployment_user_activity_window_seconds", "username", window="7d"
    ) == {(row["username"],): row["seconds"] for row in deployment_users}
    assert select_samples(week, "coder_insights_user_activity_window_seconds", "username", **matchers) == {
        (row["username"],): row["seconds"] for row in template_users
    }
    assert select_samples(week, "coder_insights_template_usage_window_seconds", **matchers) == {
        (): sum(row["seconds"] for row in template_users)
    }


def test_latency_is_absent_when_not_recorded(week: SampleValues) -> None:
    users = len(golden("user-activity/" + FIRST_TEMPLATE_WEEK)["report"]["users"])

    assert select_samples(week, "coder_insights_user_latency_p50_seconds") == {}
    assert select_samples(
        week, "coder_insights_template_users_without_latency", template_name="template1", window="7d"
    ) == {(): users}


def test_counters_since_quarter_start(week: SampleValues) -> None:
    """All usage of the second template lies in the recorded three weeks, and these in the quarter."""
    matchers = {"template_name": "template2"}
    recorded = golden("template/" + SECOND_TEMPLATE_THREE_WEEKS)["report"]
    seconds = select_samples(
        week, "coder_insights_template_app_usage_seconds_total", "app", "app_type", **matchers
    )
    users = golden("user-activity/" + SECOND_TEMPLATE_THREE_WEEKS)["report"]["users"]

    assert {key: value for key, value in seconds.items() if value} == {
        key: value for key, value in app_seconds(recorded).items() if value
    }
    assert select_samples(week, "coder_insights_user_activity_seconds_total", "username", **matchers) == {
        (row["username"],): row["seconds"] for row in users
    }


@pytest.mark.parametrize(
    ("name", "family", "of"),
    [
        (SECOND_TEMPLATE_THREE_WEEKS, "coder_insights_template_active_users", {"template_name": "template2"}),
        (DEPLOYMENT_WEEKLY, "coder_insights_deployment_active_users", {}),
    ],
)
async def test_weekly_active_users(name: str, family: str, of: dict[str, str]) -> None:
    """Weeks end before yesterday, so the recorded ones are exported on the day after their end."""
    intervals = golden("template/" + name)["interval_reports"]
    end = datetime.fromisoformat(intervals[-1]["end_time"])
    samples = await polled_samples(end + timedelta(days=1, hours=12), weeks=len(intervals))

    assert select_samples(samples, family, "ago", interval="week", **of) == {
        (str(weeks_ago),): interval["active_users"] for weeks_ago, interval in enumerate(reversed(intervals))
    }


async def test_parameters() -> None:
    """Every value of every workspace, and declared options without workspaces as 0."""
    now = datetime(2023, 9, 1, 12, tzinfo=UTC)
    samples = await polled_samples(now, built_at=datetime(2023, 9, 1, 9, tzinfo=UTC))
    expected: dict[tuple[str, ...], float] = {}
    for row in golden("template/" + PARAMETERS)["report"]["parameters_usage"]:
        for value in row["values"]:
            expected[row["name"], row["type"], value["value"]] = value["count"]
    counts: dict[tuple[str, ...], float] = {}
    for key, value in select_samples(
        samples,
        "coder_insights_template_parameter_workspaces",
        "parameter_name",
        "parameter_type",
        "parameter_value",
        "template_name",
        window="2d",
    ).items():
        counts[key[:3]] = counts.get(key[:3], 0) + value

    assert {key: value for key, value in counts.items() if value or key in expected} == expected
