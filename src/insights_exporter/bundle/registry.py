"""Which dashboards there are, and their addresses; alerts and documentation point at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
]

FOLDER_TITLE: Final = "Coder Insights"
FOLDER_UID: Final = "coder-insights"


@dataclass(frozen=True, slots=True)
class DashboardInfo:
    """A dashboard; ``slug`` names its file and, behind the product's name, its uid."""

    slug: str
    title: str
    description: str

    @property
    def uid(self) -> str:
        """The same for ever, so that links and bookmarks live."""
        return f"coder-insights-{self.slug}"

    @property
    def path(self) -> str:
        """The address within Grafana."""
        return f"/d/{self.uid}/{self.slug}"


TEMPLATE_INSIGHTS: Final = DashboardInfo(
    "template-insights",
    "Coder / Template Insights",
    "What Coder's own page shows of one template, panel for panel, with history.",
)
DEPLOYMENT_OVERVIEW: Final = DashboardInfo(
    "deployment-overview",
    "Coder / Deployment Overview",
    "All templates at a glance: who uses them, how long, how well they connect, and how that changes.",
)
CAPACITY_PLANNING: Final = DashboardInfo(
    "capacity-planning",
    "Coder / Capacity Planning",
    "When people work, how far peaks stand above the average, and when seats and workspaces run out.",
)
TEMPLATE_OPTIMIZATION: Final = DashboardInfo(
    "template-optimization",
    "Coder / Template Optimization",
    "What templates offer and nobody takes, and which choices have become the rule.",
)
USER_SUPPORT: Final = DashboardInfo(
    "user-support",
    "Coder / User Support",
    "Who has a slow connection and since when, who may need a hand, and which agents are ill.",
)
ADOPTION_REPORT: Final = DashboardInfo(
    "adoption-report",
    "Coder / Adoption Report",
    "How far templates have spread, month against month, in tables made to be exported.",
)
EXPORTER_HEALTH: Final = DashboardInfo(
    "exporter-health",
    "Coder / Exporter Health",
    "Whether the numbers on the other dashboards are fresh, complete and within limits.",
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
"""All of them, the page itself first."""
