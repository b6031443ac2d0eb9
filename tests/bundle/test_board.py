"""How lines of panels become a dashboard."""

from __future__ import annotations

from typing import Any

import pytest

from insights_exporter.bundle.boards import DEPLOYMENT_OVERVIEW
from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.styles import About, Built, graph
from insights_exporter.bundle.dashboards.targets import series
from insights_exporter.bundle.dashboards.variables import targets
from insights_exporter.bundle.queries import HOUSE, Scope
from insights_exporter.metrics import catalogue

_USERS = Scope(HOUSE).latest(catalogue.USERS)


def _panel(title: str, *, queries: int = 1) -> Built:
    about = About(title=title, what="Accounts.", unit=units.USERS)
    return graph(about, [series(_USERS) for _ in range(queries)])


def _made(*lines: Line) -> dict[str, Any]:
    return document(DEPLOYMENT_OVERVIEW, targets(), [Row("First", lines[:1]), Row("Second", lines[1:])])


def test_panels_stand_side_by_side_and_lines_below_each_other() -> None:
    found = _made(
        Line(4, [(8, _panel("a")), (16, _panel("b"))]),
        Line(5, [(24, _panel("c"))]),
        Line(6, [(24, _panel("d"))]),
    )

    places = {panel["title"]: tuple(panel["gridPos"][key] for key in "xywh") for panel in found["panels"]}
    assert places == {
        "First": (0, 0, 24, 1),
        "a": (0, 1, 8, 4),
        "b": (8, 1, 16, 4),
        "Second": (0, 5, 24, 1),
        "c": (0, 6, 24, 5),
        "d": (0, 11, 24, 6),
    }


def test_panels_and_queries_can_be_told_apart() -> None:
    found = _made(Line(4, [(24, _panel("a", queries=3))]), Line(4, [(24, _panel("b"))]))

    assert [panel["id"] for panel in found["panels"]] == [1, 2, 3, 4]
    assert [target["refId"] for target in found["panels"][1]["targets"]] == ["A", "B", "C"]


def test_a_line_fills_the_page() -> None:
    with pytest.raises(ValueError, match="24 wide, found 20"):
        Line(4, [(20, _panel("a"))])


def test_a_title_names_one_panel() -> None:
    with pytest.raises(ValueError, match="found a more than once"):
        _made(Line(4, [(24, _panel("a"))]), Line(4, [(24, _panel("a"))]))


def test_a_panel_says_what_it_shows_in_which_unit_and_from_which_metric() -> None:
    text = _made(Line(4, [(24, _panel("a"))]))["panels"][1]["description"]

    assert text == "Accounts.\n\nUnit: users. Metrics: `coder_insights_users`."
