"""The pages that are written from code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from insights_exporter import documentation
from insights_exporter.config.kind import SecretText
from insights_exporter.config.source import variable
from insights_exporter.config.spec import SECTIONS, keys
from insights_exporter.metrics import catalogue
from tests.support.promql import family_of

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_pages_are_those_of_the_code() -> None:
    assert documentation.differing(DOCS) == []


def test_every_family_is_documented_once_with_its_help_and_labels() -> None:
    page = documentation.metrics_page()

    for family in catalogue.FAMILIES:
        assert page.count(f"### `{family.name}`\n") == 1
        part = page.partition(f"### `{family.name}`\n")[2].partition("\n#")[0]
        assert family.help in part
        assert all(f"`{label}`" in part for label in family.labels)


def test_every_key_is_documented_with_its_variable() -> None:
    page = documentation.configuration_page()

    for path, _, key in keys():
        assert f"`{variable(path)}`" in page
        assert key.text in page
        if isinstance(key.kind, SecretText):
            assert f"`{key.name}_file`" in page


def test_pages_are_written_where_they_differ(tmp_path: Path) -> None:
    folder = tmp_path / "docs"

    written = documentation.write(folder)

    assert sorted(file.name for file in written) == [
        "alerts.md",
        "configuration.md",
        "dashboards.md",
        "metrics.md",
    ]
    assert documentation.write(folder) == []
    (folder / "metrics.md").write_text("old")
    assert documentation.differing(folder) == [folder / "metrics.md"]


def test_tables_have_as_many_cells_in_each_row() -> None:
    rows = [line for line in documentation.configuration_page().splitlines() if line.startswith("|")]

    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


PAGES = sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CHANGELOG.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_what_exists(page: Path) -> None:
    """Metrics are in the catalogue, keys in the configuration, and links lead somewhere."""
    text = page.read_text(encoding="utf-8")
    known = {path for path, _, _ in keys()} | {section.path for section in SECTIONS}
    sections = {path.partition(".")[0] for path in known}

    # What stands between colons was recorded by a rule.
    metrics = set(re.findall(r"(?<!:)\bcoder_insights_[a-z0-9_]+\b(?!:)", text))
    named = {one for one in re.findall(r"`([a-z_]+\.[a-z_]+)`", text) if one.partition(".")[0] in sections}
    links = re.findall(r"\]\((?!http|#)([^)#]+)", text)

    families = {family.name for family in catalogue.FAMILIES}
    assert [one for one in metrics if one not in families and family_of(one) is None] == []
    assert {one for one in named if not one.endswith((".md", ".py"))} <= known
    assert [link for link in links if not (page.parent / link).exists()] == []
