"""The pages about dashboards agree with the dashboards and the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from insights_exporter.cli import main
from insights_exporter.metrics import catalogue
from tests.support.dashboards import all_panels
from tools.dashboards_page import CODER_PAGE_PANELS, dashboards_page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_panel_of_coders_page_is_mapped() -> None:
    assert {family.panel for family in catalogue.FAMILIES if family.panel} == set(CODER_PAGE_PANELS)


def test_the_parity_table_lists_families_of_the_panel() -> None:
    text = dashboards_page("")
    for panel in CODER_PAGE_PANELS:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {panel} |")]
        families = [catalogue.get_family(name) for name in re.findall(r"`(coder_insights_\w+)`", row)]

        assert panel in {family.panel for family in families}


def test_every_panel_and_query_is_documented() -> None:
    text = dashboards_page("")

    titles = {panel.title.replace("${parameter:text}", "Parameters usage") for panel in all_panels()}

    assert [title for title in titles if f"**{title}.**" not in text] == []
    assert all(
        target["expr"] in text for panel in all_panels("template-insights") for target in panel.targets
    )


def test_anchors_exist() -> None:
    text = dashboards_page("")
    headings = {line[3:].lower().replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
    anchors = set(re.findall(r'<a id="([^"]+)">', text)) | headings

    links = set(re.findall(r"\(#([^)]+)\)", text))

    assert len(links) >= len(CODER_PAGE_PANELS)
    assert links <= anchors


def test_documented_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["bundle", "--help"])
    command_options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    documentation = (DOCS / "grafana.md").read_text(encoding="utf-8")

    table_options = set(re.findall(r"^\| `(--[a-z-]+)", documentation, re.MULTILINE))
    example_options = {
        option
        for line in re.findall(r"insights-exporter bundle (.+)", documentation)
        for option in re.findall(r"--[a-z-]+", line)
    }

    assert {"--matcher", "--cluster-label"} <= table_options <= command_options
    assert {"--output", "--form"} <= example_options <= command_options


def test_relative_links_exist() -> None:
    for file in (DOCS / "grafana.md", DOCS / "dashboards.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8"))
        assert links
        for link in links:
            assert (DOCS / link).exists(), link
