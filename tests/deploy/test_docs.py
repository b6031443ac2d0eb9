"""The pages about installation: links lead somewhere, and examples are valid values of the chart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest
import yaml
from jsonschema import Draft7Validator

from insights_exporter import __version__
from tools.chart.paths import CHART, ROOT

_PAGES: Final = sorted(
    [
        *(ROOT / "docs/install").glob("*.md"),
        ROOT / "docs/install.md",
        ROOT / "docs/releasing.md",
        ROOT / "docs/report.md",
        CHART / "README.md",
        ROOT / "deploy/kubernetes/README.md",
    ]
)
_REPOSITORY: Final = "https://github.com/insights-exporter/insights-exporter/blob/main"
_LINK: Final = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
_BLOCK: Final = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SET: Final = re.compile(r"--set ([\w.]+)=")


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    text = page.read_text(encoding="utf-8").replace(f"]({_REPOSITORY}", f"]({ROOT}")
    for path, anchor in _LINK.findall(text):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(f"{path}#{anchor}" if anchor else path)

    assert broken == []


def _examples() -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in _PAGES
        for block in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if page.name != "kubernetes.md"
    ]


@pytest.mark.parametrize(("page", "block"), _examples())
def test_examples_are_values_of_the_chart(page: str, block: str) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    assert [error.message for error in Draft7Validator(schema).iter_errors(yaml.safe_load(block))] == [], page


def test_values_on_command_lines_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    named = {key for page in _PAGES for key in _SET.findall(page.read_text(encoding="utf-8"))}

    for key in named - {"replicaCount"}:
        found = values
        for part in key.split("."):
            assert part in found, key
            found = found[part]


def test_pages_name_this_version() -> None:
    """Commands that name a version name the one that is about to be released."""
    found = {
        version
        for page in _PAGES
        for version in re.findall(
            r"(?:--version |exporter:|\]==)(\d+\.\d+\.\d+)", page.read_text(encoding="utf-8")
        )
    }

    assert found == {__version__}
