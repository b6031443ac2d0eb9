"""All files of the bundle, as text by path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts.writing import alert_files as alert_files
from insights_exporter.bundle.customize import customize_dashboard, dashboard_json, rewrite_uids
from insights_exporter.bundle.options import BundleOptions, DashboardFormat
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_UID
from insights_exporter.bundle.shipped import resource_folder

__all__ = ["GENERATOR_COMMAND", "bundle_files", "customized_dashboards", "provisioning_files"]

GENERATOR_COMMAND: Final = "insights-exporter bundle"
SCRAPE_INTERVAL: Final = "1m"
"""What Prometheus is told in the README; Grafana takes steps and rates from it."""

_HEADER: Final = f"# Written by `{GENERATOR_COMMAND}`; change its options, and not this file.\n"


def bundle_files(options: BundleOptions) -> dict[str, str]:
    """Return the text of each file by its path within the folder of the bundle."""
    alerts_by_path = alert_files(options.install, generator=GENERATOR_COMMAND)
    rendered = {f"alerts/{path}": rewrite_uids(text, options) for path, text in alerts_by_path.items()}
    dashboards_by_slug = customized_dashboards(options)
    if options.format is DashboardFormat.CONFIGMAP:
        return rendered | {
            "kubernetes/dashboards.yaml": _HEADER + _config_map_documents(dashboards_by_slug, options)
        }
    rendered |= {
        f"dashboards/{slug}.json": dashboard_json(dashboard) for slug, dashboard in dashboards_by_slug.items()
    }
    if options.format is DashboardFormat.PROVISIONING:
        provisioning_by_path = provisioning_files(options)
        rendered |= {f"dashboards/provisioning/{path}": text for path, text in provisioning_by_path.items()}
    return rendered


def customized_dashboards(options: BundleOptions) -> dict[str, dict[str, Any]]:
    """Return the dashboards by slug."""
    folder = resource_folder("dashboards")
    json_by_slug = {
        info.slug: (folder / f"{info.slug}.json").read_text(encoding="utf-8") for info in DASHBOARDS
    }
    return {slug: customize_dashboard(json.loads(text), options) for slug, text in json_by_slug.items()}


def provisioning_files(options: BundleOptions) -> dict[str, str]:
    """Return what tells Grafana where the dashboards are, and where Prometheus is if that is known."""
    provider = {
        "name": options.prefix,
        "orgId": 1,
        "folder": options.folder,
        "folderUid": options.prefix,
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": options.mount_path},
    }
    documents = {f"dashboards/{options.prefix}.yaml": _to_yaml({"apiVersion": 1, "providers": [provider]})}
    if options.prometheus_url:
        documents[f"datasources/{options.prefix}.yaml"] = _to_yaml(_datasource_document(options))
    return {path: _HEADER + text for path, text in documents.items()}


def _datasource_document(options: BundleOptions) -> dict[str, Any]:
    datasource = {
        "name": "Prometheus",
        "uid": options.install.datasource,
        "orgId": 1,
        "type": "prometheus",
        "access": "proxy",
        "url": options.prometheus_url,
        "editable": False,
        "jsonData": {"httpMethod": "POST", "timeInterval": SCRAPE_INTERVAL},
    }
    return {"apiVersion": 1, "datasources": [datasource]}


def _config_map_documents(dashboards_by_slug: Mapping[str, Mapping[str, Any]], options: BundleOptions) -> str:
    return "---\n".join(_to_yaml(document) for document in _config_map_manifests(dashboards_by_slug, options))


def _config_map_manifests(
    dashboards_by_slug: Mapping[str, Mapping[str, Any]], options: BundleOptions
) -> Iterator[dict[str, Any]]:
    for slug, dashboard in dashboards_by_slug.items():
        text = json.dumps(dashboard, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{options.prefix}-{slug}".replace("_", "-"),
                "namespace": options.install.namespace,
                "labels": {"grafana_dashboard": "1", "app.kubernetes.io/name": "insights-exporter"},
                "annotations": {"grafana_folder": options.folder},
            },
            # Two sets may be mounted into one folder, so their files must differ.
            "data": {
                f"{options.prefix}-{slug}.json" if options.prefix != FOLDER_UID else f"{slug}.json": text
            },
        }


def _to_yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
    return text
