"""Where an alert leads: to the panel that shows it, and to the page that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from insights_exporter.bundle.alerts.model import Alert, Panel
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import BOARDS
from insights_exporter.bundle.shipped import shipped

__all__ = ["dashboard_url", "notes", "panel_id", "runbook_url"]

_BOARDS: Final = {board.slug: board for board in BOARDS}


def notes(alert: Alert, site: Site) -> dict[str, str]:
    """Return what a notification says, and its links."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook_url(alert, site),
        "dashboard_url": dashboard_url(alert.panel, site),
    }


def runbook_url(alert: Alert, site: Site) -> str:
    """Return the address of an alert's runbook."""
    return f"{site.runbook_url.rstrip('/')}/{alert.name}.md"


def dashboard_url(panel: Panel, site: Site, *, labels: bool = True) -> str:
    """Return the address of a panel, with the dashboard's variables filled from labels."""
    variables = {"job": "job", **panel.variables} if labels else {}
    filled = "".join(
        f"&var-{variable}={{{{ $labels.{label} | urlquery }}}}" for variable, label in variables.items()
    )
    path = _BOARDS[panel.dashboard].path
    return f"{site.grafana_url.rstrip('/')}{path}?viewPanel={panel_id(panel)}{filled}"


def panel_id(panel: Panel) -> int:
    """Return the number of a panel in its dashboard; raise ValueError where there is none of that title."""
    found = _titles(panel.dashboard)
    if panel.title not in found:
        raise ValueError(f"Expected a panel {panel.title!r} in {panel.dashboard}, found {', '.join(found)}.")
    return found[panel.title]


@cache
def _titles(slug: str) -> Mapping[str, int]:
    """Return the panels of a dashboard; of two with one title the later one, which shows the course."""
    text = (shipped("dashboards") / f"{slug}.json").read_text(encoding="utf-8")
    return {panel["title"]: panel["id"] for panel in _panels(json.loads(text)["panels"])}


def _panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        if panel["type"] != "row":
            yield panel
        yield from _panels(panel.get("panels", []))
