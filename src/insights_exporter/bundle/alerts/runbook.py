"""Runbooks: what an alert means, whom it hurts, how to look and what to do.

Their text is written by hand, one file per alert. What the code knows is filled in: the rule, its
thresholds and the reasons for them, the link to the panel, and the matchers of the site's queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import Final

from insights_exporter.bundle.alerts.annotations import dashboard_url
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import ALERT_PREFIX, Alert, PanelLink, RuleGroup
from insights_exporter.bundle.alerts.thresholds import threshold_rows
from insights_exporter.bundle.alerts.units import format_threshold
from insights_exporter.bundle.registry import DASHBOARDS

__all__ = ["render_runbooks"]

_RUNBOOK_FOLDER: Final = Path(__file__).parent / "runbooks"
_TITLES: Final = {board.slug: board.title for board in DASHBOARDS}


def render_runbooks(groups: Iterable[RuleGroup], options: InstallOptions) -> dict[str, str]:
    """Return the runbook of every alert by the alert's name."""
    return {alert.name: _render_runbook(alert, options) for group in groups for alert in group.alerts}


def _render_runbook(alert: Alert, options: InstallOptions) -> str:
    text = (_RUNBOOK_FOLDER / f"{alert.name.removeprefix(ALERT_PREFIX)}.md").read_text(encoding="utf-8")
    substitutions = {
        name: format_threshold(value, unit) for name, value, unit, _ in threshold_rows(options.thresholds)
    }
    substitutions |= {
        f"{name}_number": f"{value:g}" for name, value, _, _ in threshold_rows(options.thresholds)
    }
    panel = alert.panel
    url = dashboard_url(PanelLink(panel.dashboard, panel.title), options, labels=False)
    body = Template(text).substitute(
        substitutions,
        dashboard=f"[{_TITLES[panel.dashboard]}, panel *{panel.title}*]({url})",
        matchers=", ".join(options.matchers),
    )
    return "\n".join((f"# {alert.name}", "", *_rule_section(alert, options), "", body.rstrip(), ""))


def _rule_section(alert: Alert, options: InstallOptions) -> Iterator[str]:
    yield f"{alert.summary} Severity **{alert.severity.value}**, after {alert.for_} without a break."
    yield ""
    yield f"Why so: {alert.rationale}"
    rows = [row for row in threshold_rows(options.thresholds) if row[0] in alert.thresholds]
    if rows:
        yield from ("", "| Threshold | Value | Why |", "|---|---|---|")
        for name, value, unit, rationale in rows:
            yield f"| `{name}` | {format_threshold(value, unit)} | {rationale} |"
    yield from ("", "```promql", *alert.expr.splitlines(), "```")
