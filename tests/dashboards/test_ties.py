"""Ties: a table shows the same rows, whatever the order of the database's results."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.dashboards.test_panels import TEMPLATE_SELECTION
from tests.support.dashboards import Panel, all_panels, dashboard_variables
from tests.support.grafana import DashboardEmulator, Frame
from tests.support.grafana_transformations import apply_transformations
from tests.support.history import History

Row = tuple[tuple[str, Any], ...]

TABLES: Final = [panel for panel in all_panels() if panel.type == "table"]


def table_of(slug: str, title: str) -> Panel:
    (panel,) = (panel for panel in TABLES if (panel.dashboard, panel.title) == (slug, title))
    return panel


def rows_of(panel: Panel, frames: list[Frame], *columns: str) -> list[Row]:
    (table,) = apply_transformations(panel, frames)
    return [
        tuple(zip(columns, values, strict=True))
        for values in zip(*(table[name] for name in columns), strict=True)
    ]


def in_reverse(frames: list[Frame]) -> list[Frame]:
    return [{name: values[::-1] for name, values in frame.items()} for frame in frames]


def option_frames() -> list[Frame]:
    """Return two most chosen options of one parameter, and the other columns of the parameter."""
    parameter = {
        "job": "coder-insights",
        "organization_name": "acme",
        "template_name": "go-dev",
        "parameter_name": "region",
        "parameter_type": "string",
    }
    options = ("us-east-1", "Virginia"), ("eu-central-1", "Frankfurt")
    top_values = [
        {**parameter, "parameter_value": value, "option_name": name, "value": name, "is_default": "false"}
        | {"display_name": "Region", "parameter": "Region", "default": "Oregon", "Value #A": 0.4}
        for value, name in options
    ]
    others = [
        {**parameter, f"Value #{letter}": number}
        for letter, number in zip("BCD", (0.2, 0.2, 10.0), strict=True)
    ]
    return [to_frame(rows) for rows in (top_values, *([row] for row in others))]


def to_frame(rows: list[dict[str, Any]]) -> Frame:
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("order", [list, in_reverse], ids=["in order", "in reverse"])
def test_the_most_chosen_value_of_a_tie_is_the_first_in_the_alphabet(order: Any) -> None:
    panel = table_of("template-optimization", "Most chosen values and defaults")

    (row,) = rows_of(panel, order(option_frames()), "Most chosen", "Share of most chosen", "Workspaces")

    assert dict(row) == {"Most chosen": "Frankfurt", "Share of most chosen": 0.4, "Workspaces": 10.0}


def app_frames() -> list[Frame]:
    """Return two apps of one user with equal session time."""
    apps = [
        {"username": "ada", "app": app, "display_name": name, "name": name, "Value #A": 2.0}
        for app, name in (("vscode", "VS Code"), ("ssh", "SSH"))
    ]
    share, count = {"username": "ada", "Value #B": 0.5}, {"username": "ada", "Value #C": 2.0}
    return [to_frame(rows) for rows in (apps, [share], [count])]


@pytest.mark.parametrize("order", [list, in_reverse], ids=["in order", "in reverse"])
def test_a_user_with_two_preferred_apps_has_one_row(order: Any) -> None:
    panel = table_of("user-support", "Preferred apps")

    (row,) = rows_of(panel, order(app_frames()), "User", "Preferred app", "Hours", "Apps used")

    assert dict(row) == {"User": "ada", "Preferred app": "SSH", "Hours": 2.0, "Apps used": 2.0}


@pytest.mark.parametrize("panel", TABLES, ids=str)
def test_no_table_depends_on_the_order_of_results(history: History, panel: Panel) -> None:
    single_template = any(variable["name"] == "template" for variable in dashboard_variables(panel.dashboard))
    viewer = DashboardEmulator(
        history.prometheus, panel.dashboard, history.end, dict(TEMPLATE_SELECTION) if single_template else {}
    )
    frames = viewer.frames(panel)

    in_order, reversed_order = (
        comparable_rows(apply_transformations(panel, order(frames))) for order in (list, in_reverse)
    )

    assert in_order == reversed_order


def comparable_rows(tables: list[Frame]) -> list[list[str]]:
    return [
        sorted(str(dict(zip(table, values, strict=True))) for values in zip(*table.values(), strict=True))
        for table in tables
    ]
