"""Annotations of alerts: texts, and links to the runbook and to the panel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink
from insights_exporter.bundle.registry import DASHBOARDS, iter_panels, load_dashboard

__all__ = ["alert_annotations", "dashboard_url", "panel_id", "runbook_url"]

_DASHBOARDS_BY_SLUG: Final = {info.slug: info for info in DASHBOARDS}


def alert_annotations(alert: Alert, options: InstallOptions) -> dict[str, str]:
    """Return the annotations of an alert."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook_url(alert, options),
        "dashboard_url": dashboard_url(alert.panel, options),
    }


def runbook_url(alert: Alert, options: InstallOptions) -> str:
    """Return the URL of an alert's runbook."""
    return f"{options.runbook_url.rstrip('/')}/{alert.name}.md"


def dashboard_url(panel: PanelLink, options: InstallOptions, *, labels: bool = True) -> str:
    """Return the URL of a panel; with ``labels``, labels of the alert set the dashboard's variables."""
    target_variables = {label: label for label in options.target_labels}
    variables = {**target_variables, **panel.labels_by_variable} if labels else {}
    query_parameters = "".join(
        f"&var-{variable}={{{{ $labels.{label} | urlquery }}}}" for variable, label in variables.items()
    )
    path = _DASHBOARDS_BY_SLUG[panel.dashboard].path
    return f"{options.grafana_url.rstrip('/')}{path}?viewPanel={panel_id(panel)}{query_parameters}"


def panel_id(panel: PanelLink) -> int:
    """Return the id of a panel in its dashboard; raise ValueError for an unknown title."""
    panel_ids = _panel_ids(panel.dashboard)
    if panel.title not in panel_ids:
        raise ValueError(
            f"Expected a panel of {panel.dashboard} ({', '.join(panel_ids)}), got {panel.title!r}."
        )
    return panel_ids[panel.title]


@cache
def _panel_ids(slug: str) -> Mapping[str, int]:
    """Return panel ids by title; if two panels share a title, the last one, which shows the time series."""
    return {panel["title"]: panel["id"] for panel in iter_panels(load_dashboard(slug)["panels"])}
