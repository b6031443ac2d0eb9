"""The pages that are written from code."""

from __future__ import annotations

from pathlib import Path

from insights_exporter import documentation
from insights_exporter.config.kind import SecretText
from insights_exporter.config.source import variable
from insights_exporter.config.spec import keys
from insights_exporter.metrics import catalogue

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

    assert sorted(file.name for file in written) == ["configuration.md", "metrics.md"]
    assert documentation.write(folder) == []
    (folder / "metrics.md").write_text("old")
    assert documentation.differing(folder) == [folder / "metrics.md"]


def test_tables_have_as_many_cells_in_each_row() -> None:
    rows = [line for line in documentation.configuration_page().splitlines() if line.startswith("|")]

    assert {row.replace("\\|", "").count("|") for row in rows} == {5}
