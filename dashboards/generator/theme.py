"""Defaults that every dashboard shares: colours, steps, where data comes from, what leads elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common, dashboard

from insights_exporter.bundle.registry import DASHBOARDS, TEMPLATE_INSIGHTS, DashboardInfo

__all__ = [
    "ACCENT",
    "ACCENT_STEPS",
    "AMBER",
    "BLUE",
    "BLUE_STEPS",
    "DATASOURCE",
    "GREEN",
    "GREY",
    "LATENCY_BANDS",
    "LATENCY_MS_STEPS",
    "LATENCY_SECONDS_STEPS",
    "NO_AGENT_REPORTS",
    "NO_LICENSE_LIMIT",
    "NO_USER_NAMES",
    "PROBLEM_COUNT_STEPS",
    "RED",
    "SEATS_USED_STEPS",
    "SLOW_SHARE_STEPS",
    "TAG",
    "TEXT_STEPS",
    "ThresholdSteps",
    "annotation_queries",
    "dashboard_link",
    "dashboard_links",
    "template_link",
    "threshold_config",
]

TAG: Final = "coder-insights"
DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN: Final = "#16A249"
AMBER: Final = "#FDBA72"
RED: Final = "#F87272"
"""Success, warning and error as Coder's page draws them."""

GREY: Final = "#8E8E9A"
BLUE: Final = "#5794F2"
ACCENT: Final = "#A78BFA"
"""The purple of the page's chart of active users."""

ThresholdStep = tuple[float | None, str]
ThresholdSteps = tuple[ThresholdStep, ...]
"""From which number on a colour holds; None is from the beginning."""

ACCENT_STEPS: Final[ThresholdSteps] = ((None, ACCENT),)
BLUE_STEPS: Final[ThresholdSteps] = ((None, BLUE),)
TEXT_STEPS: Final[ThresholdSteps] = ((None, "text"),)
LATENCY_MS_STEPS: Final[ThresholdSteps] = ((None, GREEN), (150, AMBER), (300, RED))
LATENCY_SECONDS_STEPS: Final[ThresholdSteps] = ((None, GREEN), (0.15, AMBER), (0.3, RED))
SLOW_SHARE_STEPS: Final[ThresholdSteps] = ((None, GREEN), (0.1, AMBER), (0.25, RED))
"""One in ten is worth a look; a quarter share a cause."""

SEATS_USED_STEPS: Final[ThresholdSteps] = ((None, GREEN), (0.8, AMBER), (0.9, RED))
"""The last tenth is the time that buying takes."""

PROBLEM_COUNT_STEPS: Final[ThresholdSteps] = ((None, "text"), (1, AMBER), (5, RED))
"""None at all is nothing to look at, so it has no colour."""

LATENCY_BANDS: Final = (
    ("fast", "below 150 ms", GREEN),
    ("fair", "150 to 300 ms", AMBER),
    ("slow", "300 ms and more", RED),
)
"""The colours of Coder's page in words."""

NO_USER_NAMES: Final = "Nobody in this window, or user names are switched off"
NO_AGENT_REPORTS: Final = "No data: needs agent reports (agent_stats.source)"
NO_USER_REPORTS: Final = (
    "Nobody in this range, or user names are switched off, or agent reports are not read (agent_stats.source)"
)
NO_LICENSE_LIMIT: Final = "No licence limit"


def threshold_config(steps: Sequence[ThresholdStep]) -> build.ThresholdsConfig:
    """Return colours by absolute steps."""
    thresholds = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(thresholds)


def dashboard_links(current: DashboardInfo) -> list[build.DashboardLink]:
    """Return what leads to the other dashboards with the selection and the time kept."""
    return [
        build.DashboardLink(info.title.removeprefix("Coder / "))
        .type(dashboard.DashboardLinkType.LINK)
        .url(info.path)
        .tooltip(info.description)
        .icon("dashboard")
        .include_vars(True)
        .keep_time(True)
        for info in DASHBOARDS
        if info is not current
    ]


def annotation_queries() -> list[build.AnnotationQuery]:
    """Return marks for the alerts that fire."""
    return [
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(RED)
        .expr('ALERTS{alertname=~"CoderInsights.+", alertstate="firing"}')
        .step("5m")
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{template_name}} {{username}}")
        .tag_keys("severity")
    ]


_CARRIED_PARAMETERS: Final = (
    "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
)


def dashboard_link(info: DashboardInfo, **columns_by_variable: str) -> dict[str, str]:
    """Return a link of a table's row; each variable named takes the value of a column."""
    variables = "".join(
        f'&var-{variable}=${{__data.fields["{column}"]:percentencode}}'
        for variable, column in columns_by_variable.items()
    )
    name = info.title.removeprefix("Coder / ")
    return {"title": f"Open {name}", "url": f"{info.path}?{_CARRIED_PARAMETERS}{variables}"}


def template_link() -> dict[str, str]:
    """Return a link to the page of the template in a table's row."""
    return dashboard_link(TEMPLATE_INSIGHTS, organization="Organization", template="Template")
