"""The plain manifests: rendered from the chart, and built by kustomize."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kubernetes import VERSIONS, problems
from tools.chart.manifests import manifest_files
from tools.chart.paths import DASHBOARDS, MANIFESTS


def test_manifests_are_what_the_chart_renders(helm: Path) -> None:
    """`make generate` writes them anew."""
    files = manifest_files(helm)

    assert [path.name for path, text in files.items() if path.read_text(encoding="utf-8") != text] == []


@pytest.mark.parametrize("folder", ["base", "prometheus-operator"])
def test_each_manifest_belongs_to_its_kustomization(folder: str) -> None:
    kustomization = yaml.safe_load((MANIFESTS / folder / "kustomization.yaml").read_text(encoding="utf-8"))
    listed = {*kustomization["resources"]}
    for generator in kustomization.get("configMapGenerator", ()):
        listed |= set(generator["files"])

    assert listed == {path.name for path in (MANIFESTS / folder).iterdir()} - {"kustomization.yaml"}


def _build(kustomize: Path, folder: str) -> list[dict[str, Any]]:
    command = [str(kustomize), "build", str(MANIFESTS / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def test_the_example_is_whole(kustomize: Path) -> None:
    found = _build(kustomize, "example")
    kinds = [one["kind"] for one in found]
    (config,) = (one for one in found if "exporter.yaml" in one.get("data", {}))
    (workload,) = (one for one in found if one["kind"] == "Deployment")
    volumes = {one["name"]: one for one in workload["spec"]["template"]["spec"]["volumes"]}
    operator = [one for one in found if one["apiVersion"].startswith("monitoring.coreos.com/")]

    assert {"Deployment", "NetworkPolicy", "PrometheusRule", "Service", "ServiceMonitor"} <= set(kinds)
    assert kinds.count("ConfigMap") == 1 + len(list(DASHBOARDS.glob("*.json")))
    assert {one["metadata"]["namespace"] for one in found} == {"monitoring"}
    assert {one["metadata"]["labels"]["release"] for one in operator} == {"prometheus"}
    # The generated name has a hash; a changed configuration restarts the pods.
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"] != "insights-exporter"
    assert [one for manifest in found for one in problems(manifest, VERSIONS[-1])] == []


def test_the_base_is_the_exporter_alone(kustomize: Path) -> None:
    assert sorted(one["kind"] for one in _build(kustomize, "base")) == [
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "Service",
        "ServiceAccount",
    ]
