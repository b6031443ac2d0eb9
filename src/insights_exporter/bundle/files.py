"""All files of the bundle, as text by path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from insights_exporter.bundle.adapting import adapted, as_text, renamed
from insights_exporter.bundle.alerts.writing import files as alert_files
from insights_exporter.bundle.boards import BOARDS, FOLDER_UID
from insights_exporter.bundle.choices import Choices, Form
from insights_exporter.bundle.shipped import shipped

__all__ = ["GENERATOR", "dashboards", "files", "provisioning"]

GENERATOR: Final = "insights-exporter bundle"
SCRAPE_INTERVAL: Final = "1m"
"""What Prometheus is told in the README; Grafana takes steps and rates from it."""

_NOTE: Final = f"# Written by `{GENERATOR}`; change its options, and not this file.\n"


def files(choices: Choices) -> dict[str, str]:
    """Return the text of each file by its path within the folder of the bundle."""
    alerts = alert_files(choices.site, generator=GENERATOR)
    found = {f"alerts/{path}": renamed(text, choices) for path, text in alerts.items()}
    made = dashboards(choices)
    if choices.form is Form.CONFIGMAP:
        return found | {"kubernetes/dashboards.yaml": _NOTE + _config_maps(made, choices)}
    found |= {f"dashboards/{slug}.json": as_text(dashboard) for slug, dashboard in made.items()}
    if choices.form is Form.PROVISIONING:
        pages = provisioning(choices)
        found |= {f"dashboards/provisioning/{path}": text for path, text in pages.items()}
    return found


def dashboards(choices: Choices) -> dict[str, dict[str, Any]]:
    """Return the dashboards by slug."""
    folder = shipped("dashboards")
    texts = {board.slug: (folder / f"{board.slug}.json").read_text(encoding="utf-8") for board in BOARDS}
    return {slug: adapted(json.loads(text), choices) for slug, text in texts.items()}


def provisioning(choices: Choices) -> dict[str, str]:
    """Return what tells Grafana where the dashboards are, and where Prometheus is if that is known."""
    provider = {
        "name": choices.prefix,
        "orgId": 1,
        "folder": choices.folder,
        "folderUid": choices.prefix,
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": choices.mounted_at},
    }
    found = {f"dashboards/{choices.prefix}.yaml": _yaml({"apiVersion": 1, "providers": [provider]})}
    if choices.prometheus_url:
        found[f"datasources/{choices.prefix}.yaml"] = _yaml(_source(choices))
    return {path: _NOTE + text for path, text in found.items()}


def _source(choices: Choices) -> dict[str, Any]:
    source = {
        "name": "Prometheus",
        "uid": choices.site.datasource,
        "orgId": 1,
        "type": "prometheus",
        "access": "proxy",
        "url": choices.prometheus_url,
        "editable": False,
        "jsonData": {"httpMethod": "POST", "timeInterval": SCRAPE_INTERVAL},
    }
    return {"apiVersion": 1, "datasources": [source]}


def _config_maps(made: Mapping[str, Mapping[str, Any]], choices: Choices) -> str:
    return "---\n".join(_yaml(document) for document in _maps(made, choices))


def _maps(made: Mapping[str, Mapping[str, Any]], choices: Choices) -> Iterator[dict[str, Any]]:
    for slug, dashboard in made.items():
        text = json.dumps(dashboard, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{choices.prefix}-{slug}".replace("_", "-"),
                "namespace": choices.site.namespace,
                "labels": {"grafana_dashboard": "1", "app.kubernetes.io/name": "insights-exporter"},
                "annotations": {"grafana_folder": choices.folder},
            },
            # Two sets may be mounted into one folder, so their files must differ.
            "data": {
                f"{choices.prefix}-{slug}.json" if choices.prefix != FOLDER_UID else f"{slug}.json": text
            },
        }


def _yaml(document: Mapping[str, Any]) -> str:
    written: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
    return written
