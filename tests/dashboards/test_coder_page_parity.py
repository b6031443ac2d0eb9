"""Template Insights shows the same numbers as Coder's page for the same responses.

The tests repeat what the page does with a response: range, filters, order and shares.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import floor
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from tests.support.dashboards import Panel, all_panels
from tests.support.grafana import DashboardEmulator, Frame
from tests.support.grafana_transformations import apply_transformations
from tests.support.history import History

SLUG: Final = "template-insights"
PANELS: Final = {panel.title: panel for panel in all_panels(SLUG)}
TEMPLATES: Final = (("acme", "go-dev"), ("research", "go-dev"), ("platform", "frontend"))


@dataclass(frozen=True)
class InsightsResponses:
    """Responses to the page's requests for a template: the last seven days and the last twelve weeks."""

    report: Mapping[str, Any]
    days: list[Mapping[str, Any]]
    weeks: list[Mapping[str, Any]]
    user_activity: list[Mapping[str, Any]]
    user_latency: list[Mapping[str, Any]]


async def _fetch_responses(history: History, template: str) -> InsightsResponses:
    midnight = datetime.combine(history.end.date(), time(), UTC)
    hour = history.end.replace(minute=0) + timedelta(hours=1)
    week = {"start_time": midnight - timedelta(days=6), "end_time": hour}
    twelve_weeks = {"start_time": midnight - timedelta(days=85), "end_time": midnight - timedelta(days=1)}
    headers = {"Coder-Session-Token": DEMO_TOKEN}
    async with serve(history.deployment) as url, aiohttp.ClientSession(headers=headers) as session:

        async def get(route: str, span: Mapping[str, datetime], **more: str) -> Any:
            times = {name: moment.isoformat() for name, moment in span.items()}
            query = {**times, "template_ids": template, **more}
            async with session.get(f"{url}/api/v2/insights/{route}", params=query) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        daily, weekly = (
            await get("templates", week, interval="day"),
            await get("templates", twelve_weeks, interval="week"),
        )
        activity, latency = await get("user-activity", week), await get("user-latency", week)
    return InsightsResponses(
        daily["report"],
        daily["interval_reports"],
        weekly["interval_reports"],
        activity["report"]["users"],
        latency["report"]["users"],
    )


@pytest.fixture(scope="module", params=TEMPLATES, ids="/".join)
def responses_and_viewer(
    request: pytest.FixtureRequest, history: History
) -> tuple[InsightsResponses, DashboardEmulator]:
    """Return the responses for a template and an emulator of the dashboard at the same time."""
    organization, name = request.param
    (template,) = [
        candidate
        for candidate in history.deployment.world.templates
        if (candidate.organization.name, candidate.name) == (organization, name)
    ]
    selection = {"organization": organization, "template": name, "window": "7d"}
    responses = asyncio.run(_fetch_responses(history, template.id))
    return responses, DashboardEmulator(history.prometheus, SLUG, history.end, dict(selection))


def panel_table(viewer: DashboardEmulator, title: str) -> Frame:
    """Return the table or the bars of a panel in its order."""
    panel: Panel = PANELS[title]
    (frame,) = apply_transformations(panel, viewer.frames(panel))
    for sort in panel.json["options"].get("sortBy", ()):
        order = sorted(
            range(len(frame["User"] if "User" in frame else next(iter(frame.values())))),
            key=lambda row: _sort_key(frame[sort["displayName"]][row]),
            reverse=sort["desc"],
        )
        frame = {name: [values[row] for row in order] for name, values in frame.items()}
    return frame


def _sort_key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def stat_value(viewer: DashboardEmulator, title: str, name: str) -> float:
    """Return a number of a stat panel."""
    frames = viewer.frames(PANELS[title])
    (value,) = (frame[name][-1] for frame in frames if name in frame)
    return float(value)


def test_users_are_those_of_the_report(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    responses, viewer = responses_and_viewer

    assert stat_value(viewer, "Usage of the template", "Users") == responses.report["active_users"]


def test_hours_are_those_of_all_users(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    responses, viewer = responses_and_viewer

    total_seconds = sum(user["seconds"] for user in responses.user_activity)

    assert stat_value(viewer, "Usage of the template", "Hours") == pytest.approx(total_seconds / 3600)


@pytest.mark.parametrize(
    ("title", "rows"), [("Daily active users", "days"), ("Weekly active users", "weeks")]
)
def test_active_users_are_at_the_start_of_their_interval(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator], title: str, rows: str
) -> None:
    responses, viewer = responses_and_viewer
    frame = panel_table(viewer, title)
    expected = [
        (datetime.fromisoformat(interval["start_time"]), interval["active_users"])
        for interval in getattr(responses, rows)
    ]
    start_times = [datetime.fromtimestamp(interval / 1000, UTC) for interval in frame["Start"]]

    assert list(zip(start_times, frame["Active users"], strict=True)) == expected


def test_latency_by_user_is_sorted_by_median_with_unmeasured_users_last(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    """Latency of a week is refreshed hourly, so today's last half hours may still be missing from it."""
    responses, viewer = responses_and_viewer
    frame = panel_table(viewer, "Latency by user")
    latency = {user["username"]: user["latency_ms"] for user in responses.user_latency}
    measured = {name for name, percentiles in latency.items() if percentiles["p50"] > 0}
    users, count = frame["User"], len(measured)

    assert measured
    assert set(users[:count]) == measured
    assert frame["p50"][:count] == sorted(frame["p50"][:count], reverse=True)
    for column in ("p50", "p95"):
        expected = [latency[user][column] for user in users[:count]]
        assert frame[column][:count] == pytest.approx(expected, rel=0.02)
    assert set(users[count:]) == latency.keys() - measured
    assert frame["p50"][count:] == [None] * (len(latency) - count)


def test_used_apps_have_their_share_of_the_total(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    responses, viewer = responses_and_viewer
    frame = panel_table(viewer, "App & IDE Usage")
    used_apps = [item for item in responses.report["apps_usage"] if item["seconds"] > 0]
    total_seconds = sum(item["seconds"] for item in used_apps)
    expected = [
        (pytest.approx(-seconds / 3600), name, floor(100 * seconds / total_seconds), times or None)
        for seconds, name, times in sorted(
            ((item["seconds"], item["display_name"], item["times_used"]) for item in used_apps),
            key=lambda app: (-app[0], app[1]),
        )
    ]
    rows = zip([-item for item in frame["Hours"]], frame["App"], frame["Share"], frame["Opened"], strict=True)

    assert sorted(rows, key=lambda item: item[:2]) == expected
    assert frame["Hours"] == sorted(frame["Hours"], reverse=True)


def test_app_icons_are_urls_of_coder(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    """Coder serves a path, which would lead to Grafana."""
    responses, viewer = responses_and_viewer
    frame = panel_table(viewer, "App & IDE Usage")
    expected = {app["display_name"]: app["icon"] for app in responses.report["apps_usage"]}
    icons = [urlsplit(icon or "") for icon in frame["Icon"]]

    assert [icon.path for icon in icons] == [expected[name] for name in frame["App"]]
    assert all(icon.netloc for icon in icons if icon.path)
    assert any(icon.netloc for icon in icons)


def test_activity_is_sorted_by_time_and_has_avatars(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    responses, viewer = responses_and_viewer
    frame = panel_table(viewer, "Activity by user")
    expected = [
        (pytest.approx(seconds / 3600), username, path)
        for seconds, username, path in sorted(
            (item["seconds"], item["username"], urlsplit(item["avatar_url"]).path)
            for item in responses.user_activity
        )
    ]
    avatars = [urlsplit(avatar or "") for avatar in frame["Avatar"]]
    rows = zip(frame["Hours"], frame["User"], [avatar.path for avatar in avatars], strict=True)

    assert sorted(rows) == expected
    # A path without a host would lead to Grafana.
    assert all(avatar.netloc for avatar in avatars if avatar.path)
    assert frame["Hours"] == sorted(frame["Hours"], reverse=True)


def test_parameters_list_option_names_by_descending_count(
    responses_and_viewer: tuple[InsightsResponses, DashboardEmulator],
) -> None:
    """Values outside the options are omitted, as on the page; options without a workspace are 0."""
    responses, viewer = responses_and_viewer
    panel = PANELS["${parameter:text}"]
    compared_count = 0
    for name, expected in _expected_option_counts(responses).items():
        selection = {**viewer.variable_values, "parameter": (name,)}
        block = DashboardEmulator(viewer.prometheus, SLUG, viewer.now, selection)
        rows = [
            (legend, values[-1])
            for frame in block.frames(panel)
            for legend, values in frame.items()
            if legend != "Time"
        ]
        nonzero = {value: count for value, count in expected.items() if count}
        compared_count += 1

        assert {value: count for value, count in rows if count} == nonzero
        assert {value for value, count in rows if not count} == set(expected) - set(nonzero)
        assert [count for _, count in rows] == sorted((count for _, count in rows), reverse=True)
    assert compared_count >= 2


def _expected_option_counts(responses: InsightsResponses) -> dict[str, dict[str, int]]:
    """Return the counts of each parameter by option name, over all template versions."""
    counts_by_parameter: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for parameter in responses.report["parameters_usage"]:
        if parameter.get("options") and parameter["type"] != "list(string)":
            counts = {value["value"]: value["count"] for value in parameter["values"]}
            for option in parameter["options"]:
                counts_by_parameter[parameter["name"]][option["name"]] += counts.get(option["value"], 0)
    return counts_by_parameter
