"""Every golden output is accepted by Kubernetes, and every pod in it is hardened. Helm is not needed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.deploy.kubernetes import VERSIONS, containers, manifests, pod_specs, problems
from tools.chart.manifests import golden_name, value_files
from tools.chart.paths import GOLDENS, MANIFESTS

_FILES: Final = sorted(GOLDENS.glob("*.yaml"))
_PLAIN: Final = sorted(
    path for path in MANIFESTS.glob("*/*.yaml") if path.name not in ("kustomization.yaml", "exporter.yaml")
)
_EXTERNAL: Final = ("wait", "proxy")
"""Containers that a value file adds; the chart does not harden them."""


def test_each_value_file_has_a_golden_output() -> None:
    assert {path.name for path in _FILES} == {golden_name(path) for path in value_files()}
    assert len(_FILES) >= 12


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", [*_FILES, *_PLAIN], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_kubernetes_accepts_it(path: Path, version: str) -> None:
    assert [one for manifest in manifests(path) for one in problems(manifest, version)] == []


def test_the_schemas_find_mistakes() -> None:
    """The validation itself works: an unknown field and a wrong type are found, in custom resources too."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"ports": [{"port": "x"}], "prots": []},
    }
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "a"},
        "spec": {"selector": {}, "endpoints": [{"prot": "http"}]},
    }

    assert len(problems(service, VERSIONS[-1])) == 2
    assert len(problems(monitor, VERSIONS[-1])) == 1


def _pods(path: Path) -> list[dict[str, Any]]:
    return [pod for manifest in manifests(path) for pod in pod_specs(manifest)]


@pytest.mark.parametrize("path", [*_FILES, *_PLAIN], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_pods_meet_the_restricted_standard(path: Path) -> None:
    """The rules of Kubernetes' pod security standard `restricted`, and a read-only file system."""
    for pod in _pods(path):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in containers(pod):
            if container["name"] not in _EXTERNAL:
                _check_container(container)


def _check_container(container: dict[str, Any]) -> None:
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["privileged"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_only_the_rotation_talks_to_the_api_server(path: Path) -> None:
    roles = [one for one in manifests(path) if one["kind"] in ("Role", "ClusterRole")]

    assert [one["metadata"]["name"] for one in roles] == (
        ["insights-exporter-token-rotation"] if path.stem == "cron-jobs" else []
    )
    for role in roles:
        (rule,) = role["rules"]
        assert rule["resources"] == ["secrets"]
        assert rule["resourceNames"] == ["coder-token"]
        assert rule["verbs"] == ["get", "patch"]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_no_secret_is_in_a_config_map(path: Path) -> None:
    config_maps = str([one.get("data") for one in manifests(path) if one["kind"] == "ConfigMap"])

    assert "of-the-tests" not in config_maps
    assert "demotoken" not in config_maps


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_services_and_policies_select_the_exporter_alone(path: Path) -> None:
    """A job's or the demo's pod must never receive scrapes: its labels differ from every selector."""
    found = manifests(path)
    workload = next(one for one in found if one["kind"] in ("Deployment", "StatefulSet"))
    selector = workload["spec"]["selector"]["matchLabels"]
    others = [
        one["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        for one in found
        if one["kind"] == "CronJob"
    ]

    assert selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    assert not any(selector.items() <= labels.items() for labels in others)
    for one in found:
        if one["kind"] in ("Service", "ServiceMonitor", "PodMonitor", "PodDisruptionBudget"):
            chosen = one["spec"]["selector"]
            assert chosen.get("matchLabels", chosen) is not None


def test_two_replicas_stay_apart() -> None:
    found = manifests(GOLDENS / "high-availability.yaml")
    (workload,) = (one for one in found if one["kind"] == "Deployment")
    (budget,) = (one for one in found if one["kind"] == "PodDisruptionBudget")
    (term,) = workload["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]

    assert workload["spec"]["replicas"] == 2
    assert term["labelSelector"] == workload["spec"]["selector"] == budget["spec"]["selector"]
    assert budget["spec"]["maxUnavailable"] == 1
