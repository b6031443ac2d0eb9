"""Golden outputs of the chart and the plain manifests, both rendered by Helm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from tools.chart.helm import documents, render
from tools.chart.paths import DASHBOARDS, GOLDENS, MANIFESTS, VALUE_FILES

__all__ = ["abridged", "golden_files", "golden_name", "manifest_files", "value_files"]

_HEADER: Final = "# Written by `make generate` from the Helm chart; do not edit.\n"
_VALUES: Final = Path(__file__).with_name("kubernetes-values.yaml")
"""Values that the plain manifests are rendered with."""

_HELM_LABELS: Final = ("helm.sh/chart", "app.kubernetes.io/managed-by")


def value_files() -> list[Path]:
    """Return the value files that have golden outputs."""
    return sorted(VALUE_FILES.glob("*-values.yaml"))


def golden_name(values: Path) -> str:
    """Return the file name of the golden output of a value file."""
    return f"{values.name.removesuffix('-values.yaml')}.yaml"


def golden_files(helm: Path) -> dict[Path, str]:
    """Return the golden outputs of all value files."""
    return {
        GOLDENS / golden_name(values): _HEADER + abridged(render(helm, "--values", str(values)))
        for values in value_files()
    }


def abridged(text: str) -> str:
    """Return rendered manifests without what other tests compare: dashboards and the bodies of rules."""
    return _dumped([_abridged(document) for document in documents(text)])


def _abridged(document: dict[str, Any]) -> dict[str, Any]:
    if document["kind"] == "PrometheusRule":
        for group in document["spec"]["groups"]:
            for rule in group["rules"]:
                rule["expr"] = "(left out)"
                rule.pop("annotations", None)
    if document["kind"] == "ConfigMap":
        for name, text in document.get("data", {}).items():
            source = DASHBOARDS / name
            if name.endswith(".json") and source.is_file():
                is_copy = text.strip() == source.read_text(encoding="utf-8").strip()
                document["data"][name] = f"(dashboards/{name}, {'unchanged' if is_copy else 'changed'})"
    return document


def _dumped(found: list[dict[str, Any]]) -> str:
    return yaml.dump_all(found, Dumper=_Dumper, sort_keys=False, width=110, explicit_start=True)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, as people write manifests, and repeats what occurs twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class names it
        """Write no aliases."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def manifest_files(helm: Path) -> dict[Path, str]:
    """Return the plain manifests, one resource a file, without what only Helm needs.

    Resources of the Prometheus operator have their own folder, as not every cluster knows them.
    """
    files: dict[Path, str] = {}
    for document in documents(render(helm, "--values", str(_VALUES))):
        kind = document["kind"].lower()
        if kind == "configmap":
            # kustomize makes the ConfigMap, with a hash in its name that restarts the pods.
            files |= {MANIFESTS / "base" / name: _HEADER + text for name, text in document["data"].items()}
            continue
        is_operator = document["apiVersion"].startswith("monitoring.coreos.com/")
        folder = "prometheus-operator" if is_operator else "base"
        files[MANIFESTS / folder / f"{kind}.yaml"] = _HEADER + _dumped([_plain(document)])
    return files


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest without Helm's labels, and without the namespace, which kustomize sets."""
    document["metadata"].pop("namespace", None)
    for label in _HELM_LABELS:
        document["metadata"].get("labels", {}).pop(label, None)
    spec = document.get("spec", {})
    spec.pop("namespaceSelector", None)
    spec.get("template", {}).get("metadata", {}).get("annotations", {}).pop("checksum/config", None)
    return document
