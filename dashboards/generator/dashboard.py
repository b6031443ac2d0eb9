"""A dashboard as lines of panels, and as the JSON that Grafana 10 to 13 reads."""

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
from dashboards.generator.theme import TAG, annotation_queries, dashboard_links
from dashboards.generator.variables import Variables
from insights_exporter.bundle.registry import DashboardInfo

__all__ = ["GridRow", "Row", "dashboard_json", "to_json"]

_COLUMNS: Final = 24
_SCHEMA_VERSION: Final = 39
"""What Grafana 10.4 writes; newer ones read it and move it on."""

_REDUNDANT_KEYS: Final = frozenset(
    ("auto", "auto_min", "auto_count", "allowCustomValue", "placement", "repeatDirection")
)
"""What the builder adds; with a direction of repetition a panel becomes as wide as the page."""


@dataclass(frozen=True, slots=True)
class GridRow:
    """Panels side by side, all equally high, each with its width in 24ths."""

    height: int
    panels: Sequence[tuple[int, Panel]]

    def __post_init__(self) -> None:
        """Refuse a line that ends before or behind the edge."""
        if (width := sum(width for width, _ in self.panels)) != _COLUMNS:
            raise ValueError(f"Expected a line {_COLUMNS} wide, found {width}.")


@dataclass(frozen=True, slots=True)
class Row:
    """Lines under a heading."""

    title: str
    grid_rows: Sequence[GridRow]


def dashboard_json(
    info: DashboardInfo, variables: Variables, rows: Sequence[Row], *, time_from: str = "now-7d"
) -> dict[str, Any]:
    """Return the dashboard as JSON knows it, the same every time."""
    builder = (
        build.Dashboard(info.title)
        .uid(info.uid)
        .description(info.description)
        .tags([TAG])
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
    for link in dashboard_links(info):
        builder = builder.link(link)
    dashboard_model: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    panels = list(_positioned_panels(rows))
    titles = Counter(panel["title"] for panel in panels)
    if duplicates := [title for title, count in titles.items() if count > 1]:
        raise ValueError(
            f"Expected titles that tell panels apart, found {', '.join(duplicates)} more than once."
        )
    for panel_id, panel in enumerate(panels, start=1):
        panel["id"] = panel_id
    without_defaults: dict[str, Any] = _drop_redundant(dashboard_model)
    return without_defaults | {"id": None, "schemaVersion": _SCHEMA_VERSION, "panels": panels}


def to_json(dashboard_model: dict[str, Any]) -> str:
    """Return the JSON as it stands in a file."""
    return json.dumps(dashboard_model, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _positioned_panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    y = 0
    for row in rows:
        grid_pos = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
        yield {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": grid_pos}
        y += 1
        for grid_row in row.grid_rows:
            x = 0
            for width, panel in grid_row.panels:
                model: dict[str, Any] = _drop_redundant(json.loads(json.dumps(panel, cls=JSONEncoder)))
                for letter, target in zip(ascii_uppercase, model["targets"], strict=False):
                    target["refId"] = letter
                yield model | {"gridPos": {"h": grid_row.height, "w": width, "x": x, "y": y}}
                x += width
            y += grid_row.height


def _drop_redundant(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _drop_redundant(value) for key, value in node.items() if not _is_redundant(key, value)}
    if isinstance(node, list):
        return [_drop_redundant(value) for value in node]
    return node


def _is_redundant(key: str, value: Any) -> bool:
    return key in _REDUNDANT_KEYS and (key != "placement" or value == "inControlsMenu")
