"""What is written about the dashboards agrees with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from insights_exporter.bundle.page import PARITY, dashboards_page
from insights_exporter.cli import main
from insights_exporter.metrics import catalogue
from tests.support.boards import every_panel

DOCS = Path(__file__).parents[2] / "docs"


def test_every_panel_of_coders_page_has_its_like() -> None:
    assert {family.panel for family in catalogue.FAMILIES if family.panel} == set(PARITY)


def test_the_table_names_families_that_stand_for_the_panel() -> None:
    page = dashboards_page("")
    for panel in PARITY:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {panel} |")]
        named = [catalogue.family(name) for name in re.findall(r"`(coder_insights_\w+)`", row)]

        assert panel in {family.panel for family in named}


def test_every_panel_and_every_query_of_the_page_is_told() -> None:
    page = dashboards_page("")

    assert [str(one) for one in every_panel() if f"**{one.title}.**" not in page] == []
    assert all(target["expr"] in page for one in every_panel("template-insights") for target in one.targets)


def test_anchors_lead_somewhere() -> None:
    page = dashboards_page("")
    headings = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    anchors = set(re.findall(r'<a id="([^"]+)">', page)) | headings

    assert set(re.findall(r"\(#([^)]+)\)", page)) <= anchors


def test_the_options_told_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["bundle", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    told = (DOCS / "grafana.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `(--[a-z-]+)", told, re.MULTILINE)) <= known
    assert {
        one
        for line in re.findall(r"insights-exporter bundle (.+)", told)
        for one in re.findall(r"--[a-z-]+", line)
    } <= known


def test_links_lead_to_pages_that_are_there() -> None:
    for page in (DOCS / "grafana.md", DOCS / "dashboards.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), link
