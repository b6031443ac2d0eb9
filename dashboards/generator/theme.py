"""Defaults of all dashboards: colours, thresholds, texts, data source, links and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common, dashboard

from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.registry import (
    EXPORTER_HEALTH,
    FOLDER_UID,
    TEMPLATE_INSIGHTS,
    DashboardInfo,
)

__all__ = [
    "ACCENT",
    "ACCENT_STEPS",
    "AMBER",
    "AMBER_LINE",
    "BLUE",
    "DATASOURCE",
    "DATA_AGE_STEPS",
    "GREEN",
    "GREEN_LINE",
    "GREY",
    "LATENCY_BANDS",
    "LATENCY_MS_STEPS",
    "LATENCY_SECONDS_STEPS",
    "NO_AGENT_REPORTS",
    "NO_DATA",
    "NO_USER_NAMES",
    "NO_USER_REPORTS",
    "PLAIN_STEPS",
    "PROBLEM_COUNT_STEPS",
    "RED",
    "RED_LINE",
    "SEATS_USED_STEPS",
    "SLOW_SHARE_STEPS",
    "TRANSPARENT",
    "ThresholdSteps",
    "annotation_queries",
    "dashboard_link",
    "dashboard_links",
    "health_link",
    "nothing_found",
    "template_link",
    "threshold_config",
]

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN: Final = "#1A7F37"
AMBER: Final = "#FDBA72"
RED: Final = "#C4162A"
GREY: Final = "#6E7079"
TRANSPARENT: Final = "transparent"
"""Backgrounds. Grafana writes white on the dark ones and black on amber: a contrast of at least 4.5 to 1 in
both themes.
"""

GREEN_LINE: Final = "green"
AMBER_LINE: Final = "orange"
RED_LINE: Final = "red"
"""Colours of lines and bars. Grafana has a shade of each for the light and for the dark theme."""

BLUE: Final = "blue"
ACCENT: Final = "#8B5CF6"
"""Purple of the active users chart on Coder's page, darkened for the light theme."""

ThresholdStep = tuple[float | None, str]
ThresholdSteps = tuple[ThresholdStep, ...]
"""Colours by lower bound; the first bound is None."""

_THRESHOLDS: Final = Thresholds()
_WARNING, _CRITICAL = _THRESHOLDS.latency_warning, _THRESHOLDS.latency_critical

PLAIN_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT),)
ACCENT_STEPS: Final[ThresholdSteps] = ((None, ACCENT),)
LATENCY_SECONDS_STEPS: Final[ThresholdSteps] = ((None, GREEN), (_WARNING, AMBER), (_CRITICAL, RED))
LATENCY_MS_STEPS: Final[ThresholdSteps] = ((None, GREEN), (_WARNING * 1000, AMBER), (_CRITICAL * 1000, RED))
"""Colours of Coder's page. They apply to the p50 of a user and to nothing else."""

SLOW_SHARE_STEPS: Final[ThresholdSteps] = (
    (None, TRANSPARENT),
    (0.1, AMBER),
    (_THRESHOLDS.slow_users_share, RED),
)
SEATS_USED_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (0.8, AMBER), (_THRESHOLDS.seats_share, RED))
PROBLEM_COUNT_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (1, AMBER), (5, RED))
DATA_AGE_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (900, AMBER), (1800, RED))
"""Three missed polls, and the default of ``poll.max_staleness``, after which the exporter drops old data."""

LATENCY_BANDS: Final = (
    ("fast", "Fast: below 150 ms", GREEN_LINE),
    ("fair", "Fair: 150 to 300 ms", AMBER_LINE),
    ("slow", "Slow: 300 ms and more", RED_LINE),
)

_SEE_STATUS: Final = "see Data status at the top"
NO_DATA: Final = f"No data: nothing in this window or selection, or the data is missing ({_SEE_STATUS})"
NO_USER_NAMES: Final = (
    f"No users: no usage in this window, or user names are switched off (privacy.users), or {_SEE_STATUS}"
)
NO_AGENT_REPORTS: Final = (
    f"No data: agent_stats.source is not configured, or no session was open, or {_SEE_STATUS}"
)
NO_USER_REPORTS: Final = (
    "No data: agent_stats.source is not configured, or user names are switched off (privacy.users), "
    f"or no session was open, or {_SEE_STATUS}"
)


def nothing_found(finding: str) -> str:
    """Return the text of a list of problems that is empty, such as "No unused apps"."""
    return f"{finding}, or no data: {_SEE_STATUS}"


def threshold_config(steps: Sequence[ThresholdStep]) -> build.ThresholdsConfig:
    """Return absolute thresholds."""
    thresholds = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(thresholds)


def dashboard_links() -> list[build.DashboardLink]:
    """Return one drop-down with all dashboards of the tag; it keeps the time range and the variables."""
    return [
        build.DashboardLink("Coder dashboards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([FOLDER_UID])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    ]


def annotation_queries() -> list[build.AnnotationQuery]:
    """Return the annotations: firing alerts."""
    return [
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .hide(True)
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
    """Return a data link of a table row; each named variable takes the value of a column."""
    variables = "".join(
        f'&var-{variable}=${{__data.fields["{column}"]:percentencode}}'
        for variable, column in columns_by_variable.items()
    )
    return {
        "title": f"Open {info.short_title}",
        "url": f"{info.path}?{_CARRIED_PARAMETERS}{variables}",
    }


def template_link() -> dict[str, str]:
    """Return a data link to the template of a table row."""
    return dashboard_link(TEMPLATE_INSIGHTS, organization="Organization", template="Template")


def health_link() -> dict[str, str]:
    """Return a link to Exporter Health."""
    return {
        "title": f"Open {EXPORTER_HEALTH.short_title}",
        "url": f"{EXPORTER_HEALTH.path}?{_CARRIED_PARAMETERS}",
    }
