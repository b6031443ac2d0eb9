"""The committed dashboards: panels, variables and queries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from insights_exporter.bundle.registry import iter_panels, load_dashboard

__all__ = [
    "CODERD_SERIES",
    "DASHBOARDS_DIR",
    "DASHBOARD_SLUGS",
    "Panel",
    "all_dashboards",
    "all_panels",
    "dashboard_queries",
    "dashboard_variables",
    "load_dashboard",
]

CODERD_SERIES: Final = {
    "instance:coderd_workspace_builds_total:sum": {"template_name", "workspace_transition", "status"},
    "coderd_template_workspace_build_duration_seconds_bucket": {
        *("template_name", "organization_name", "transition", "status", "is_prebuild", "le"),
    },
}
"""Series of coderd and of the recording rule on them."""

DASHBOARDS_DIR: Final = Path(__file__).parents[2] / "dashboards"
_VARIABLE_QUERY: Final = re.compile(r"label_values\((.+), [a-z_]+\)|query_result\((.+)\)", re.DOTALL)
DASHBOARD_SLUGS: Final = tuple(sorted(file.stem for file in DASHBOARDS_DIR.glob("*.json")))


@dataclass(frozen=True)
class Panel:
    """A panel and the slug of its dashboard."""

    dashboard: str
    json: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the id of the test case."""
        return f"{self.dashboard} {self.json['id']} {self.title}"

    @property
    def title(self) -> str:
        """Title of the panel."""
        return str(self.json["title"])

    @property
    def type(self) -> str:
        """Type of the panel."""
        return str(self.json["type"])

    @property
    def grid_position(self) -> Mapping[str, int]:
        """Position: ``x``, ``y``, ``w`` and ``h``."""
        grid_position: Mapping[str, int] = self.json["gridPos"]
        return grid_position

    @property
    def targets(self) -> list[dict[str, Any]]:
        """Targets of the panel."""
        return list(self.json.get("targets", ()))

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """Field overrides of the panel."""
        return list(self.json["fieldConfig"]["overrides"])


def all_dashboards() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all dashboards by slug."""
    for slug in DASHBOARD_SLUGS:
        yield slug, load_dashboard(slug)


def all_panels(*slugs: str, rows: bool = False) -> list[Panel]:
    """Return the panels of some dashboards, or of all, in reading order; ``rows`` includes the rows."""
    return [
        Panel(slug, panel)
        for slug in slugs or DASHBOARD_SLUGS
        for panel in (_with_rows if rows else iter_panels)(load_dashboard(slug)["panels"])
    ]


def _with_rows(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _with_rows(panel.get("panels", []))


def dashboard_queries(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """Yield the PromQL of panels, annotations and variables, with Grafana's variables in it."""
    for panel in iter_panels(dashboard["panels"]):
        yield from (target["expr"] for target in panel["targets"])
    yield from (item["expr"] for item in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if match := _VARIABLE_QUERY.fullmatch(str(variable["query"])):
            yield match[1] or match[2]


def dashboard_variables(slug: str) -> list[dict[str, Any]]:
    """Return a dashboard's variables, in the order in which Grafana fills them."""
    template_variables: list[dict[str, Any]] = load_dashboard(slug)["templating"]["list"]
    return template_variables
