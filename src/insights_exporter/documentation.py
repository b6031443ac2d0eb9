"""Pages of documentation that are written from code: metrics, configuration, alerts, dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Final

from insights_exporter.bundle.alerts.page import alerts_page
from insights_exporter.bundle.page import dashboards_page
from insights_exporter.config.kind import SecretText
from insights_exporter.config.loading import FALLBACKS
from insights_exporter.config.source import CONFIG_VARIABLE, variable
from insights_exporter.config.spec import REQUIRED, SECTIONS, Key, Section
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = ["configuration_page", "differing", "metrics_page", "pages", "write"]

_NOTE = "<!-- Written by `insights-exporter docs`; change the code and not this page. -->"

_METRICS: Final = """\
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

_CONFIGURATION: Final = """\
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

_ROOMS: Final[Mapping[str, tuple[str, str]]] = {
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
        "alerts.md": alerts_page(_NOTE),
        "dashboards.md": dashboards_page(_NOTE),
    }


def write(folder: Path) -> list[Path]:
    """Write the pages into a folder and return those that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = differing(folder)
    for file in changed:
        file.write_text(pages()[file.name], encoding="utf-8")
    return changed


def differing(folder: Path) -> list[Path]:
    """Return the files that are not as the code has them."""
    return [folder / name for name, text in pages().items() if _read(folder / name) != text]


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def metrics_page() -> str:
    """Return the documentation of every family."""
    intro = _METRICS.format(
        note=_NOTE,
        other=catalogue.OTHER,
        folded=catalogue.SERIES_FOLDED.name,
        bounds=", ".join(f"{bound:g}" for bound in catalogue.LATENCY_BUCKETS),
    )
    lines: list[str] = []
    for collector, families in _by_collector().items():
        title, about = _ROOMS[collector]
        lines += [f"## {title}", "", about, "", f"Select it alone with `/metrics?collect[]={collector}`.", ""]
        lines += [line for family in families for line in _family(family)]
    return intro + "\n".join(lines).rstrip() + "\n"


def _by_collector() -> dict[str, list[Family]]:
    found: dict[str, list[Family]] = {collector: [] for collector in _ROOMS}
    for family in catalogue.FAMILIES:
        found[family.collector].append(family)
    return found


def _family(family: Family) -> Iterator[str]:
    yield f"### `{family.name}`"
    yield ""
    yield _cell(family.help)
    yield ""
    yield f"- Type: {family.kind}" + (f", unit: {family.unit}" if family.unit else "")
    yield f"- Labels: {_codes(family.labels)}"
    if family.labels:
        yield f"- Sum over: {_codes(label for label in family.labels if label in family.summable)}"
    if family.panel:
        yield f"- Panel of Coder's page: {family.panel}"
    if family.needs:
        yield f"- Only with: `{family.needs}`"
    yield ""


def configuration_page() -> str:
    """Return the documentation of every key."""
    intro = _CONFIGURATION.format(note=_NOTE, variable=CONFIG_VARIABLE)
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"## `{section.path}`", "", section.text, ""]
        lines += ["| Key | Meaning | Value | Default |", "|---|---|---|---|"]
        lines += [_row(section, key) for key in section.keys]
        lines.append("")
    return intro + "\n".join(lines).rstrip() + "\n"


def _row(section: Section, key: Key) -> str:
    path = f"{section.path}.{key.name}"
    names = [f"`{key.name}`"]
    if isinstance(key.kind, SecretText):
        names = [f"`{key.name}_file`", f"`{key.name}_env`", f"`{key.name}`"]
    variables = f"`{variable(path)}`"
    if path in FALLBACKS:
        variables += f", `{FALLBACKS[path]}`"
    default = section.default(key)
    shown = "required" if default is REQUIRED else f"`{_yaml(default)}`"
    cells = ("<br>".join(names), f"{key.text}<br>{variables}", key.kind.expected, shown)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _yaml(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, Path | date):
        return str(value)
    if isinstance(value, tuple):
        return json.dumps([_yaml(one) for one in value]) if value else "[]"
    if isinstance(value, float):
        return f"{value:g}"
    return (
        str(value)
        if isinstance(value, str)
        else json.dumps(dict(value) if isinstance(value, Mapping) else value)
    )


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
