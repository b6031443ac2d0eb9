"""Adapt the packaged dashboards to an installation, without their generator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.options import BundleOptions, DashboardFormat
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_UID, iter_panels

__all__ = ["DATASOURCE_INPUT", "customize_dashboard", "dashboard_json", "rewrite_uids"]

DATASOURCE_INPUT: Final = "DS_PROMETHEUS"
"""Name of the input that Grafana asks for when a dashboard is imported."""

_QUERY_KEYS: Final = frozenset({"expr", "query", "definition"})
_SELECTOR: Final = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\{")
_BARE_METRIC: Final = re.compile(r"^label_values\((\w+), (\w+)\)$")
_MIN_GRAFANA_VERSION: Final = "10.0.0"
_TARGET_VARIABLES: Final = frozenset({"job", "instance"})
_VISIBLE: Final = 0


def customize_dashboard(dashboard: Mapping[str, Any], options: BundleOptions) -> dict[str, Any]:
    """Return a dashboard with the uids, matchers, variables and data source of an installation."""
    customized: dict[str, Any] = _map_strings(
        dashboard, "", lambda key, text: _customize_string(key, text, options)
    )
    customized["tags"] = [options.prefix if tag == FOLDER_UID else tag for tag in customized["tags"]]
    for link in customized["links"]:
        link["tags"] = [options.prefix if tag == FOLDER_UID else tag for tag in link["tags"]]
    variables = customized["templating"]["list"]
    if options.cluster_label:
        variables.insert(1, _cluster_variable(options.cluster_label, variables))
    if options.show_targets:
        for variable in variables:
            if variable["name"] in _TARGET_VARIABLES:
                variable["hide"] = _VISIBLE
    if options.format is DashboardFormat.IMPORT:
        _set_default_datasource(customized, f"${{{DATASOURCE_INPUT}}}", "Prometheus")
        return {
            "__elements": {},
            "__inputs": [_input_declaration()],
            "__requires": _requirements(customized),
            **customized,
        }
    if options.install.datasource != InstallOptions().datasource:
        _set_default_datasource(customized, options.install.datasource, options.install.datasource)
    return customized


def rewrite_uids(text: str, options: BundleOptions) -> str:
    """Return a text with the dashboard uids of an installation."""
    for info in DASHBOARDS if options.prefix != FOLDER_UID else ():
        text = text.replace(info.uid, f"{options.prefix}-{info.slug}")
    return text


def _map_strings(node: Any, key: str, transform: Callable[[str, str], str]) -> Any:
    if isinstance(node, dict):
        return {name: _map_strings(value, name, transform) for name, value in node.items()}
    if isinstance(node, list):
        return [_map_strings(value, key, transform) for value in node]
    return transform(key, node) if isinstance(node, str) else node


def _customize_string(key: str, text: str, options: BundleOptions) -> str:
    text = rewrite_uids(text, options)
    if key == "url":
        return _customize_url(text, options)
    matchers = list(options.matchers)
    if options.cluster_label:
        # One value: sums and maxima of the queries keep no label that tells deployments apart.
        matchers.append(f'{options.cluster_label}="${options.cluster_label}"')
    if key not in _QUERY_KEYS or not matchers:
        return text
    selector = ", ".join(matchers)
    text = _BARE_METRIC.sub(lambda match: f"label_values({match[1]}{{{selector}}}, {match[2]})", text)
    if f"{{{selector}}}" in text:
        return text
    return _SELECTOR.sub(lambda match: f"{match[1]}{{{selector}, ", text)


def _customize_url(url: str, options: BundleOptions) -> str:
    """Return a link with the runbooks of an installation, which carries the selected cluster."""
    url = url.replace(InstallOptions().runbook_url, options.install.runbook_url)
    if options.cluster_label and "${datasource:queryparam}" in url:
        parameter = f"${{{options.cluster_label}:queryparam}}"
        url = url.replace("${datasource:queryparam}", f"${{datasource:queryparam}}&{parameter}")
    return url


def _cluster_variable(label: str, variables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a variable with the values of a label of the exporter's targets; one value is selected."""
    (job,) = (variable for variable in variables if variable["name"] == "job")
    metric, _, _ = job["query"].removeprefix("label_values(").partition("{")
    query = f"label_values({metric.partition(',')[0]}, {label})"
    excluded = ("allValue", "current", "hide")
    inherited = {key: value for key, value in job.items() if key not in excluded}
    return inherited | {
        "name": label,
        "label": label.replace("_", " ").capitalize(),
        "query": query,
        "definition": query,
        "multi": False,
        "includeAll": False,
    }


def _set_default_datasource(dashboard: dict[str, Any], uid: str, display_name: str) -> None:
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "datasource":
            variable["current"] = {"selected": True, "text": display_name, "value": uid}


def _input_declaration() -> dict[str, str]:
    return {
        "name": DATASOURCE_INPUT,
        "label": "Prometheus",
        "description": "The Prometheus that scrapes the exporter.",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }


def _requirements(dashboard: Mapping[str, Any]) -> list[dict[str, str]]:
    panel_types = sorted({panel["type"] for panel in iter_panels(dashboard["panels"])})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _MIN_GRAFANA_VERSION},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *(
            {"type": "panel", "id": panel_type, "name": panel_type, "version": ""}
            for panel_type in panel_types
        ),
    ]


def dashboard_json(dashboard: Mapping[str, Any]) -> str:
    """Return the text of a dashboard file."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
