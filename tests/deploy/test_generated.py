"""What the generator writes is up to date, and agrees with the settings and versions of the exporter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from insights_exporter import __version__
from insights_exporter.config.schema import keys
from tools.chart.config_schema import exporter_config_schema, secret_keys
from tools.chart.outputs import chart_files
from tools.chart.paths import CHART
from tools.chart.values import read_values, walk


def test_the_chart_holds_what_the_generator_writes() -> None:
    """`make generate` writes it anew."""
    files = chart_files()

    assert [path.name for path, text in files.items() if path.read_text(encoding="utf-8") != text] == []


def test_every_value_is_described() -> None:
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))

    assert [value.path for value in walk(values) if not value.children and not value.description] == []
    assert all(value.section for value in values)


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["version"] == chart["appVersion"] == __version__
    assert f":{__version__}" in chart["annotations"]["artifacthub.io/images"]


@pytest.mark.parametrize("annotation", ["images", "changes", "links", "recommendations"])
def test_annotations_of_artifact_hub_are_yaml_lists(annotation: str) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert isinstance(yaml.safe_load(chart["annotations"][f"artifacthub.io/{annotation}"]), list)


def test_config_has_the_keys_of_the_exporter_without_literal_secrets() -> None:
    schema = exporter_config_schema("")
    paths = set(leaf_paths(schema))
    forms = {f"{path}{suffix}" for path in secret_keys() for suffix in ("_file", "_env")}

    assert paths == {key.path for key in keys()} - secret_keys() | forms


def leaf_paths(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of each key that is not a section."""
    for name, child in schema["properties"].items():
        if "properties" in child:
            yield from leaf_paths(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
