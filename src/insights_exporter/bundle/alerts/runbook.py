"""Runbooks: what an alert means, whom it hurts, how to look and what to do.

Their text is written by hand, one file per alert. What the code knows is filled in: the rule, its
thresholds and the reasons for them, the link to the panel, and the matchers of the site's queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import Final

from insights_exporter.bundle.alerts.links import dashboard_url
from insights_exporter.bundle.alerts.model import PREFIX, Alert, Group, Panel
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.thresholds import described
from insights_exporter.bundle.alerts.units import amount
from insights_exporter.bundle.boards import BOARDS

__all__ = ["runbooks"]

_FOLDER: Final = Path(__file__).parent / "runbooks"
_TITLES: Final = {board.slug: board.title for board in BOARDS}


def runbooks(groups: Iterable[Group], site: Site) -> dict[str, str]:
    """Return the runbook of every alert by the alert's name."""
    return {alert.name: _runbook(alert, site) for group in groups for alert in group.alerts}


def _runbook(alert: Alert, site: Site) -> str:
    text = (_FOLDER / f"{alert.name.removeprefix(PREFIX)}.md").read_text(encoding="utf-8")
    known = {name: amount(value, unit) for name, value, unit, _ in described(site.thresholds)}
    known |= {f"{name}_number": f"{value:g}" for name, value, _, _ in described(site.thresholds)}
    panel = alert.panel
    url = dashboard_url(Panel(panel.dashboard, panel.title), site, labels=False)
    filled = Template(text).substitute(
        known,
        dashboard=f"[{_TITLES[panel.dashboard]}, panel *{panel.title}*]({url})",
        matchers=", ".join(site.matchers),
    )
    return "\n".join((f"# {alert.name}", "", *_rule(alert, site), "", filled.rstrip(), ""))


def _rule(alert: Alert, site: Site) -> Iterator[str]:
    yield f"{alert.summary} Severity **{alert.severity.value}**, after {alert.wait} without a break."
    yield ""
    yield f"Why so: {alert.because}"
    rows = [row for row in described(site.thresholds) if row[0] in alert.limits]
    if rows:
        yield from ("", "| Threshold | Value | Why |", "|---|---|---|")
        for name, value, unit, because in rows:
            yield f"| `{name}` | {amount(value, unit)} | {because} |"
    yield from ("", "```promql", *alert.expr.splitlines(), "```")
