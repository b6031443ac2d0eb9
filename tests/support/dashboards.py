"""The dashboards as they stand in the tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "DASHBOARDS_DIR",
    "DASHBOARD_SLUGS",
    "Panel",
    "all_dashboards",
    "all_panels",
    "dashboard_variables",
    "load_dashboard",
]

DASHBOARDS_DIR: Final = Path(__file__).parents[2] / "dashboards"
DASHBOARD_SLUGS: Final = tuple(sorted(file.stem for file in DASHBOARDS_DIR.glob("*.json")))


@dataclass(frozen=True)
class Panel:
    """A panel, and the dashboard that it is on."""

    dashboard: str
    json: Mapping[str, Any]

    def __str__(self) -> str:
        """Return how a test calls it; two panels of a dashboard may have one title."""
        return f"{self.dashboard} {self.json['id']} {self.title}"

    @property
    def title(self) -> str:
        """What stands above it."""
        return str(self.json["title"])

    @property
    def type(self) -> str:
        """Which kind of panel it is."""
        return str(self.json["type"])

    @property
    def grid_position(self) -> Mapping[str, int]:
        """Where it stands: ``x``, ``y``, ``w`` and ``h``."""
        grid_position: Mapping[str, int] = self.json["gridPos"]
        return grid_position

    @property
    def targets(self) -> list[dict[str, Any]]:
        """What it asks."""
        return list(self.json.get("targets", ()))

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """What single fields have instead of the defaults."""
        return list(self.json["fieldConfig"]["overrides"])


@cache
def load_dashboard(slug: str) -> dict[str, Any]:
    """Return a dashboard; it must not be changed."""
    dashboard: dict[str, Any] = json.loads((DASHBOARDS_DIR / f"{slug}.json").read_text(encoding="utf-8"))
    return dashboard


def all_dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all dashboards by the names of their files."""
    for slug in DASHBOARD_SLUGS:
        yield slug, load_dashboard(slug)


def all_panels(*slugs: str, rows: bool = False) -> list[Panel]:
    """Return the panels of some dashboards, or of all, in reading order."""
    return [
        Panel(slug, panel)
        for slug in slugs or DASHBOARD_SLUGS
        for panel in _panels(load_dashboard(slug)["panels"])
        if rows or panel["type"] != "row"
    ]


def _panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def dashboard_variables(slug: str) -> list[dict[str, Any]]:
    """Return a dashboard's variables, in the order in which Grafana fills them."""
    template_variables: list[dict[str, Any]] = load_dashboard(slug)["templating"]["list"]
    return template_variables
