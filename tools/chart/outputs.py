"""Files that the generator writes, and what is left over in their folders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import yaml

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from tools.chart.paths import CHART, DASHBOARDS, DEPLOY
from tools.chart.readme import chart_readme
from tools.chart.rules import Threshold, rules_with_marks, thresholds
from tools.chart.schema import values_schema
from tools.chart.values import read_values

__all__ = ["chart_files"]

_GENERATED: Final = "# Written by `make generate`; change the alerts' source, not this file.\n"
_UNITS: Final = {"seconds": "Seconds", "share": "A share from 0 to 1", "times": "A factor"}
_BEGIN: Final = "  # BEGIN THRESHOLDS\n"
_END: Final = "  # END THRESHOLDS\n"


def chart_files() -> dict[Path, str]:
    """Return the generated files of the chart with their texts."""
    values = _values_with_thresholds((CHART / "values.yaml").read_text(encoding="utf-8"))
    read = read_values(values)
    files = {
        CHART / "values.yaml": values,
        CHART / "values.schema.json": values_schema(read),
        CHART / "README.md": chart_readme(read),
        CHART / "files" / "rules.yaml": _rules(),
        CHART / "files" / "bounds.json": json.dumps(list(map(str, sorted(LATENCY_BUCKETS)))) + "\n",
        CHART / "files" / "demo-token": (DEPLOY / "demo-token").read_text(encoding="utf-8"),
    }
    return files | _dashboards()


def _dashboards() -> dict[Path, str]:
    """Return copies of the dashboards, and the file that lets kustomize make ConfigMaps from them."""
    folder = CHART / "files" / "dashboards"
    sources = sorted(DASHBOARDS.glob("*.json"))
    generators = [
        {"name": f"insights-exporter-{source.stem}", "files": [source.name], "options": _dashboard_options()}
        for source in sources
    ]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "generatorOptions": {"disableNameSuffixHash": True},
        "configMapGenerator": generators,
    }
    copies = {folder / source.name: source.read_text(encoding="utf-8") for source in sources}
    return copies | {
        folder / "kustomization.yaml": _GENERATED + yaml.safe_dump(kustomization, sort_keys=False)
    }


def _dashboard_options() -> dict[str, dict[str, str]]:
    return {
        "labels": {"grafana_dashboard": "1"},
        "annotations": {"grafana_folder": "Coder Insights"},
    }


def _rules() -> str:
    text = yaml.dump({"groups": rules_with_marks()}, Dumper=_Dumper, sort_keys=False, width=10**9)
    return (
        f"{_GENERATED}# Marks between pairs of @ are thresholds; templates/_rules.tpl replaces them.\n{text}"
    )


class _Dumper(yaml.SafeDumper):
    """Writes queries of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _values_with_thresholds(text: str) -> str:
    """Return values.yaml with the thresholds between its two comments."""
    lines = ["  # -- Thresholds of the alerts.\n", "  thresholds:\n"]
    for one in thresholds():
        lines += _threshold(one)
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError("values.yaml: the comments BEGIN THRESHOLDS and END THRESHOLDS are missing")
    return pattern.sub(lambda _: f"{_BEGIN}{''.join(lines)}{_END}", text)


def _threshold(one: Threshold) -> list[str]:
    schema = "type: number, exclusiveMinimum: 0"
    if one.unit == "share":
        schema += ", exclusiveMaximum: 1" if one.name == "objective" else ", maximum: 1"
    if one.bounds:
        schema = f"enum: [{', '.join(f'{bound:g}' for bound in sorted(one.bounds))}]"
    bound = ", a bound of the histograms' buckets" if one.bounds else ""
    unit = _UNITS.get(one.unit, f"Number of {one.unit}")
    return [
        f"    # -- {unit}{bound}.\n",
        f"    # @schema {{{schema}}}\n",
        f"    {one.name}: {one.default:.10g}\n",
    ]
