"""Numbers that several panels or dashboards show are equal for the same selection."""

from __future__ import annotations

from math import isnan
from typing import Any, Final

import pytest

from tests.support.dashboards import Panel, all_panels
from tests.support.grafana import DashboardEmulator, VariableValue
from tests.support.grafana_transformations import apply_transformations
from tests.support.history import History

Number = tuple[str, str, str]
"""Slug, panel title, and the name of a stat or the title of a table column, whose values are added."""

OVERVIEW, ADOPTION, CAPACITY, SUPPORT = (
    "deployment-overview",
    "adoption-report",
    "capacity-planning",
    "user-support",
)
INSIGHTS: Final = "template-insights"

DEPLOYMENT_NUMBERS: Final[dict[str, tuple[Number, ...]]] = {
    "users": ((OVERVIEW, "Whole deployment", "Users"), (ADOPTION, "Whole deployment", "Users")),
    "hours": (
        (OVERVIEW, "Selected templates", "Hours"),
        (OVERVIEW, "Templates", "Hours"),
        (ADOPTION, "Developer hours", "Hours"),
        (ADOPTION, "Adoption by template", "Hours"),
        (ADOPTION, "Adoption by organization", "Hours"),
        (CAPACITY, "Least used templates", "Hours"),
    ),
    "users of templates": (
        (OVERVIEW, "Templates", "Users"),
        (ADOPTION, "Adoption by template", "Users"),
        (CAPACITY, "Least used templates", "Users"),
    ),
    "templates in use": (
        (ADOPTION, "Selected templates", "Templates in use"),
        (ADOPTION, "Adoption by organization", "Templates in use"),
    ),
    "running workspaces": (
        (OVERVIEW, "Selected templates", "Running workspaces"),
        (OVERVIEW, "Templates", "Running"),
        (CAPACITY, "Load by template", "Running"),
        (CAPACITY, "Reclaimable workspaces", "Running"),
    ),
    "workspaces": (
        (ADOPTION, "Adoption by template", "Workspaces"),
        (ADOPTION, "Last 30 days and before", "Workspaces"),
        (CAPACITY, "Least used templates", "Workspaces"),
    ),
    "slow users": (
        (SUPPORT, "Slow users, selected templates", "Slow users"),
        (SUPPORT, "Latency by template", "Slow"),
        (SUPPORT, "Users by p50", "slow"),
    ),
    "share of slow users": (
        (SUPPORT, "Slow users, selected templates", "Share"),
        (OVERVIEW, "Connection quality", "Slow users"),
    ),
    "disconnected agents": (
        (SUPPORT, "Problems, selected templates", "Disconnected agents"),
        (SUPPORT, "Agents by template", "Disconnected"),
        (OVERVIEW, "Templates", "Disconnected agents"),
    ),
    "unhealthy apps": (
        (SUPPORT, "Problems, selected templates", "Unhealthy apps"),
        (SUPPORT, "Agents by template", "Unhealthy apps"),
        (OVERVIEW, "Templates", "Unhealthy apps"),
    ),
}
MONTHLY_NUMBERS: Final[dict[str, tuple[Number, ...]]] = {
    "hours": (
        (ADOPTION, "Developer hours", "Hours"),
        (ADOPTION, "Last 30 days and before", "Hours"),
        (OVERVIEW, "Selected templates", "Hours"),
    ),
    "users of templates": (
        (ADOPTION, "Adoption by template", "Users"),
        (ADOPTION, "Last 30 days and before", "Users"),
    ),
}
TEMPLATE_NUMBERS: Final[dict[str, tuple[Number, ...]]] = {
    "hours": (
        (INSIGHTS, "Usage of the template", "Hours"),
        (INSIGHTS, "Activity by user", "Hours"),
        (OVERVIEW, "Selected templates", "Hours"),
    ),
    "users": ((INSIGHTS, "Usage of the template", "Users"), (OVERVIEW, "Templates", "Users")),
    "share of slow users": (
        (INSIGHTS, "Connection quality", "Slow users"),
        (OVERVIEW, "Connection quality", "Slow users"),
        (OVERVIEW, "Templates", "Slow users"),
        (SUPPORT, "Latency by template", "Slow users"),
        (SUPPORT, "Slow users, selected templates", "Share"),
    ),
    "slow users": (
        (INSIGHTS, "Users by latency band", "Slow: 300 ms and more"),
        (SUPPORT, "Slow users, selected templates", "Slow users"),
    ),
    "median user": (
        (INSIGHTS, "Connection quality", "Median user"),
        (OVERVIEW, "Templates", "Median user"),
        (OVERVIEW, "Connection quality", "Median user"),
        (SUPPORT, "Latency, selected templates", "Median user"),
        (SUPPORT, "Latency by template", "Median user, p50"),
    ),
    "running workspaces": (
        (INSIGHTS, "Workspaces of the template", "Running"),
        (OVERVIEW, "Selected templates", "Running workspaces"),
    ),
}


def find_panel(slug: str, title: str) -> Panel:
    (panel,) = (panel for panel in all_panels(slug) if panel.title == title)
    return panel


def shown_value(viewer: DashboardEmulator, title: str, name: str) -> float:
    """Return a stat, or the sum of a table column or of the bars above 300 ms."""
    panel = find_panel(viewer.slug, title)
    frames = apply_transformations(panel, viewer.frames(panel))
    if title == "Users by p50":
        (frame,) = frames
        return float(sum(values[-1] for bound, values in frame.items() if _is_slow(bound)))
    columns = [frame[name] for frame in frames if name in frame]
    values = [value for column in columns for value in column if value is not None and not isnan(value)]
    assert columns, f"{name} is not in {panel}"
    return float(sum(values))


def _is_slow(bound: str) -> bool:
    return bound == "+Inf" or (bound != "Time" and float(bound) > 0.3)


def check_equal(history: History, numbers: tuple[Number, ...], selection: dict[str, VariableValue]) -> None:
    values: dict[Number, float] = {}
    for slug, title, name in numbers:
        viewer = DashboardEmulator(history.prometheus, slug, history.end, dict(selection))
        values[slug, title, name] = shown_value(viewer, title, name)
    expected = next(iter(values.values()))

    assert expected > 0 or "agents" in str(numbers)
    assert values == pytest.approx(dict.fromkeys(values, expected), rel=1e-9)


@pytest.mark.parametrize("name", DEPLOYMENT_NUMBERS)
def test_repeated_numbers_are_equal_for_all_templates(history: History, name: str) -> None:
    check_equal(history, DEPLOYMENT_NUMBERS[name], {"window": "7d"})


@pytest.mark.parametrize("name", MONTHLY_NUMBERS)
def test_the_last_30_days_are_the_window_of_30_days(history: History, name: str) -> None:
    check_equal(history, MONTHLY_NUMBERS[name], {"window": "30d"})


@pytest.mark.parametrize("name", TEMPLATE_NUMBERS)
def test_repeated_numbers_are_equal_for_one_template(history: History, name: str) -> None:
    selection: dict[str, VariableValue] = {
        "organization": "research",
        "template": "go-dev",
        "organizations": ("research",),
        "templates": ("go-dev",),
        "window": "7d",
    }
    check_equal(history, TEMPLATE_NUMBERS[name], selection)


def test_seats_are_consistent(history: History) -> None:
    capacity = DashboardEmulator(history.prometheus, CAPACITY, history.end, {})
    overview = DashboardEmulator(history.prometheus, OVERVIEW, history.end, {})
    used, left = shown_value(capacity, "Seats", "Used"), shown_value(capacity, "Seats", "Left")

    assert shown_value(overview, "Whole deployment", "Seats used") == pytest.approx(used / (used + left))


@pytest.mark.parametrize(
    "panel", [panel for panel in all_panels() if panel.type in {"stat", "table"}], ids=str
)
def test_stats_and_tables_are_instant_queries(panel: Panel) -> None:
    """A range query ends at a multiple of its step, so its last value can be older than another panel's."""
    busy_hours = panel.title == "Busy hours"
    instants: set[Any] = {target.get("instant", False) for target in panel.targets}

    assert instants == {not busy_hours}
