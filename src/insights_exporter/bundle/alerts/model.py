"""The model of alerting and recording rules, independent of their output format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Final

from insights_exporter.bundle.alerts.install_options import (
    InstallOptions,
)
from insights_exporter.bundle.promql import QueryBuilder
from insights_exporter.bundle.registry import (
    DASHBOARDS,
    iter_panels,
    load_dashboard,
)

__all__ = [
    "ALERT_PREFIX",
    "TEMPLATES_VARIABLES",
    "TEMPLATE_SUBJECT",
    "TEMPLATE_VARIABLES",
    "Alert",
    "PanelLink",
    "RecordingRule",
    "RuleGroup",
    "Severity",
    "alert_annotations",
    "dashboard_url",
    "panel_id",
    "runbook_url",
]

ALERT_PREFIX: Final = "CoderInsights"
"""Prefix of all alert names, so that one matcher routes them."""

TEMPLATE_SUBJECT: Final = "Template {{ $labels.template_name }} of {{ $labels.organization_name }}"
"""Beginning of the descriptions of all alerts on a template."""

TEMPLATE_VARIABLES: Final = {"organization": "organization_name", "template": "template_name"}
"""Labels by dashboard variable, for dashboards that show one template."""

TEMPLATES_VARIABLES: Final = {"organizations": "organization_name", "templates": "template_name"}
"""Labels by dashboard variable, for dashboards on which several templates can be selected."""

_DURATION: Final = re.compile(r"[1-9][0-9]*[mhd]")
_NON_WORD: Final = re.compile(r"\W")
_RECORD_NAME: Final = re.compile(r"[a-z_]+:[a-z_]+:[a-z0-9_]+")


class Severity(StrEnum):
    """How soon an alert needs a reaction: now, today, or in the next days."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class PanelLink:
    """A panel, and the dashboard variables that labels of the alert set."""

    dashboard: str
    title: str
    labels_by_variable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRule:
    """A recorded series named ``level:metric:operations``.

    ``labels`` are the labels of the result, ``const_labels`` those that the rule adds.
    """

    name: str
    expr: str
    labels: tuple[str, ...]
    description: str
    const_labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for a name without level, metric and operations."""
        if not _RECORD_NAME.fullmatch(self.name):
            raise ValueError(f"Expected level:metric:operations, got {self.name}.")

    def selector(self, query: QueryBuilder, **labels: str) -> str:
        """Return a selector of the recorded series.

        It carries only those matchers of ``query`` whose label the recorded series has.
        """
        target_matchers = (
            matcher for matcher in query.matchers if _NON_WORD.split(matcher)[0] in self.labels
        )
        label_matchers = (f'{name}="{value}"' for name, value in labels.items())
        return f"{self.name}{{{', '.join((*target_matchers, *label_matchers))}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alerting rule with its texts.

    ``summary`` is the same for all instances, ``description`` is a template of Prometheus. ``rationale``
    gives the reason for threshold and duration. ``thresholds`` names the thresholds that the rule uses.
    """

    name: str
    expr: str
    for_: str
    severity: Severity
    summary: str
    description: str
    rationale: str
    panel: PanelLink
    thresholds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid name or duration, and for texts that are no sentences."""
        if not self.name.startswith(ALERT_PREFIX):
            raise ValueError(f"Expected a name with prefix {ALERT_PREFIX}, got {self.name}.")
        if not _DURATION.fullmatch(self.for_):
            raise ValueError(
                f"Expected a duration in minutes, hours or days for {self.name}, got {self.for_}."
            )
        for text in (self.summary, self.rationale, self.description):
            if not text.endswith("."):
                raise ValueError(f"Expected sentences in {self.name}, got {text!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """The rules on one subject; Prometheus evaluates the recordings in this order."""

    slug: str
    title: str
    interval: str
    recordings: tuple[RecordingRule, ...] = ()
    alerts: tuple[Alert, ...] = ()


_DASHBOARDS_BY_SLUG: Final = {info.slug: info for info in DASHBOARDS}


def alert_annotations(alert: Alert, options: InstallOptions) -> dict[str, str]:
    """Return the annotations of an alert."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook_url(alert, options),
        "dashboard_url": dashboard_url(alert.panel, options),
    }


def runbook_url(alert: Alert, options: InstallOptions) -> str:
    """Return the URL of an alert's runbook."""
    return f"{options.runbook_url.rstrip('/')}/{alert.name}.md"


def dashboard_url(panel: PanelLink, options: InstallOptions, *, labels: bool = True) -> str:
    """Return the URL of a panel; with ``labels``, labels of the alert set the dashboard's variables."""
    target_variables = {label: label for label in options.target_labels}
    variables = {**target_variables, **panel.labels_by_variable} if labels else {}
    query_parameters = "".join(
        f"&var-{variable}={{{{ $labels.{label} | urlquery }}}}" for variable, label in variables.items()
    )
    path = _DASHBOARDS_BY_SLUG[panel.dashboard].path
    return f"{options.grafana_url.rstrip('/')}{path}?viewPanel={panel_id(panel)}{query_parameters}"


def panel_id(panel: PanelLink) -> int:
    """Return the id of a panel in its dashboard; raise ValueError for an unknown title."""
    panel_ids = _panel_ids(panel.dashboard)
    if panel.title not in panel_ids:
        raise ValueError(
            f"Expected a panel of {panel.dashboard} ({', '.join(panel_ids)}), got {panel.title!r}."
        )
    return panel_ids[panel.title]


@cache
def _panel_ids(slug: str) -> Mapping[str, int]:
    """Return panel ids by title; if two panels share a title, the last one, which shows the time series."""
    return {panel["title"]: panel["id"] for panel in iter_panels(load_dashboard(slug)["panels"])}
