"""Paths and flags that the chart uses exist: in the image's Dockerfile, and in the program's help."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final

import pytest

from tests.deploy.kubernetes import containers, manifests, pod_specs
from tools.chart.paths import GOLDENS, ROOT

_DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")
_OURS: Final = "insights-exporter/insights-exporter"

_MOUNTED_OVER: Final = frozenset(
    {"/tmp", "/run/insights-exporter", "/opt/rotation", "/etc/company"}  # noqa: S108 - a pod's own
)
"""Folders that no program of the image owns: the container runtime makes them."""


def _found() -> list[tuple[str, dict[str, Any]]]:
    return [
        (path.stem, container)
        for path in sorted(GOLDENS.glob("*.yaml"))
        for manifest in manifests(path)
        for pod in pod_specs(manifest)
        for container in containers(pod)
        if "insights-exporter" in container["image"]
    ]


def _image_folders() -> set[str]:
    """Return the folders that the Dockerfile makes."""
    made = re.findall(r"(?:mkdir -p |install -d (?:-\w \S+ )+)(/\S+)", _DOCKERFILE)
    return {*made, *re.findall(r"^COPY --from=build \S+ (/\S+)$", _DOCKERFILE, re.MULTILINE)}


def test_mounts_are_in_folders_of_the_image() -> None:
    mounts = {mount["mountPath"] for _, container in _found() for mount in container.get("volumeMounts", ())}
    folders = _image_folders()
    service_account = "/var/run/secrets/kubernetes.io/serviceaccount"

    assert {"/etc/insights-exporter", "/var/lib/insights-exporter"} <= folders
    assert [
        path
        for path in sorted(mounts - _MOUNTED_OVER - {service_account})
        if not any(PurePosixPath(path).is_relative_to(folder) for folder in folders)
    ] == []


def test_files_of_the_configuration_are_mounted() -> None:
    """Each path in an exporter.yaml is below a mount of the pods that read it."""
    for path in sorted(GOLDENS.glob("*.yaml")):
        found = manifests(path)
        texts = [one["data"]["exporter.yaml"] for one in found if "exporter.yaml" in one.get("data", {})]
        named = {name for text in texts for name in re.findall(r"_file: (/\S+)", text)}
        (workload,) = (
            one
            for one in found
            if one["kind"] in ("Deployment", "StatefulSet")
            and one["metadata"]["labels"].get("app.kubernetes.io/component") == "exporter"
        )
        mounts = [mount["mountPath"] for mount in _exporter(workload)["volumeMounts"]]

        assert [
            name for name in named if not any(PurePosixPath(name).is_relative_to(one) for one in mounts)
        ] == [], path.name


def _exporter(workload: dict[str, Any]) -> dict[str, Any]:
    (pod,) = pod_specs(workload)
    return next(one for one in containers(pod) if one["name"] == "insights-exporter")


def test_the_image_has_the_programs_that_pods_start() -> None:
    """Without a command, a pod starts the entry point; others are of the base image."""
    commands = {container["command"][0] for _, container in _found() if "command" in container}

    assert 'ENTRYPOINT ["insights-exporter"]' in _DOCKERFILE
    # Debian has the shell; the official image of Python has the interpreter on the path.
    assert commands == {"/bin/sh", "python"}
    assert "ENV PATH=/opt/insights-exporter/bin:$PATH" in _DOCKERFILE


def _calls() -> set[tuple[str, ...]]:
    """Return the arguments of our program in all pods and units."""
    calls = set()
    for _, container in _found():
        arguments = list(map(str, container.get("args", ())))
        if "command" not in container:
            calls.add(tuple(arguments))
        elif container["command"][0] == "/bin/sh" and "exec insights-exporter" in arguments[0]:
            inner = arguments[0].partition("exec insights-exporter ")[2].split()
            calls.add((*(one for one in inner if one != '"$@"'), *arguments[2:]))
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        text = unit.read_text(encoding="utf-8")
        found = re.search(r"/opt/insights-exporter/bin/insights-exporter ([^'\n]+)", text)
        assert found is not None, unit.name
        calls.add(tuple(one for one in found[1].split() if not one.startswith("$")))
    return calls


@cache
def _help(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "insights_exporter", *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


def _command(call: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(call[: next((at for at, one in enumerate(call) if one.startswith("-")), len(call))])


@pytest.mark.parametrize("call", sorted(_calls()), ids=" ".join)
def test_the_program_knows_each_command_and_flag(call: tuple[str, ...]) -> None:
    command = _command(call)
    text = _help(*command)

    assert text, f"{command} is no command"
    assert [one for one in call if one.startswith("--") and one not in text] == []
