"""What a rule is, before it takes the form in which somebody installs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from insights_exporter.bundle.promql import QueryBuilder

__all__ = ["ALERT_PREFIX", "Alert", "PanelLink", "RecordingRule", "RuleGroup", "Severity"]

ALERT_PREFIX: Final = "CoderInsights"
"""What the names of all alerts begin with, so that a route can match them."""

_DURATION: Final = re.compile(r"[1-9][0-9]*[mhd]")
_NON_WORD: Final = re.compile(r"\W")
_RECORD_NAME: Final = re.compile(r"[a-z_]+:[a-z_]+:[a-z0-9_]+")


class Severity(StrEnum):
    """Who is to look: somebody now, somebody today, somebody some day."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class PanelLink:
    """A panel of a dashboard, and the dashboard's variables that labels of an alert fill."""

    dashboard: str
    title: str
    labels_by_variable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRule:
    """A series with a name of its own, ``level:metric:operations``; ``labels`` are those of its result."""

    name: str
    expr: str
    labels: tuple[str, ...]
    description: str
    const_labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a name that does not tell level, metric and operations."""
        if not _RECORD_NAME.fullmatch(self.name):
            raise ValueError(f"Expected level:metric:operations, found {self.name}.")

    def selector(self, query: QueryBuilder, **labels: str) -> str:
        """Return a selector of the recorded series, which has fewer labels than what it was made of."""
        target_matchers = (
            matcher for matcher in query.matchers if _NON_WORD.split(matcher)[0] in self.labels
        )
        label_matchers = (f'{name}="{value}"' for name, value in labels.items())
        return f"{self.name}{{{', '.join((*target_matchers, *label_matchers))}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """When to call whom and what to say.

    ``wait`` is how long the expression must hold. ``because`` says in a sentence why the threshold and the
    wait are what they are, and ``limits`` names the thresholds. ``summary`` is the same for every instance,
    ``description`` is a template.
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
        """Refuse what no operator should be woken by."""
        if not self.name.startswith(ALERT_PREFIX):
            raise ValueError(f"Expected a name that begins with {ALERT_PREFIX}, found {self.name}.")
        if not _DURATION.fullmatch(self.for_):
            raise ValueError(f"Expected {self.name} to wait for minutes, hours or days, found {self.for_}.")
        for text in (self.summary, self.rationale, self.description):
            if not text.endswith("."):
                raise ValueError(f"Expected sentences in {self.name}, found {text!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """Rules on one subject; recordings come before the alerts that read them."""

    slug: str
    title: str
    interval: str
    recordings: tuple[RecordingRule, ...] = ()
    alerts: tuple[Alert, ...] = ()
