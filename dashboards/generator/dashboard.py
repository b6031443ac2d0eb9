"""Dashboards as rows of panels, and as the classic JSON that Grafana 10 to 13 reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.generator.panels import Panel
from dashboards.generator.theme import annotation_queries, dashboard_links
from dashboards.generator.variables import Variables
from insights_exporter.bundle.registry import FOLDER_UID, DashboardInfo, iter_panels

__all__ = ["GridRow", "Row", "dashboard_json"]

_COLUMNS: Final = 24
_SCHEMA_VERSION: Final = 39
"""Version of Grafana 10.4; newer releases migrate it on load."""

_REDUNDANT_KEYS: Final = frozenset(
    ("auto", "auto_min", "auto_count", "allowCustomValue", "placement", "repeatDirection")
)
"""Keys that the builder adds. ``repeatDirection`` without ``repeat`` makes a panel as wide as the page."""


@dataclass(frozen=True, slots=True)
class GridRow:
    """Panels side by side with one height; widths are in columns of 24."""

    height: int
    panels: Sequence[tuple[int, Panel]]

    def __post_init__(self) -> None:
        """Raise ValueError if the panels do not fill the width."""
        if (width := sum(width for width, _ in self.panels)) != _COLUMNS:
            raise ValueError(f"panels: expected a total width of {_COLUMNS}, got {width}")


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, or without one where the title is empty."""

    title: str
    grid_rows: Sequence[GridRow]
    collapsed: bool = False


def dashboard_json(
    info: DashboardInfo, variables: Variables, rows: Sequence[Row], *, time_from: str = "now-7d"
) -> dict[str, Any]:
    """Return the JSON of a dashboard; the result is deterministic."""
    builder = (
        build.Dashboard(info.title)
        .uid(info.uid)
        .description(info.description)
        .tags([FOLDER_UID])
        .readonly()
        .timezone("utc")
        .week_start("monday")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time(time_from, "now")
        .refresh("5m")
        .timepicker(build.TimePicker().refresh_intervals(["5m", "15m", "1h"]))
    )
    for variable in variables:
        builder = builder.with_variable(variable)
    for annotation in annotation_queries():
        builder = builder.annotation(annotation)
    for link in dashboard_links():
        builder = builder.link(link)
    dashboard_model: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    panels = _positioned_panels(rows)
    all_panels = list(_with_rows(panels))
    titles = Counter(panel["title"] for panel in all_panels)
    if duplicates := [title for title, count in titles.items() if count > 1]:
        raise ValueError(f"panels: expected unique titles, got {', '.join(duplicates)} more than once")
    for panel_id, panel in enumerate(all_panels, start=1):
        panel["id"] = panel_id
    for panel in iter_panels(panels):
        if panel["type"] == "table":
            panel["links"] = [*panel.get("links", ()), _csv_link(info, panel["id"])]
    without_defaults: dict[str, Any] = _drop_redundant(dashboard_model)
    return without_defaults | {"id": None, "schemaVersion": _SCHEMA_VERSION, "panels": panels}


def _csv_link(info: DashboardInfo, panel_id: int) -> dict[str, Any]:
    """Return a panel link to Inspect > Data, which has the button "Download CSV"."""
    parameters = f"inspect={panel_id}&inspectTab=data&${{__url_time_range}}&${{__all_variables}}"
    return {"title": "Download CSV", "url": f"{info.path}?{parameters}", "targetBlank": False}


def _with_rows(panels: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _with_rows(panel.get("panels", ()))


def _positioned_panels(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows and panels in reading order; a collapsed row contains its panels, as Grafana stores it."""
    y, positioned = 0, list[dict[str, Any]]()
    for row in rows:
        panels = positioned
        if row.title:
            grid_pos = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
            nested = list[dict[str, Any]]()
            model = {"type": "row", "title": row.title, "collapsed": row.collapsed, "panels": nested}
            positioned.append(model | {"gridPos": grid_pos})
            panels = nested if row.collapsed else positioned
            y += 1
        end = _place(panels, row.grid_rows, y)
        y = y if row.collapsed else end
    return positioned


def _place(panels: list[dict[str, Any]], grid_rows: Sequence[GridRow], y: int) -> int:
    """Append panels from a height on; return the height of their end."""
    for grid_row in grid_rows:
        x = 0
        for width, panel in grid_row.panels:
            model: dict[str, Any] = _drop_redundant(json.loads(json.dumps(panel, cls=JSONEncoder)))
            for letter, target in zip(ascii_uppercase, model["targets"], strict=False):
                target["refId"] = letter
            panels.append(model | {"gridPos": {"h": grid_row.height, "w": width, "x": x, "y": y}})
            x += width
        y += grid_row.height
    return y


def _drop_redundant(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _drop_redundant(value)
            for key, value in node.items()
            if not _is_redundant(key, value) or (key == "repeatDirection" and "repeat" in node)
        }
    if isinstance(node, list):
        return [_drop_redundant(value) for value in node]
    return node


def _is_redundant(key: str, value: Any) -> bool:
    return key in _REDUNDANT_KEYS and (key != "placement" or value == "inControlsMenu")
