"""The page that says which panel of Coder's page is which panel here, and what each of ours asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from insights_exporter.bundle.boards import BOARDS, TEMPLATE_INSIGHTS, Board
from insights_exporter.bundle.shipped import shipped
from insights_exporter.metrics import catalogue

__all__ = ["PARITY", "dashboards_page"]

PARITY: Final[Mapping[str, tuple[str, ...]]] = {
    "Active users": ("Daily active users", "Weekly active users"),
    "Latency by user": ("Latency by user",),
    "App & IDE Usage": ("App & IDE Usage",),
    "Activity by user": ("Activity by user",),
    "Parameters usage": ("Parameters usage",),
}
"""The panels of Coder's page, as the catalogue names them, and those that stand for them."""

_INTRO: Final = """\
# Dashboards

{note}

Seven dashboards for Grafana 10 to 13, made of the metrics in [metrics.md](metrics.md). How to install them
is in [grafana.md](grafana.md).

| Dashboard | What it answers |
|---|---|
{boards}

At the top of each one chooses the data source, jobs and instances of the exporter, and where it applies
organizations, templates and the window of time that Coder sums up (`today`, `yesterday`, `7d`, `30d`).
Links between the dashboards keep the choice and the range. Firing alerts are marked in graphs.

## Coder's page and its panels here

The page *Template Insights* of Coder's web interface shows one template. The dashboard of the same name
shows the same numbers, sorted, rounded and divided as there, and keeps their history.

| On Coder's page | Here | Metrics |
|---|---|---|
{parity}

What differs, on purpose:

- Days and weeks are those of UTC, or of `insights.utc_offset`.
- A user whose latency was never measured has "no data", where Coder's page says -1ms in green. The 95th
  percentile stands beside the median.
- Options that nobody chose show 0; Coder's page cannot show them. Texts that users typed freely are left
  out unless `privacy.parameter_free_text` is set.
- Milliseconds stay milliseconds, also from 1000 on.
"""

_METRIC: Final = re.compile(r"\b(coder_insights_\w+|process_\w+|up)\b")


def dashboards_page(note: str) -> str:
    """Return the page."""
    panels = {board.slug: list(_panels(board)) for board in BOARDS}
    boards = "\n".join(f"| [{_name(board)}](#{_anchor(board)}) | {board.description} |" for board in BOARDS)
    own = {panel["title"]: panel for panel in panels[TEMPLATE_INSIGHTS.slug]}
    parity = "\n".join(_parity(theirs, [own[title] for title in ours]) for theirs, ours in PARITY.items())
    sections = ["\n".join(_section(board, panels[board.slug])) for board in BOARDS]
    return "\n".join((_INTRO.format(note=note, boards=boards, parity=parity), *sections)).rstrip() + "\n"


def _panels(board: Board) -> Iterator[dict[str, Any]]:
    text = (shipped("dashboards") / f"{board.slug}.json").read_text(encoding="utf-8")
    yield from (panel for panel in json.loads(text)["panels"] if panel["type"] != "row")


def _name(board: Board) -> str:
    return board.title.removeprefix("Coder / ")


def _anchor(board: Board) -> str:
    return _name(board).lower().replace(" ", "-")


def _parity(theirs: str, ours: list[dict[str, Any]]) -> str:
    titles = ", ".join(f"[{panel['title']}](#{TEMPLATE_INSIGHTS.slug}-{panel['id']})" for panel in ours)
    return f"| {theirs} | {titles} | {_metrics(ours)} |"


def _metrics(panels: list[dict[str, Any]]) -> str:
    """Return the metrics that hold the numbers, without those that only add names."""
    asked = (
        name for panel in panels for target in panel["targets"] for name in _METRIC.findall(target["expr"])
    )
    known = {family.name for family in catalogue.FAMILIES if family.panel}
    return ", ".join(f"`{name}`" for name in dict.fromkeys(asked) if name in known)


def _section(board: Board, panels: list[dict[str, Any]]) -> Iterator[str]:
    yield f"## {_name(board)}"
    yield ""
    yield board.description
    yield ""
    if (shipped("docs/images/dashboards") / f"{board.slug}.png").is_file():
        yield f"![{_name(board)}](images/dashboards/{board.slug}.png)"
        yield ""
    queries = board is TEMPLATE_INSIGHTS
    for panel in panels:
        what, _, facts = panel["description"].partition("\n\n")
        if not queries:
            yield f"- **{panel['title']}.** {what} {facts}"
            continue
        yield f'<a id="{board.slug}-{panel["id"]}"></a>'
        yield ""
        yield f"**{panel['title']}.** {what} {facts}"
        yield ""
        yield "```promql"
        yield from (target["expr"] for target in panel["targets"])
        yield "```"
        yield ""
    if not queries:
        yield ""
