"""Defaults that every dashboard shares: colours, steps, where data comes from, what leads elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common, dashboard

from insights_exporter.bundle.boards import BOARDS, TEMPLATE_INSIGHTS, Board

__all__ = [
    "ACCENT",
    "AMBER",
    "ANY_IS_BAD",
    "BANDS",
    "BLUE",
    "GREEN",
    "GREY",
    "IN_ACCENT",
    "IN_BLUE",
    "IN_TEXT",
    "LATENCY_MS",
    "LATENCY_S",
    "NO_LIMIT",
    "NO_NAMES",
    "NO_REPORTS",
    "PROMETHEUS",
    "RED",
    "SEATS_TAKEN",
    "SLOW_SHARE",
    "TAG",
    "Steps",
    "alert_marks",
    "board_link",
    "links",
    "template_link",
    "thresholds",
]

TAG: Final = "coder-insights"
PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN: Final = "#16A249"
AMBER: Final = "#FDBA72"
RED: Final = "#F87272"
"""Success, warning and error as Coder's page draws them."""

GREY: Final = "#8E8E9A"
BLUE: Final = "#5794F2"
ACCENT: Final = "#A78BFA"
"""The purple of the page's chart of active users."""

Step = tuple[float | None, str]
Steps = tuple[Step, ...]
"""From which number on a colour holds; None is from the beginning."""

IN_ACCENT: Final[Steps] = ((None, ACCENT),)
IN_BLUE: Final[Steps] = ((None, BLUE),)
IN_TEXT: Final[Steps] = ((None, "text"),)
LATENCY_MS: Final[Steps] = ((None, GREEN), (150, AMBER), (300, RED))
LATENCY_S: Final[Steps] = ((None, GREEN), (0.15, AMBER), (0.3, RED))
SLOW_SHARE: Final[Steps] = ((None, GREEN), (0.1, AMBER), (0.25, RED))
"""One in ten is worth a look; a quarter share a cause."""

SEATS_TAKEN: Final[Steps] = ((None, GREEN), (0.8, AMBER), (0.9, RED))
"""The last tenth is the time that buying takes."""

ANY_IS_BAD: Final[Steps] = ((None, "text"), (1, AMBER), (5, RED))
"""None at all is nothing to look at, so it has no colour."""

BANDS: Final = (
    ("fast", "below 150 ms", GREEN),
    ("fair", "150 to 300 ms", AMBER),
    ("slow", "300 ms and more", RED),
)
"""The colours of Coder's page in words."""

NO_NAMES: Final = "Nobody in this window, or user names are switched off"
NO_REPORTS: Final = "No data: needs agent reports (agent_stats.source)"
NO_NAMED_REPORTS: Final = (
    "Nobody in this range, or user names are switched off, or agent reports are not read (agent_stats.source)"
)
NO_LIMIT: Final = "No licence limit"


def thresholds(steps: Sequence[Step]) -> build.ThresholdsConfig:
    """Return colours by absolute steps."""
    marks = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks)


def links(own: Board) -> list[build.DashboardLink]:
    """Return what leads to the other dashboards with the selection and the time kept."""
    return [
        build.DashboardLink(board.title.removeprefix("Coder / "))
        .type(dashboard.DashboardLinkType.LINK)
        .url(board.path)
        .tooltip(board.description)
        .icon("dashboard")
        .include_vars(True)
        .keep_time(True)
        for board in BOARDS
        if board is not own
    ]


def alert_marks() -> list[build.AnnotationQuery]:
    """Return marks for the alerts that fire."""
    return [
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color(RED)
        .expr('ALERTS{alertname=~"CoderInsights.+", alertstate="firing"}')
        .step("5m")
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{template_name}} {{username}}")
        .tag_keys("severity")
    ]


_KEPT: Final = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"


def board_link(board: Board, **fields: str) -> dict[str, str]:
    """Return a link of a table's row; each variable named takes the value of a column."""
    chosen = "".join(
        f'&var-{variable}=${{__data.fields["{column}"]:percentencode}}' for variable, column in fields.items()
    )
    name = board.title.removeprefix("Coder / ")
    return {"title": f"Open {name}", "url": f"{board.path}?{_KEPT}{chosen}"}


def template_link() -> dict[str, str]:
    """Return a link to the page of the template in a table's row."""
    return board_link(TEMPLATE_INSIGHTS, organization="Organization", template="Template")
