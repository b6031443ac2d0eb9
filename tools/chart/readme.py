"""Write the chart's README: a fixed text with the table of all values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from tools.chart.paths import CHART, ROOT
from tools.chart.values import Value, walk

__all__ = ["chart_readme"]

# Artifact Hub shows the page outside of the repository, so links are absolute.
_FILES: Final = (
    "https://github.com/insights-exporter/insights-exporter/blob/main/deploy/helm/insights-exporter/ci"
)
_TEMPLATE: Final = ROOT / "tools" / "chart" / "README.template.md"


def chart_readme(values: tuple[Value, ...]) -> str:
    """Return the text of README.md; raise KeyError for an unknown place in the template."""
    parts = {
        "values": "\n".join(_tables(values)),
        "value_files": "\n".join(_value_files()),
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: parts[match[1]], template)


def _tables(values: tuple[Value, ...]) -> Iterator[str]:
    section = None
    for value in walk(values):
        if not value.description:
            continue
        if value.section != section:
            section = value.section
            yield from ("", f"### {section}", "", "| Key | Default | Meaning |", "|---|---|---|")
        yield f"| `{value.path}` | {_default(value)} | {_escaped(value.description)} |"


def _default(value: Value) -> str:
    """Return the default as JSON; a mapping whose keys have rows of their own needs none."""
    if value.children:
        return ""
    text = json.dumps(value.default, ensure_ascii=False)
    return f"`{_escaped(text)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _value_files() -> Iterator[str]:
    """Yield a line for each value file of the tests: its name and its first comment."""
    for path in sorted((CHART / "ci").glob("*-values.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = " ".join(_leading_comment(lines))
        yield f"- [`{path.name}`]({_FILES}/{path.name}): {comment}"


def _leading_comment(lines: list[str]) -> Iterator[Any]:
    for line in lines:
        if not line.startswith("# "):
            return
        yield line.removeprefix("# ")
