"""The exporter reads every exporter.yaml that the chart writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trustme
import yaml

from tests.deploy.kubernetes import manifests
from tools.chart.paths import DEPLOY, GOLDENS

_UNREACHABLE: Final = "http://127.0.0.1:1"
_GOLDENS: Final = ("existing-claim", "postgres", "push-only", "tls")
"""Value files that set most sections; the others repeat them."""


def _texts() -> dict[str, str]:
    found = {
        name: next(
            one["data"]["exporter.yaml"]
            for one in manifests(GOLDENS / f"{name}.yaml")
            if "exporter.yaml" in one.get("data", {})
        )
        for name in _GOLDENS
    }
    plain = {
        "kubernetes": DEPLOY / "kubernetes/base/exporter.yaml",
        "systemd": DEPLOY / "systemd/exporter.yaml",
    }
    return found | {name: path.read_text(encoding="utf-8") for name, path in plain.items()}


@pytest.mark.parametrize(("name", "text"), _texts().items(), ids=lambda one: one if len(one) < 20 else "")
def test_the_exporter_reads_it(tmp_path: Path, name: str, text: str) -> None:
    """A setting that does not exist would end the command before its first finding."""
    text = re.sub(r"/(?:etc|var/lib)/insights-exporter/", f"{tmp_path}/", text)
    config = yaml.safe_load(text)
    config["coder"] |= {"url": _UNREACHABLE, "retries": 0}
    _make_files(tmp_path, text)
    (tmp_path / "exporter.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "insights_exporter", "check", "--json", "--no-poll", "--config"]
    done = subprocess.run(
        [*command, str(tmp_path / "exporter.yaml")], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.stdout, f"{name}: {done.stderr}"
    assert json.loads(done.stdout)


def _make_files(folder: Path, text: str) -> None:
    """Make what the configuration names: secrets, certificates, a web configuration."""
    authority = trustme.CA()
    for path in map(Path, re.findall(rf"_file: ({re.escape(str(folder))}/\S+)", text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "web.yaml":
            path.write_text("{}", encoding="utf-8")
        elif path.name == "ca.crt":
            authority.cert_pem.write_to_path(path)
        elif path.name == "database-dsn":
            path.write_text("postgresql://insights@127.0.0.1:1/coder", encoding="utf-8")
        elif path.name == "otlp-headers":
            path.write_text("authorization=secret", encoding="utf-8")
        elif path.suffix != ".json":
            path.write_text("0123456789-0123456789abcdefghij", encoding="utf-8")
