"""The dashboards: slugs, titles and paths, and their JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "ADOPTION_REPORT",
    "CAPACITY_PLANNING",
    "DASHBOARDS",
    "DEPLOYMENT_OVERVIEW",
    "EXPORTER_HEALTH",
    "FOLDER_TITLE",
    "FOLDER_UID",
    "TEMPLATE_INSIGHTS",
    "TEMPLATE_OPTIMIZATION",
    "USER_SUPPORT",
    "DashboardInfo",
    "iter_panels",
    "load_dashboard",
    "resource_folder",
]

FOLDER_TITLE: Final = "Coder Insights"
FOLDER_UID: Final = "coder-insights"
"""Uid of the folder in Grafana, prefix of all dashboard uids, and the tag of all dashboards."""

_TITLE_PREFIX: Final = "Coder / "
_PACKAGE_FOLDER: Final = Path(__file__).parents[1]
_REPOSITORY_FOLDER: Final = _PACKAGE_FOLDER.parents[1]


@dataclass(frozen=True, slots=True)
class DashboardInfo:
    """A dashboard; ``slug`` is the name of its file and the end of its uid."""

    slug: str
    title: str
    description: str

    @property
    def uid(self) -> str:
        """Return the uid. It is stable, so that links and bookmarks keep working."""
        return f"{FOLDER_UID}-{self.slug}"

    @property
    def path(self) -> str:
        """Return the path of the dashboard in Grafana."""
        return f"/d/{self.uid}/{self.slug}"

    @property
    def short_title(self) -> str:
        """Return the title without the product name."""
        return self.title.removeprefix(_TITLE_PREFIX)


TEMPLATE_INSIGHTS: Final = DashboardInfo(
    "template-insights",
    f"{_TITLE_PREFIX}Template Insights",
    "One template: the panels of Coder's Template Insights page, with history.",
)
DEPLOYMENT_OVERVIEW: Final = DashboardInfo(
    "deployment-overview",
    f"{_TITLE_PREFIX}Deployment Overview",
    "All templates: users, hours, connection quality and their trends.",
)
CAPACITY_PLANNING: Final = DashboardInfo(
    "capacity-planning",
    f"{_TITLE_PREFIX}Capacity Planning",
    "Licensed seats, peak load, growth, and templates that could be consolidated.",
)
TEMPLATE_OPTIMIZATION: Final = DashboardInfo(
    "template-optimization",
    f"{_TITLE_PREFIX}Template Optimization",
    "Unused templates, apps and parameter options, and defaults that differ from the most chosen value.",
)
USER_SUPPORT: Final = DashboardInfo(
    "user-support",
    f"{_TITLE_PREFIX}User Support",
    "Slow connections and their causes, users with low usage, and unhealthy agents and apps.",
)
ADOPTION_REPORT: Final = DashboardInfo(
    "adoption-report",
    f"{_TITLE_PREFIX}Adoption Report",
    "Adoption, hours and utilization by template and organization, compared with the month before.",
)
EXPORTER_HEALTH: Final = DashboardInfo(
    "exporter-health",
    f"{_TITLE_PREFIX}Exporter Health",
    "Whether the data of the other dashboards is fresh and complete.",
)

DASHBOARDS: Final = (
    TEMPLATE_INSIGHTS,
    DEPLOYMENT_OVERVIEW,
    CAPACITY_PLANNING,
    TEMPLATE_OPTIMIZATION,
    USER_SUPPORT,
    ADOPTION_REPORT,
    EXPORTER_HEALTH,
)


def resource_folder(folder: str) -> Path:
    """Return a folder of resources, such as ``dashboards``.

    A wheel contains these folders inside the package. In the repository they are at its top level.
    """
    packaged = _PACKAGE_FOLDER / "shipped" / folder
    return packaged if packaged.is_dir() else _REPOSITORY_FOLDER / folder


@cache
def load_dashboard(slug: str) -> Mapping[str, Any]:
    """Return the JSON of a dashboard; callers must not change it."""
    path = resource_folder("dashboards") / f"{slug}.json"
    dashboard: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def iter_panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield panels and the panels of collapsed rows, without the rows."""
    for panel in panels:
        if panel["type"] != "row":
            yield panel
        yield from iter_panels(panel.get("panels", []))
