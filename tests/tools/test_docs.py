"""The pages that are written from code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from insights_exporter.config.schema import SECTIONS, environment_variable, keys
from insights_exporter.metrics import catalogue
from tests.support.promql import family_of
from tools import docs
from tools.generated_files import stale_files

DOCS_FOLDER = Path(__file__).parents[2] / "docs"


def test_committed_pages_are_up_to_date() -> None:
    assert stale_files(docs.pages(DOCS_FOLDER)) == []


def test_every_family_is_documented_once_with_its_help_and_labels() -> None:
    text = docs.metrics_page()

    for family in catalogue.FAMILIES:
        assert text.count(f"### `{family.name}`\n") == 1
        part = text.partition(f"### `{family.name}`\n")[2].partition("\n#")[0]
        assert family.help in part
        assert all(f"`{label}`" in part for label in family.labels)


def test_every_key_is_documented_with_its_variable() -> None:
    text = docs.configuration_page()

    for key in keys():
        assert f"`{environment_variable(key.path)}`" in text
        assert key.description in text
        if key.secret:
            assert f"`{key.name}_file`" in text


def test_table_rows_have_the_same_number_of_cells() -> None:
    rows = [line for line in docs.configuration_page().splitlines() if line.startswith("|")]

    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


PAGES = sorted(
    [*DOCS_FOLDER.rglob("*.md"), DOCS_FOLDER.parent / "README.md", DOCS_FOLDER.parent / "CHANGELOG.md"]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_reference_only_existing_metrics_keys_and_links(page: Path) -> None:
    """Metrics are in the catalogue, keys in the configuration, and links lead somewhere."""
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        # The first column of its tables lists old names.
        text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE)
    known_keys = {path for key in keys() for path in key.input_paths} | {section.path for section in SECTIONS}
    sections = {path.partition(".")[0] for path in known_keys}

    # What stands between colons was recorded by a rule.
    metrics = set(re.findall(r"(?<!:)\bcoder_insights_[a-z0-9_]+\b(?!:)", text))
    referenced_keys = {
        name for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", text) if name.partition(".")[0] in sections
    }
    links = re.findall(r"\]\((?!http|#)([^)#]+)", text)

    families = {family.name for family in catalogue.FAMILIES}
    assert [name for name in metrics if name not in families and family_of(name) is None] == []
    assert {name for name in referenced_keys if not name.endswith((".md", ".py"))} <= known_keys
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_main_writes_and_checks_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path)

    assert docs.main(["--check", "--folder", folder]) == 1
    assert docs.main(["--folder", folder]) == 0
    assert docs.main(["--check", "--folder", folder]) == 0
    assert (tmp_path / "metrics.md").read_text() == docs.metrics_page()
    assert f"stale: {tmp_path / 'metrics.md'}" in capsys.readouterr().out
