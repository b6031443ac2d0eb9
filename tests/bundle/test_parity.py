"""Template Insights shows the numbers that Coder's own page would show of the same answers.

What the page does with an answer is written here anew: which range it asks for, what it leaves out, how it
sorts, and what it divides by what.
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

from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.stage import DEMO_TOKEN
from tests.support.boards import Panel, every_panel
from tests.support.grafana import Frame, Viewer
from tests.support.history import History
from tests.support.transformations import transformed

SLUG: Final = "template-insights"
PANELS: Final = {panel.title: panel for panel in every_panel(SLUG)}
TEMPLATES: Final = (("acme", "go-dev"), ("research", "go-dev"), ("platform", "frontend"))


@dataclass(frozen=True)
class Page:
    """Coder's answers to what its page asks for a template: its last seven days and its last twelve weeks."""

    report: Mapping[str, Any]
    days: list[Mapping[str, Any]]
    weeks: list[Mapping[str, Any]]
    activity: list[Mapping[str, Any]]
    latency: list[Mapping[str, Any]]


async def _ask(history: History, template: str) -> Page:
    midnight = datetime.combine(history.end.date(), time(), UTC)
    hour = history.end.replace(minute=0) + timedelta(hours=1)
    week = {"start_time": midnight - timedelta(days=6), "end_time": hour}
    weeks = {"start_time": midnight - timedelta(days=85), "end_time": midnight - timedelta(days=1)}
    headers = {"Coder-Session-Token": DEMO_TOKEN}
    async with serve(history.deployment) as url, aiohttp.ClientSession(headers=headers) as session:

        async def get(route: str, span: Mapping[str, datetime], **more: str) -> Any:
            times = {name: moment.isoformat() for name, moment in span.items()}
            query = {**times, "template_ids": template, **more}
            async with session.get(f"{url}/api/v2/insights/{route}", params=query) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        whole, long = (
            await get("templates", week, interval="day"),
            await get("templates", weeks, interval="week"),
        )
        activity, latency = await get("user-activity", week), await get("user-latency", week)
    return Page(
        whole["report"],
        whole["interval_reports"],
        long["interval_reports"],
        activity["report"]["users"],
        latency["report"]["users"],
    )


@pytest.fixture(scope="module", params=TEMPLATES, ids="/".join)
def shown(request: pytest.FixtureRequest, history: History) -> tuple[Page, Viewer]:
    """Coder's page and the dashboard, of one template at one moment."""
    organization, name = request.param
    (template,) = [
        one
        for one in history.deployment.world.templates
        if (one.organization.name, one.name) == (organization, name)
    ]
    chosen = {"organization": organization, "template": name, "window": "7d"}
    page = asyncio.run(_ask(history, template.id))
    return page, Viewer(history.prometheus, SLUG, history.end, dict(chosen))


def table(viewer: Viewer, title: str) -> Frame:
    """Return what a panel shows, sorted as it says."""
    panel: Panel = PANELS[title]
    (frame,) = transformed(panel, viewer.frames(panel))
    for one in panel.json["options"].get("sortBy", ()):
        order = sorted(
            range(len(frame["User"] if "User" in frame else next(iter(frame.values())))),
            key=lambda row: _key(frame[one["displayName"]][row]),
            reverse=one["desc"],
        )
        frame = {name: [values[row] for row in order] for name, values in frame.items()}
    return frame


def _key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def number(viewer: Viewer, title: str) -> float:
    """Return what a panel with one number shows."""
    panel = PANELS[title]
    ((_, points),) = viewer.ask(panel, panel.targets[0])
    return points[-1][1]


def test_users_are_those_of_the_report(shown: tuple[Page, Viewer]) -> None:
    page, viewer = shown

    assert number(viewer, "Users") == page.report["active_users"]


def test_time_in_use_is_that_of_all_users(shown: tuple[Page, Viewer]) -> None:
    page, viewer = shown

    assert number(viewer, "Time in use") == sum(one["seconds"] for one in page.activity)


@pytest.mark.parametrize(
    ("title", "rows"), [("Daily active users", "days"), ("Weekly active users", "weeks")]
)
def test_active_users_stand_at_the_beginning_of_their_days_and_weeks(
    shown: tuple[Page, Viewer], title: str, rows: str
) -> None:
    page, viewer = shown
    frame = table(viewer, title)
    expected = [
        (datetime.fromisoformat(one["start_time"]), one["active_users"]) for one in getattr(page, rows)
    ]
    begun = [datetime.fromtimestamp(one / 1000, UTC) for one in frame["Start"]]

    assert list(zip(begun, frame["Active users"], strict=True)) == expected
    assert set(frame["Licensed seats"]) == {20.0}


def test_latency_by_user_is_sorted_by_median_and_says_where_there_is_none(shown: tuple[Page, Viewer]) -> None:
    page, viewer = shown
    frame = table(viewer, "Latency by user")
    measured = sorted(
        (one for one in page.latency if one["latency_ms"]["p50"] > 0),
        key=lambda one: one["latency_ms"]["p50"],
        reverse=True,
    )
    without = {one["username"] for one in page.latency if one["latency_ms"]["p50"] <= 0}

    assert frame["User"][: len(measured)] == [one["username"] for one in measured]
    assert frame["p50 (ms)"][: len(measured)] == pytest.approx([one["latency_ms"]["p50"] for one in measured])
    assert frame["p95 (ms)"][: len(measured)] == pytest.approx([one["latency_ms"]["p95"] for one in measured])
    assert set(frame["User"][len(measured) :]) == without
    assert set(frame["p50 (ms)"][len(measured) :]) <= {None}


def test_apps_are_those_in_use_with_their_share_of_what_is_shown(shown: tuple[Page, Viewer]) -> None:
    page, viewer = shown
    frame = table(viewer, "App & IDE Usage")
    used = [one for one in page.report["apps_usage"] if one["seconds"] > 0]
    whole = sum(one["seconds"] for one in used)
    expected = sorted(
        (
            -one["seconds"],
            one["display_name"],
            floor(100 * one["seconds"] / whole),
            one["times_used"] or None,
        )
        for one in used
    )
    found = zip([-one for one in frame["Time"]], frame["App"], frame["Share"], frame["Opened"], strict=True)

    assert sorted(found, key=lambda one: one[:2]) == expected
    assert frame["Time"] == sorted(frame["Time"], reverse=True)


def test_activity_is_sorted_by_time_and_has_faces(shown: tuple[Page, Viewer]) -> None:
    page, viewer = shown
    frame = table(viewer, "Activity by user")
    expected = sorted(
        (-one["seconds"], one["username"], urlsplit(one["avatar_url"]).path) for one in page.activity
    )
    faces = [urlsplit(face or "") for face in frame["Avatar"]]
    found = zip([-one for one in frame["Time"]], frame["User"], [face.path for face in faces], strict=True)

    assert sorted(found) == expected
    # On Grafana's page a path alone would lead to Grafana.
    assert all(face.netloc for face in faces if face.path)
    assert frame["Time"] == sorted(frame["Time"], reverse=True)


def test_parameters_show_options_by_name_most_chosen_first_and_nothing_else(
    shown: tuple[Page, Viewer],
) -> None:
    """The page leaves out what is no option, and cannot show options that nobody chose; these are 0 here."""
    page, viewer = shown
    frame = table(viewer, "Parameters usage")
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    columns = (frame[column] for column in ("Parameter", "Value chosen", "Workspaces"))
    for name, value, count in zip(*columns, strict=True):
        found[name].append((value, count))
    compared = 0
    for name, expected in _options(page).items():
        rows, chosen = found[name], {value: count for value, count in expected.items() if count}
        compared += 1

        assert {value: count for value, count in rows if count} == chosen
        assert {value for value, count in rows if not count} == set(expected) - set(chosen)
        assert [count for _, count in rows] == sorted((count for _, count in rows), reverse=True)
    assert compared >= 2


def _options(page: Page) -> dict[str, dict[str, int]]:
    """Return the counts of each parameter with options by the options' names, all versions together."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in page.report["parameters_usage"]:
        if one.get("options") and one["type"] != "list(string)":
            counts = {value["value"]: value["count"] for value in one["values"]}
            for option in one["options"]:
                found[one["display_name"] or one["name"]][option["name"]] += counts.get(option["value"], 0)
    return found
