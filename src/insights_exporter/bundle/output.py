"""The files of ``insights-exporter bundle``: dashboards, their provisioning, and alerts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts.renderers import alert_files
from insights_exporter.bundle.customize import (
    BundleOptions,
    DashboardFormat,
    add_arguments,
    bundle_options_from_args,
    customize_dashboard,
    dashboard_json,
    rewrite_uids,
)
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_UID, load_dashboard
from insights_exporter.errors import ConfigError

__all__ = [
    "GENERATOR_COMMAND",
    "add_bundle_arguments",
    "bundle_files",
    "customized_dashboards",
    "provisioning_files",
    "run_bundle",
]

GENERATOR_COMMAND: Final = "insights-exporter bundle"
SCRAPE_INTERVAL: Final = "1m"
"""Scrape interval of the README's configuration; Grafana derives steps and rate intervals from it."""

_HEADER: Final = f"# Written by `{GENERATOR_COMMAND}`; change its options, and not this file.\n"


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="output folder; it can exist"
    )
    add_arguments(parser)
    parser.set_defaults(run=run_bundle)


def run_bundle(args: argparse.Namespace) -> int:
    """Write all files; raise ConfigError for an invalid option or an unusable folder."""
    rendered = bundle_files(bundle_options_from_args(args))
    try:
        _write_files(args.output, rendered)
    except OSError as error:
        failed_path = error.filename or args.output
        raise ConfigError(
            f"--output: expected a writable folder, got {failed_path}: {error.strerror}"
        ) from None
    sys.stdout.write(f"{len(rendered)} files were written to {args.output}.\n")
    return 0


def _write_files(folder: Path, rendered: Mapping[str, str]) -> None:
    for relative_path, text in rendered.items():
        file = folder / relative_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def bundle_files(options: BundleOptions) -> dict[str, str]:
    """Return the text of each file by its path in the folder of the bundle."""
    alerts_by_path = alert_files(options.install)
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
    return {info.slug: customize_dashboard(load_dashboard(info.slug), options) for info in DASHBOARDS}


def provisioning_files(options: BundleOptions) -> dict[str, str]:
    """Return the provisioning files: the dashboard provider, and the data source if its URL is known."""
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
            # Two sets can be mounted into one folder, so the file names must differ.
            "data": {
                f"{options.prefix}-{slug}.json" if options.prefix != FOLDER_UID else f"{slug}.json": text
            },
        }


def _to_yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
    return text
