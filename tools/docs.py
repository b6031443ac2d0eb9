"""Pages of documentation that are written from code: metrics, configuration, alerts, dashboards."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Final

from insights_exporter.config.schema import (
    CONFIG_VARIABLE,
    FALLBACK_VARIABLES,
    REQUIRED,
    SECTIONS,
    Key,
    environment_variable,
    json_schema,
)
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from insights_exporter.report.document import json_schema as report_json_schema
from tools.alerts_page import alerts_page
from tools.dashboards_page import dashboards_page
from tools.generated_files import write_or_check

__all__ = ["configuration_page", "main", "metrics_page", "pages"]

_HEADER = "<!-- Written by `make generate`; change the code and not this page. -->"

_METRICS_INTRODUCTION: Final = """\
# Metrics

{note}

All metric families of the exporter.

- *Stability* is `stable` (name, labels and meaning change with a major version only) or `experimental` (may
  change with any version; see the CHANGELOG).
- *Sum over* lists the labels over which `sum()` is correct. A sum over other labels counts usage more than
  once. Never sum over `window`, `interval` or `ago`: they overlap.
- `window` is a range of whole days up to now: `today`, `yesterday`, or `7d` (today and the six days
  before). The setting `insights.windows` selects them.
- `interval` is `day` or `week`, and `ago` counts back. Day 0 is today. Week 0 is the seven days up to
  yesterday, so all weeks are complete.
- Counters of the Insights collector start at an anchor, by default the first day of the quarter. Replicas
  and restarts have the same values. When the anchor changes, the counters reset.
- A series above a limit is part of the label value `{other}` if a sum is meaningful, and dropped otherwise.
  `{folded}` counts both.
- An unknown value is absent; it is never 0.
- [tuning.md](tuning.md#age-of-the-data) shows how old each kind of data may be.
- Latency histograms have these bounds in seconds: {bounds}. Coder's Insights page shows latencies from
  {fair} s on in yellow and from {slow} s on in red.
- `{idle}` has bounds of 1 and 8 hours, 1, 3, 7 and 30 days: {idle_bounds} seconds.
- The text format 0.0.4 has no gauge histograms. There they are histograms, and count and sum are the gauges
  `…_gcount` and `…_gsum`.
- OpenMetrics has `…_created` series for counters and histograms about Coder. Self metrics have none.
- `process_*` metrics are served, too.

"""

_CONFIGURATION_INTRODUCTION: Final = """\
# Configuration

{note}

The exporter reads one YAML file (`insights-exporter run --config exporter.yaml`, or the file that the
variable `{variable}` names) and environment variables. Environment variables override the file.
Only `coder.url` and a token are required:

{example}
- `insights-exporter check --config exporter.yaml` validates the configuration and tests the connection.
- Invalid configurations are refused with exit code 2. All problems are reported at once, each with its file
  and line or its variable. During a reload (SIGHUP, or `POST /-/reload` with `server.enable_reload`) an
  invalid configuration changes nothing.
- Durations are seconds, or have units (`ms`, `s`, `m`, `h`, `d`): `90`, `90s`, `5m`, `1h30m`.
- Paths are relative to the folder of the file.
- A secret has three forms, of which you can use one: `token_file` names a file, which is read again when it
  changes; `token_env` names an environment variable; `token` holds the secret itself.
- In environment variables, commas separate the items of a list. Mappings are pairs such as `name=value`.
- Defaults are shown as YAML; `null` means not set.

## Completion and validation in editors

[exporter.schema.json](exporter.schema.json) is the JSON Schema of the file. The package contains it, too:
`insights_exporter/config/exporter.schema.json`. Editors with a YAML language server read its location from
the first line of the file:

```yaml
# yaml-language-server: $schema=https://example.com/path/to/exporter.schema.json
```

The location is a URL or a path relative to the file.

"""

_CONFIGURATION_EXAMPLE: Final = """\
```yaml
# yaml-language-server: $schema=docs/exporter.schema.json
coder:
  url: https://coder.example.com
  token_file: /run/secrets/coder-token
```
"""

_COLLECTOR_SECTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "insights": ("Insights", "Usage of templates, from Coder's Insights API."),
    "inventory": ("Inventory", "Templates, workspaces, agents, apps, users, groups and onboarding."),
    "deployment": ("Deployment", "Version, user accounts and license."),
    "agent_stats": (
        "Agent statistics",
        "Latency, sessions and traffic that agents report. Absent unless `agent_stats.source` is set.",
    ),
    "exporter": ("Exporter", "Self metrics of the exporter, read live at each scrape."),
}


def pages(folder: Path) -> dict[Path, str]:
    """Return every generated page by its path in ``folder``."""
    texts = {
        "metrics.md": metrics_page(),
        "configuration.md": configuration_page(),
        "exporter.schema.json": json_schema(),
        "report.schema.json": report_json_schema(),
        "alerts.md": alerts_page(_HEADER),
        "dashboards.md": dashboards_page(_HEADER),
    }
    return {folder / name: text for name, text in texts.items()}


def metrics_page() -> str:
    """Return the documentation of every family."""
    introduction = _METRICS_INTRODUCTION.format(
        note=_HEADER,
        other=catalogue.OTHER,
        folded=catalogue.SERIES_FOLDED.name,
        bounds=", ".join(f"{bound:g}" for bound in catalogue.LATENCY_BUCKETS),
        idle=catalogue.WORKSPACE_IDLE.name,
        idle_bounds=", ".join(f"{bound:.0f}" for bound in catalogue.IDLE_BUCKETS),
        fair=catalogue.LATENCY_FAIR,
        slow=catalogue.LATENCY_SLOW,
    )
    lines: list[str] = []
    for collector, families in _families_by_collector().items():
        title, description = _COLLECTOR_SECTIONS[collector]
        lines += [
            f"## {title}",
            "",
            description,
            "",
            f"Scrape this section alone: `/metrics?collect[]={collector}`.",
            "",
        ]
        lines += [line for family in families for line in _family_section(family)]
    return introduction + "\n".join(lines).rstrip() + "\n"


def _families_by_collector() -> dict[str, list[Family]]:
    families_by_collector: dict[str, list[Family]] = {collector: [] for collector in _COLLECTOR_SECTIONS}
    for family in catalogue.FAMILIES:
        families_by_collector[family.collector].append(family)
    return families_by_collector


def _family_section(family: Family) -> Iterator[str]:
    yield f"### `{family.name}`"
    yield ""
    yield _escape_cell(family.help)
    yield ""
    yield f"- Type: {family.type}" + (f", unit: {family.unit}" if family.unit else "")
    yield f"- Stability: {family.stability}"
    yield f"- Labels: {_code_list(family.labels)}"
    if family.labels:
        yield f"- Sum over: {_code_list(label for label in family.labels if label in family.summable)}"
    if family.panel:
        yield f"- Panel of Coder's page: {family.panel}"
    if family.required_setting:
        yield f"- Only with: `{family.required_setting}`"
    yield ""


def configuration_page() -> str:
    """Return the documentation of every key."""
    introduction = _CONFIGURATION_INTRODUCTION.format(
        note=_HEADER, variable=CONFIG_VARIABLE, example=_CONFIGURATION_EXAMPLE
    )
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"## `{section.path}`", "", section.description, ""]
        lines += ["| Key | Meaning | Value | Default |", "|---|---|---|---|"]
        lines += map(_key_row, section.keys)
        lines.append("")
    return introduction + "\n".join(lines).rstrip() + "\n"


def _key_row(key: Key) -> str:
    names = [f"`{key.name}`"]
    if key.secret:
        names = [f"`{key.name}_file`", f"`{key.name}_env`", f"`{key.name}`"]
    variables = f"`{environment_variable(key.path)}`"
    if key.path in FALLBACK_VARIABLES:
        variables += f", `{FALLBACK_VARIABLES[key.path]}`"
    default_text = "required" if key.default is REQUIRED else f"`{_yaml_value(key.default)}`"
    cells = ("<br>".join(names), f"{key.description}<br>{variables}", key.expected, default_text)
    return f"| {' | '.join(_escape_cell(cell) for cell in cells)} |"


def _yaml_value(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, Path | date):
        return str(value)
    if isinstance(value, tuple):
        return json.dumps([_yaml_value(item) for item in value]) if value else "[]"
    if isinstance(value, float):
        return f"{value:g}"
    return (
        str(value)
        if isinstance(value, str)
        else json.dumps(dict(value) if isinstance(value, Mapping) else value)
    )


def _code_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated pages; with ``--check`` write nothing and return 1 if a page is stale."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="folder of the pages")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    options = parser.parse_args(arguments)
    return write_or_check(pages(options.folder), check=options.check)


if __name__ == "__main__":
    sys.exit(main())
