"""Where an alert leads: to the panel that shows it, and to the page that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink
from insights_exporter.bundle.registry import DASHBOARDS
from insights_exporter.bundle.shipped import resource_folder

__all__ = ["alert_annotations", "dashboard_url", "panel_id", "runbook_url"]

_DASHBOARDS_BY_SLUG: Final = {board.slug: board for board in DASHBOARDS}


def alert_annotations(alert: Alert, options: InstallOptions) -> dict[str, str]:
    """Return what a notification says, and its links."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook_url(alert, options),
        "dashboard_url": dashboard_url(alert.panel, options),
    }


def runbook_url(alert: Alert, options: InstallOptions) -> str:
    """Return the address of an alert's runbook."""
    return f"{options.runbook_url.rstrip('/')}/{alert.name}.md"


def dashboard_url(panel: PanelLink, options: InstallOptions, *, labels: bool = True) -> str:
    """Return the address of a panel, with the dashboard's variables filled from labels."""
    variables = {"job": "job", **panel.labels_by_variable} if labels else {}
    query_parameters = "".join(
        f"&var-{variable}={{{{ $labels.{label} | urlquery }}}}" for variable, label in variables.items()
    )
    path = _DASHBOARDS_BY_SLUG[panel.dashboard].path
    return f"{options.grafana_url.rstrip('/')}{path}?viewPanel={panel_id(panel)}{query_parameters}"


def panel_id(panel: PanelLink) -> int:
    """Return the number of a panel in its dashboard; raise ValueError where there is none of that title."""
    panel_ids = _panel_ids(panel.dashboard)
    if panel.title not in panel_ids:
        raise ValueError(
            f"Expected a panel {panel.title!r} in {panel.dashboard}, found {', '.join(panel_ids)}."
        )
    return panel_ids[panel.title]


@cache
def _panel_ids(slug: str) -> Mapping[str, int]:
    """Return the panels of a dashboard; of two with one title the later one, which shows the course."""
    text = (resource_folder("dashboards") / f"{slug}.json").read_text(encoding="utf-8")
    return {panel["title"]: panel["id"] for panel in _flatten_panels(json.loads(text)["panels"])}


def _flatten_panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        if panel["type"] != "row":
            yield panel
        yield from _flatten_panels(panel.get("panels", []))
