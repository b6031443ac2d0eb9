"""Kubernetes' own schemas, and those of the operators' resources: what an API server accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

__all__ = ["VERSIONS", "containers", "manifests", "pod_specs", "problems"]

VERSIONS: Final = ("1.25", "1.31", "1.37")
"""The oldest Kubernetes of the chart, one between, and the newest that the schemas know."""

_CRDS: Final = Path(__file__).parent / "crds"


def manifests(path: Path) -> list[dict[str, Any]]:
    """Return the manifests of a file."""
    return [one for one in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) if one]


def problems(manifest: dict[str, Any], version: str) -> list[str]:
    """Return what an API server of that version would reject; unknown fields count."""
    kind, api = manifest["kind"], manifest["apiVersion"]
    custom = _CRDS / f"{api.replace('/', '_')}.yaml"
    if custom.is_file():
        validator = Draft202012Validator(yaml.safe_load(custom.read_text(encoding="utf-8"))[kind])
        found = validator.iter_errors(manifest["spec"])
    else:
        found = _validator(kind.lower(), _file_part(api), version).iter_errors(manifest)
    return [f"{kind}/{manifest['metadata']['name']}: {error.json_path}: {error.message}" for error in found]


def _file_part(api: str) -> str:
    group, slash, name = api.partition("/")
    return f"{group.partition('.')[0]}-{name}" if slash else group


@cache
def _validator(kind: str, api: str, version: str) -> Draft202012Validator:
    package = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed.")
    folder = files(package) / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    schema = json.loads((folder / f"{kind}-{api}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, registry=_definitions(str(folder / "_definitions.json")))


@cache
def _definitions(path: str) -> Registry[Any]:
    contents = json.loads(Path(path).read_text(encoding="utf-8"))
    resource = Resource.from_contents(contents, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("_definitions.json", resource)
    return registry


def pod_specs(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pod specifications of a manifest, at whatever depth."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Pod":
        yield spec
    elif manifest["kind"] == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]["spec"]
    elif "template" in spec:
        yield spec["template"]["spec"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all containers of a pod, init containers included."""
    return [*pod.get("initContainers", ()), *pod["containers"]]
