"""The page that says which panel of Coder's page is which panel here, and what each of ours asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from insights_exporter.bundle.registry import DASHBOARDS, TEMPLATE_INSIGHTS, DashboardInfo
from insights_exporter.bundle.shipped import resource_folder
from insights_exporter.metrics import catalogue

__all__ = ["CODER_PAGE_PANELS", "dashboards_page"]

CODER_PAGE_PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Active users": ("Daily active users", "Weekly active users"),
    "Latency by user": ("Latency by user",),
    "App & IDE Usage": ("App & IDE Usage",),
    "Activity by user": ("Activity by user",),
    "Parameters usage": ("Parameters usage",),
}
"""The panels of Coder's page, as the catalogue names them, and those that stand for them."""

_INTRODUCTION: Final = """\
# Dashboards

{note}

Seven dashboards for Grafana 10 to 13, made of the metrics in [metrics.md](metrics.md). How to install them
is in [grafana.md](grafana.md).

| Dashboard | What it answers |
|---|---|
{boards}

At the top of each one chooses the data source, jobs and instances of the exporter, and where it applies
organizations, templates and the window of time that Coder sums up (`today`, `yesterday`, `7d`, `30d`).
Links between the dashboards keep the choice and the range. Firing alerts are marked in graphs.

## Coder's page and its panels here

The page *Template Insights* of Coder's web interface shows one template. The dashboard of the same name
shows the same numbers, sorted, rounded and divided as there, and keeps their history.

| On Coder's page | Here | Metrics |
|---|---|---|
{parity}

What differs, on purpose:

- Days and weeks are those of UTC, or of `insights.utc_offset`.
- A user whose latency was never measured has "no data", where Coder's page says -1ms in green. The 95th
  percentile stands beside the median.
- Options that nobody chose show 0; Coder's page cannot show them. Texts that users typed freely are left
  out unless `privacy.parameter_free_text` is set.
- Milliseconds stay milliseconds, also from 1000 on.
"""

_METRIC_NAME: Final = re.compile(r"\b(coder_insights_\w+|process_\w+|up)\b")


def dashboards_page(header: str) -> str:
    """Return the page."""
    panels_by_slug = {info.slug: list(_load_panels(info)) for info in DASHBOARDS}
    dashboard_rows = "\n".join(
        f"| [{_display_name(info)}](#{_anchor(info)}) | {info.description} |" for info in DASHBOARDS
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
    text = (resource_folder("dashboards") / f"{info.slug}.json").read_text(encoding="utf-8")
    yield from (panel for panel in json.loads(text)["panels"] if panel["type"] != "row")


def _display_name(info: DashboardInfo) -> str:
    return info.title.removeprefix("Coder / ")


def _anchor(info: DashboardInfo) -> str:
    return _display_name(info).lower().replace(" ", "-")


def _parity_row(coder_panel: str, panels: list[dict[str, Any]]) -> str:
    titles = ", ".join(f"[{panel['title']}](#{TEMPLATE_INSIGHTS.slug}-{panel['id']})" for panel in panels)
    return f"| {coder_panel} | {titles} | {_metric_names(panels)} |"


def _metric_names(panels: list[dict[str, Any]]) -> str:
    """Return the metrics that hold the numbers, without those that only add names."""
    queried_names = (
        name
        for panel in panels
        for target in panel["targets"]
        for name in _METRIC_NAME.findall(target["expr"])
    )
    panel_metrics = {family.name for family in catalogue.FAMILIES if family.panel}
    return ", ".join(f"`{name}`" for name in dict.fromkeys(queried_names) if name in panel_metrics)


def _dashboard_section(info: DashboardInfo, panels: list[dict[str, Any]]) -> Iterator[str]:
    yield f"## {_display_name(info)}"
    yield ""
    yield info.description
    yield ""
    if (resource_folder("docs/images/dashboards") / f"{info.slug}.png").is_file():
        yield f"![{_display_name(info)}](images/dashboards/{info.slug}.png)"
        yield ""
    with_queries = info is TEMPLATE_INSIGHTS
    for panel in panels:
        description, _, unit_and_metrics = panel["description"].partition("\n\n")
        if not with_queries:
            yield f"- **{panel['title']}.** {description} {unit_and_metrics}"
            continue
        yield f'<a id="{info.slug}-{panel["id"]}"></a>'
        yield ""
        yield f"**{panel['title']}.** {description} {unit_and_metrics}"
        yield ""
        yield "```promql"
        yield from (target["expr"] for target in panel["targets"])
        yield "```"
        yield ""
    if not with_queries:
        yield ""
