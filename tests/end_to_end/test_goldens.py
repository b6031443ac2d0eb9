"""The exporter, polling the recorded deployment, serves exactly the recorded numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from insights_exporter.settings import InsightsSettings, PrivacySettings, Settings
from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.scenario import load_scenario
from insights_exporter.simulator.stage import DEMO_TOKEN
from tests.support.clock import FakeClock
from tests.support.exporting import CODER, Series, exporting

GOLDENS = Path(__file__).parents[1] / "goldens"
WHOLE = "multiple_users_and_workspaces_week_deployment_wide.json.golden"
FIRST = "multiple_users_and_workspaces_week_first_template.json.golden"
SECOND = "multiple_users_and_workspaces_week_second_template.json.golden"
WEEKS_OF_SECOND = "multiple_users_and_workspaces_three_weeks_second_template.json.golden"
WEEKS_OF_ALL = "multiple_users_and_workspaces_weekly_aggregated_deployment_wide.json.golden"
CHOSEN = "parameters_yesterday_and_today_deployment_wide.json.golden"

NEVER = datetime(2023, 9, 1, tzinfo=UTC)
"""After all that is recorded but parameters."""

LAST_HOUR = datetime(2023, 8, 21, 23, 40, tzinfo=UTC)
"""The 7d window of this day is the recorded week."""

Page = Mapping[Series, float]


def golden(name: str, kind: str = "template") -> Any:
    return msgspec.json.decode((GOLDENS / kind / name).read_bytes())


async def served(
    now: datetime, *, built_at: datetime = datetime(2023, 9, 1, tzinfo=UTC), weeks: int = 4
) -> Page:
    """Return the page of an exporter that polled at that moment."""
    world = load_scenario(GOLDENS / "scenario.json", built_at=built_at)
    deployment = SimulatedDeployment(
        world, Accounts([Account(token=DEMO_TOKEN)]), lambda: now, ApiOptions(rate_limit=0)
    )
    settings = Settings(
        coder=CODER,
        insights=InsightsSettings(windows=("today", "yesterday", "2d", "7d"), weeks=weeks),
        privacy=PrivacySettings(parameter_free_text=True),
    )
    async with exporting(deployment, FakeClock(now), settings) as exporter:
        return await exporter.poll()


def rows(page: Page, name: str, *labels: str, **wanted: str) -> dict[tuple[str, ...], float]:
    """Return the values of a family by some labels, of the series that have the wanted others."""
    return {
        tuple(dict(found)[label] for label in labels): value
        for (one, found), value in page.items()
        if one == name and set(wanted.items()) <= found
    }


def spent(report: Any) -> dict[tuple[str, ...], float]:
    return {(one["slug"], one["type"]): one["seconds"] for one in report["apps_usage"]}


def opened(report: Any) -> dict[tuple[str, ...], float]:
    return {(one["slug"],): one["times_used"] for one in report["apps_usage"] if one["type"] == "app"}


@pytest.fixture(scope="module")
def week() -> Page:
    """Poll in the last hour of the recorded week."""
    return asyncio.run(served(LAST_HOUR))


@pytest.mark.parametrize(("template", "name"), [("template1", FIRST), ("template2", SECOND)])
def test_apps_opens_and_users_of_a_template(week: Page, template: str, name: str) -> None:
    recorded = golden(name)
    report = recorded["report"]
    of = {"template_name": template, "organization_name": "coder"}
    days = [one["active_users"] for one in reversed(recorded["interval_reports"])]
    found = rows(
        week, "coder_insights_template_app_usage_window_seconds", "app", "app_type", window="7d", **of
    )
    opens = rows(week, "coder_insights_template_app_opens", "app", window="7d", **of)

    assert spent(report) == {key: value for key, value in found.items() if value or key in spent(report)}
    assert opened(report) == {key: value for key, value in opens.items() if value}
    assert rows(week, "coder_insights_template_unique_users", "window", **of)["7d",] == report["active_users"]
    assert rows(week, "coder_insights_template_active_users", "ago", interval="day", **of) == {
        (str(ago),): users for ago, users in enumerate(days)
    }


def test_apps_and_users_of_the_deployment(week: Page) -> None:
    recorded = golden(WHOLE)
    report = recorded["report"]
    days = [one["active_users"] for one in reversed(recorded["interval_reports"])]
    found = rows(week, "coder_insights_deployment_app_usage_window_seconds", "app", "app_type", window="7d")

    assert {key: value for key, value in found.items() if value or key in spent(report)} == spent(report)
    assert rows(week, "coder_insights_deployment_unique_users", "window")["7d",] == report["active_users"]
    assert rows(week, "coder_insights_deployment_active_users", "ago", interval="day") == {
        (str(ago),): users for ago, users in enumerate(days)
    }


def test_time_of_users(week: Page) -> None:
    """The deployment's is capped; a template's adds up to the time of all its users."""
    everywhere = golden(WHOLE, "user-activity")["report"]["users"]
    first = golden(FIRST, "user-activity")["report"]["users"]
    of = {"template_name": "template1", "window": "7d"}

    assert rows(week, "coder_insights_deployment_user_activity_window_seconds", "username", window="7d") == {
        (one["username"],): one["seconds"] for one in everywhere
    }
    assert rows(week, "coder_insights_user_activity_window_seconds", "username", **of) == {
        (one["username"],): one["seconds"] for one in first
    }
    assert rows(week, "coder_insights_template_usage_window_seconds", **of) == {
        (): sum(one["seconds"] for one in first)
    }


def test_nobodys_latency_was_recorded(week: Page) -> None:
    users = len(golden(FIRST, "user-activity")["report"]["users"])

    assert rows(week, "coder_insights_user_latency_p50_seconds") == {}
    assert rows(
        week, "coder_insights_template_users_without_latency", template_name="template1", window="7d"
    ) == {(): users}


def test_counters_since_the_quarter_began(week: Page) -> None:
    """All of the second template's use lies in the recorded three weeks, and all in the quarter."""
    of = {"template_name": "template2"}
    recorded = golden(WEEKS_OF_SECOND)["report"]
    found = rows(week, "coder_insights_template_app_usage_seconds_total", "app", "app_type", **of)
    users = golden(WEEKS_OF_SECOND, "user-activity")["report"]["users"]

    assert {key: value for key, value in found.items() if value} == {
        key: value for key, value in spent(recorded).items() if value
    }
    assert rows(week, "coder_insights_user_activity_seconds_total", "username", **of) == {
        (one["username"],): one["seconds"] for one in users
    }


@pytest.mark.parametrize(
    ("name", "family", "of"),
    [
        (WEEKS_OF_SECOND, "coder_insights_template_active_users", {"template_name": "template2"}),
        (WEEKS_OF_ALL, "coder_insights_deployment_active_users", {}),
    ],
)
async def test_weeks(name: str, family: str, of: dict[str, str]) -> None:
    """Weeks end before yesterday, so the recorded ones are those of the day after their end."""
    intervals = golden(name)["interval_reports"]
    end = datetime.fromisoformat(intervals[-1]["end_time"])
    page = await served(end + timedelta(days=1, hours=12), weeks=len(intervals))

    assert rows(page, family, "ago", interval="week", **of) == {
        (str(ago),): one["active_users"] for ago, one in enumerate(reversed(intervals))
    }


async def test_parameters() -> None:
    """Every value of every workspace, and declared options that nobody chose as 0."""
    now = datetime(2023, 9, 1, 12, tzinfo=UTC)
    page = await served(now, built_at=datetime(2023, 9, 1, 9, tzinfo=UTC))
    expected: dict[tuple[str, ...], float] = {}
    for row in golden(CHOSEN)["report"]["parameters_usage"]:
        for value in row["values"]:
            expected[row["name"], row["type"], value["value"]] = value["count"]
    found: dict[tuple[str, ...], float] = {}
    for key, value in rows(
        page,
        "coder_insights_template_parameter_workspaces",
        "parameter_name",
        "parameter_type",
        "parameter_value",
        "template_name",
        window="2d",
    ).items():
        found[key[:3]] = found.get(key[:3], 0) + value

    assert {key: value for key, value in found.items() if value or key in expected} == expected
