"""Generate ``docs/dashboards.md``: the panels of each dashboard, and their counterparts on Coder's page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from insights_exporter.bundle.registry import (
    DASHBOARDS,
    TEMPLATE_INSIGHTS,
    DashboardInfo,
    iter_panels,
    load_dashboard,
    resource_folder,
)
from insights_exporter.metrics import catalogue

__all__ = ["CODER_PAGE_PANELS", "dashboards_page"]

CODER_PAGE_PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Active users": ("Daily active users", "Weekly active users"),
    "Latency by user": ("Latency by user",),
    "App & IDE Usage": ("App & IDE Usage",),
    "Activity by user": ("Activity by user",),
    "Parameters usage": ("${parameter:text}",),
}
"""Panels of Coder's page, named as in the catalogue, and the titles of their counterparts."""

_INTRODUCTION: Final = """\
# Dashboards

{note}

Seven dashboards for Grafana 10 to 13, built from the metrics in [metrics.md](metrics.md). See
[grafana.md](grafana.md) for the installation.

| Dashboard | Content |
|---|---|
{boards}

The variables at the top select the data source and, where they apply, organizations, templates, users and
the window (`today`, `yesterday`, `7d`, `30d`), which is the range that Coder sums up. The drop-down *Coder
dashboards* opens another dashboard with the same selection and time range. Graphs mark firing alerts.

## Data status

The first row of every dashboard shows the age of the data. It turns amber after three poll intervals (15
minutes) and red after six, and keeps growing while the exporter is down. While one of these causes applies,
it appears beside the age:

| Cell | Meaning |
|---|---|
| Exporter: Down | Prometheus has no metrics of the exporter. |
| Token: Rejected | Coder rejects the token or its user. |
| Coder: Not readable | The last poll of Coder's insights failed for another reason. |
| Usage statistics: Off in Coder | Coder does not collect usage. Zeros mean off, not idle. |
| User names: Off | `privacy.users` is `off`, so panels of users are empty. |
| Usage: None in window | The selected templates have no users in the window. |
| Deployments: *n* | Several Coder deployments are selected, and their numbers are added. |

![Deployment Overview 20 minutes after Coder became unreachable](images/dashboards/data-status.png)

Numbers and tables are instant queries at the end of the time range. Data that is older than six poll
intervals is not shown, so that old numbers do not stay in normal colours.

## Definitions

- A user is **slow** when the p50 is 300 ms or more, which is red on Coder's page. Dashboards use the p50 of
  the window; alerts use the p50 of 15 minutes, and leave out users whose p50 is usual for them. Only a user's
  p50 has Coder's colours. A **p95** is a plain number: the slowest twentieth of the round trips. The alert
  CoderInsightsTemplateP95High watches it.
- In a tie, a table shows the first value in alphabetical order, such as the most chosen option.
- Panels with *deployment* in the title, or in a row of that name, ignore the selection of templates.
- Panels that need history say so: the seat forecast needs four weeks, utilization seven days, and the
  comparison with the month before 30 days. Everything else is complete from the first poll on.
- **Download CSV**, the link in the title of each table, opens the data of the panel with the button of that
  name.

## Coder's page and its panels here

Coder's page *Template Insights* shows one template. The dashboard of the same name shows the same numbers
in the same order, and their history.

| On Coder's page | Here | Metrics |
|---|---|---|
{parity}

Intended differences:

- Days and weeks are in UTC, or in `insights.utc_offset`.
- A user without a measured latency has "none". Coder's page shows -1ms in green.
- The p95 is shown beside the p50.
- Options without a workspace are 0; Coder's page omits them. Free text values are "(not shown)" unless
  `privacy.parameter_free_text` is on.
"""

_METRIC_NAME: Final = re.compile(r"\b(coder_insights_\w+|process_\w+|up)\b")


def dashboards_page(header: str) -> str:
    """Return the text of the page."""
    panels_by_slug = {info.slug: list(_load_panels(info)) for info in DASHBOARDS}
    dashboard_rows = "\n".join(
        f"| [{info.short_title}](#{_anchor(info)}) | {info.description} |" for info in DASHBOARDS
    )
    panels_by_title = {panel["title"]: panel for panel in panels_by_slug[TEMPLATE_INSIGHTS.slug]}
    parity_rows = "\n".join(
        _parity_row(coder_panel, [panels_by_title[title] for title in titles])
        for coder_panel, titles in CODER_PAGE_PANELS.items()
    )
    sections = ["\n".join(_dashboard_section(info, panels_by_slug[info.slug])) for info in DASHBOARDS]
    return (
        "\n".join(
            (_INTRODUCTION.format(note=header, boards=dashboard_rows, parity=parity_rows), *sections)
        ).rstrip()
        + "\n"
    )


def _load_panels(info: DashboardInfo) -> Iterator[dict[str, Any]]:
    yield from iter_panels(load_dashboard(info.slug)["panels"])


def _anchor(info: DashboardInfo) -> str:
    return info.short_title.lower().replace(" ", "-")


def _display_title(panel: Mapping[str, Any]) -> str:
    return str(panel["title"]).replace("${parameter:text}", "Parameters usage")


def _one_line(description: str) -> str:
    return description.replace("**", "").replace("\n", " ")


def _parity_row(coder_panel: str, panels: list[dict[str, Any]]) -> str:
    titles = ", ".join(
        f"[{_display_title(panel)}](#{TEMPLATE_INSIGHTS.slug}-{panel['id']})" for panel in panels
    )
    return f"| {coder_panel} | {titles} | {_metric_names(panels)} |"


def _metric_names(panels: list[dict[str, Any]]) -> str:
    """Return the metrics of values, without those that only add names."""
    queried_names = (
        name
        for panel in panels
        for target in panel["targets"]
        for name in _METRIC_NAME.findall(target["expr"])
    )
    panel_metrics = {family.name for family in catalogue.FAMILIES if family.panel}
    return ", ".join(f"`{name}`" for name in dict.fromkeys(queried_names) if name in panel_metrics)


def _dashboard_section(info: DashboardInfo, panels: list[dict[str, Any]]) -> Iterator[str]:
    yield f"## {info.short_title}"
    yield ""
    yield info.description
    yield ""
    if (resource_folder("docs/images/dashboards") / f"{info.slug}.png").is_file():
        yield f"![{info.short_title}](images/dashboards/{info.slug}.png)"
        yield ""
    with_queries = info is TEMPLATE_INSIGHTS
    for panel in panels:
        description, _, unit_and_metrics = panel["description"].partition("\n\n")
        if not with_queries:
            yield f"- **{_display_title(panel)}.** {_one_line(description)} {unit_and_metrics}"
            continue
        yield f'<a id="{info.slug}-{panel["id"]}"></a>'
        yield ""
        yield f"**{_display_title(panel)}.** {_one_line(description)} {unit_and_metrics}"
        yield ""
        yield "```promql"
        yield from (target["expr"] for target in panel["targets"])
        yield "```"
        yield ""
    if not with_queries:
        yield ""
