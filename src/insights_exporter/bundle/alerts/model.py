"""The model of alerting and recording rules, independent of their output format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from insights_exporter.bundle.promql import QueryBuilder

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
