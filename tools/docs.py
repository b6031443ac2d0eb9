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

from insights_exporter.config.kind import SecretText
from insights_exporter.config.loading import FALLBACK_VARIABLES
from insights_exporter.config.source import CONFIG_VARIABLE, environment_variable
from insights_exporter.config.spec import REQUIRED, SECTIONS, Key, Section
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from tools.alerts_page import alerts_page
from tools.dashboards_page import dashboards_page

__all__ = ["configuration_page", "main", "metrics_page", "pages", "stale_pages", "write_pages"]

_HEADER = "<!-- Written by `make generate`; change the code and not this page. -->"

_METRICS_INTRODUCTION: Final = """\
# Metrics

{note}

Every family that the exporter serves. *Sum over* names the labels over which adding up series means
something; over all others it counts things twice. Never add up over `window`, `interval` or `ago`: the
same use is in several of them.

- `window` is a range of whole days up to now, such as `today` or `7d` (today and the six days before). It
  is one of `insights.windows`.
- `interval` and `ago` count days (`0` is today so far) or weeks (`0` is the seven days that end a day
  before today's midnight, so every week is complete).
- Counters of the Insights collector count since an anchor, by default the first day of the quarter.
  Replicas and restarts agree on them; when the anchor moves, they reset like any counter.
- A series that a limit folded away is part of the label value `{other}` where a sum means something, and
  absent elsewhere; `{folded}` tells how many there are.
- What is unknown is absent. Zero means zero.
- Latency histograms have the bounds {bounds}, in seconds. Coder's page turns yellow at 0.15 and red at
  0.3.
- In the text format 0.0.4 a gauge histogram appears as a histogram, its count and sum as the gauges
  `…_gcount` and `…_gsum`.
- The usual `process_*` metrics of this process are served, too.

"""

_CONFIGURATION_INTRODUCTION: Final = """\
# Configuration

{note}

One YAML file (`insights-exporter run --config exporter.yaml`, or named by the variable `{variable}`) and
variables of the environment, which win. The address and the token of Coder are all that must be said:

```yaml
coder:
  url: https://coder.example.com
  token_file: /run/secrets/coder-token
```

- Where a key is unknown or a value is wrong, every fault is told at once with its place, and the exporter
  ends with exit code 2. When the configuration is read anew (SIGHUP, or `POST /-/reload` where
  `server.enable_reload` is set), the last good one stays.
- Times are seconds, or have units: `90`, `90s`, `5m`, `1h30m`.
- Paths are relative to the file that names them.
- A secret has three forms, of which one may be used: `token_file` names a file that is read anew when it
  changes, `token_env` names a variable, `token` holds the secret itself.
- In variables, commas stand between the items of a list, and pairs are written `name=value`.
- A default is shown as YAML; `null` is nothing.

"""

_COLLECTOR_SECTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "insights": ("Insights", "How templates are used, from Coder's Insights API: what the page shows."),
    "inventory": ("Inventory", "What exists: templates, workspaces, agents, apps, users."),
    "deployment": ("Deployment", "The deployment as a whole."),
    "agent_stats": (
        "Agent reports",
        "What agents report of connections and sessions. Absent unless `agent_stats.source` is set.",
    ),
    "exporter": ("The exporter itself", "How the exporter fares. Read live at each scrape."),
}


def pages() -> dict[str, str]:
    """Return every generated page by its file's name."""
    return {
        "metrics.md": metrics_page(),
        "configuration.md": configuration_page(),
        "alerts.md": alerts_page(_HEADER),
        "dashboards.md": dashboards_page(_HEADER),
    }


def write_pages(folder: Path) -> list[Path]:
    """Write the pages into a folder and return those that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    stale = stale_pages(folder)
    for file in stale:
        file.write_text(pages()[file.name], encoding="utf-8")
    return stale


def stale_pages(folder: Path) -> list[Path]:
    """Return the files that are not as the code has them."""
    return [folder / name for name, text in pages().items() if _read_if_exists(folder / name) != text]


def _read_if_exists(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def metrics_page() -> str:
    """Return the documentation of every family."""
    introduction = _METRICS_INTRODUCTION.format(
        note=_HEADER,
        other=catalogue.OTHER,
        folded=catalogue.SERIES_FOLDED.name,
        bounds=", ".join(f"{bound:g}" for bound in catalogue.LATENCY_BUCKETS),
    )
    lines: list[str] = []
    for collector, families in _families_by_collector().items():
        title, description = _COLLECTOR_SECTIONS[collector]
        lines += [
            f"## {title}",
            "",
            description,
            "",
            f"Select it alone with `/metrics?collect[]={collector}`.",
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
    introduction = _CONFIGURATION_INTRODUCTION.format(note=_HEADER, variable=CONFIG_VARIABLE)
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"## `{section.path}`", "", section.text, ""]
        lines += ["| Key | Meaning | Value | Default |", "|---|---|---|---|"]
        lines += [_key_row(section, key) for key in section.keys]
        lines.append("")
    return introduction + "\n".join(lines).rstrip() + "\n"


def _key_row(section: Section, key: Key) -> str:
    path = f"{section.path}.{key.name}"
    names = [f"`{key.name}`"]
    if isinstance(key.kind, SecretText):
        names = [f"`{key.name}_file`", f"`{key.name}_env`", f"`{key.name}`"]
    variables = f"`{environment_variable(path)}`"
    if path in FALLBACK_VARIABLES:
        variables += f", `{FALLBACK_VARIABLES[path]}`"
    default = section.default(key)
    default_text = "required" if default is REQUIRED else f"`{_yaml_value(default)}`"
    cells = ("<br>".join(names), f"{key.text}<br>{variables}", key.kind.expected, default_text)
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
    stale = stale_pages(options.folder) if options.check else write_pages(options.folder)
    state = "stale; run make generate" if options.check else "written"
    sys.stdout.writelines(f"{path}: {state}\n" for path in stale)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
