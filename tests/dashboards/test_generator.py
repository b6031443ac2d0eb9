"""Generator: positions and ids of panels, and the committed files."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.generator import units
from dashboards.generator.__main__ import DASHBOARD_BUILDERS
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import Panel, PanelInfo, time_series_panel
from dashboards.generator.targets import range_query
from dashboards.generator.variables import target_variables
from insights_exporter.bundle.customize import dashboard_json as to_text
from insights_exporter.bundle.promql import TARGET_MATCHERS, QueryBuilder
from insights_exporter.bundle.registry import DEPLOYMENT_OVERVIEW, DashboardInfo
from insights_exporter.metrics import catalogue
from tests.support.dashboards import DASHBOARDS_DIR

_USERS = QueryBuilder(TARGET_MATCHERS).latest(catalogue.USERS)


def _panel(title: str, *, queries: int = 1) -> Panel:
    panel_info = PanelInfo(title=title, description="Accounts.", unit=units.USERS)
    return time_series_panel(panel_info, [range_query(_USERS) for _ in range(queries)])


def _dashboard(*grid_rows: GridRow) -> dict[str, Any]:
    return dashboard_json(
        DEPLOYMENT_OVERVIEW, target_variables(), [Row("First", grid_rows[:1]), Row("Second", grid_rows[1:])]
    )


def test_panels_are_placed_left_to_right_and_rows_top_to_bottom() -> None:
    dashboard = _dashboard(
        GridRow(4, [(8, _panel("a")), (16, _panel("b"))]),
        GridRow(5, [(24, _panel("c"))]),
        GridRow(6, [(24, _panel("d"))]),
    )

    positions = {
        panel["title"]: tuple(panel["gridPos"][key] for key in "xywh") for panel in dashboard["panels"]
    }
    assert positions == {
        "First": (0, 0, 24, 1),
        "a": (0, 1, 8, 4),
        "b": (8, 1, 16, 4),
        "Second": (0, 5, 24, 1),
        "c": (0, 6, 24, 5),
        "d": (0, 11, 24, 6),
    }


def test_panels_and_queries_have_unique_ids() -> None:
    dashboard = _dashboard(GridRow(4, [(24, _panel("a", queries=3))]), GridRow(4, [(24, _panel("b"))]))

    assert [panel["id"] for panel in dashboard["panels"]] == [1, 2, 3, 4]
    assert [target["refId"] for target in dashboard["panels"][1]["targets"]] == ["A", "B", "C"]


def test_a_grid_row_must_be_24_columns_wide() -> None:
    with pytest.raises(ValueError, match="total width of 24, got 20"):
        GridRow(4, [(20, _panel("a"))])


def test_duplicate_panel_titles_are_rejected() -> None:
    with pytest.raises(ValueError, match="got a more than once"):
        _dashboard(GridRow(4, [(24, _panel("a"))]), GridRow(4, [(24, _panel("a"))]))


def test_a_panel_description_has_unit_and_metrics() -> None:
    text = _dashboard(GridRow(4, [(24, _panel("a"))]))["panels"][1]["description"]

    assert text == "Accounts.\n\nUnit: users. Metrics: `coder_insights_users`."


def test_a_collapsed_row_contains_its_panels() -> None:
    dashboard = dashboard_json(
        DEPLOYMENT_OVERVIEW,
        target_variables(),
        [
            Row("", [GridRow(2, [(24, _panel("a"))])]),
            Row("Collapsed", [GridRow(4, [(24, _panel("b"))])], collapsed=True),
            Row("Open", [GridRow(4, [(24, _panel("c"))])]),
        ],
    )
    first, collapsed, open_row, last = dashboard["panels"]

    assert [first["title"], last["title"]] == ["a", "c"]
    assert [panel["title"] for panel in collapsed["panels"]] == ["b"]
    assert [panel["gridPos"]["y"] for panel in (first, collapsed, open_row, last)] == [0, 2, 3, 4]
    assert [panel["id"] for panel in (first, collapsed, collapsed["panels"][0], open_row, last)] == [
        1,
        2,
        3,
        4,
        5,
    ]


@pytest.mark.parametrize("info", DASHBOARD_BUILDERS, ids=lambda info: info.slug)
def test_the_committed_file_is_that_of_the_generator(info: DashboardInfo) -> None:
    committed = (DASHBOARDS_DIR / f"{info.slug}.json").read_text(encoding="utf-8")

    assert committed == to_text(DASHBOARD_BUILDERS[info]())
