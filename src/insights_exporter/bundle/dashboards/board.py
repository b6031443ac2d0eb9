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

from insights_exporter.bundle.boards import Board
from insights_exporter.bundle.dashboards.house import TAG, alert_marks, links
from insights_exporter.bundle.dashboards.styles import Built
from insights_exporter.bundle.dashboards.variables import Variables

__all__ = ["Line", "Row", "document", "text"]

_COLUMNS: Final = 24
_SCHEMA: Final = 39
"""What Grafana 10.4 writes; newer ones read it and move it on."""

_NOISE: Final = frozenset(
    ("auto", "auto_min", "auto_count", "allowCustomValue", "placement", "repeatDirection")
)
"""What the builder adds; with a direction of repetition a panel becomes as wide as the page."""


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, all equally high, each with its width in 24ths."""

    height: int
    panels: Sequence[tuple[int, Built]]

    def __post_init__(self) -> None:
        """Refuse a line that ends before or behind the edge."""
        if (width := sum(width for width, _ in self.panels)) != _COLUMNS:
            raise ValueError(f"Expected a line {_COLUMNS} wide, found {width}.")


@dataclass(frozen=True, slots=True)
class Row:
    """Lines under a heading."""

    title: str
    lines: Sequence[Line]


def document(
    board: Board, variables: Variables, rows: Sequence[Row], *, since: str = "now-7d"
) -> dict[str, Any]:
    """Return the dashboard as JSON knows it, the same every time."""
    builder = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .readonly()
        .timezone("utc")
        .week_start("monday")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh("5m")
        .timepicker(build.TimePicker().refresh_intervals(["5m", "15m", "1h"]))
    )
    for variable in variables:
        builder = builder.with_variable(variable)
    for mark in alert_marks():
        builder = builder.annotation(mark)
    for link in links(board):
        builder = builder.link(link)
    found: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    panels = list(_placed(rows))
    titles = Counter(panel["title"] for panel in panels)
    if twice := [title for title, number in titles.items() if number > 1]:
        raise ValueError(f"Expected titles that tell panels apart, found {', '.join(twice)} more than once.")
    for place, panel in enumerate(panels, start=1):
        panel["id"] = place
    cleaned: dict[str, Any] = _without_noise(found)
    return cleaned | {"id": None, "schemaVersion": _SCHEMA, "panels": panels}


def text(found: dict[str, Any]) -> str:
    """Return the JSON as it stands in a file."""
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    y = 0
    for row in rows:
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
        yield {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": place}
        y += 1
        for line in row.lines:
            x = 0
            for width, panel in line.panels:
                found: dict[str, Any] = _without_noise(json.loads(json.dumps(panel, cls=JSONEncoder)))
                for letter, target in zip(ascii_uppercase, found["targets"], strict=False):
                    target["refId"] = letter
                yield found | {"gridPos": {"h": line.height, "w": width, "x": x, "y": y}}
                x += width
            y += line.height


def _without_noise(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _without_noise(value) for key, value in found.items() if not _is_noise(key, value)}
    if isinstance(found, list):
        return [_without_noise(value) for value in found]
    return found


def _is_noise(key: str, value: Any) -> bool:
    return key in _NOISE and (key != "placement" or value == "inControlsMenu")
