"""Declaration of metric families: type, HELP, labels, unit, and the labels over which a sum is meaningful."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "APP_LABELS",
    "OTHER",
    "PREFIX",
    "SUM_OVER_TEMPLATES",
    "SUM_OVER_USERS",
    "TEMPLATE_LABELS",
    "USER_LABELS",
    "Family",
    "FamilyGroup",
    "MetricType",
    "Stability",
]

PREFIX: Final = "coder_insights_"

TEMPLATE_LABELS: Final = ("organization_name", "template_name")
"""The identity of a template; its name alone may exist in several organizations."""

APP_LABELS: Final = ("app", "app_type")
USER_LABELS: Final = ("username",)

SUM_OVER_TEMPLATES: Final = frozenset(TEMPLATE_LABELS)
SUM_OVER_USERS: Final = frozenset((*TEMPLATE_LABELS, *USER_LABELS))

OTHER: Final = "_other"
"""The label value of all series that a limit folded."""


class MetricType(StrEnum):
    """Type of a family, as OpenMetrics names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    GAUGE_HISTOGRAM = "gaugehistogram"
    HISTOGRAM = "histogram"
    INFO = "info"


class Stability(StrEnum):
    """Promise about name, labels and meaning of a family."""

    STABLE = "stable"
    """Changes with a new major version only."""
    EXPERIMENTAL = "experimental"
    """May change with any version; the CHANGELOG says so."""


_SUFFIXES: Final = {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    ``name`` is the name in a query, with ``_total`` or ``_info`` if the type requires it. ``summable`` has
    the labels over which a sum is meaningful. ``panel`` names the panel of Coder's Insights page with the
    same data, ``collector`` the collector that provides it, and ``required_setting`` the setting without
    which the family is absent.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    summable: frozenset[str] = frozenset()
    panel: str = ""
    collector: str = ""
    required_setting: str = ""
    stability: Stability = Stability.STABLE

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that breaks the rules of OpenMetrics or of the catalogue."""
        suffix = _SUFFIXES.get(self.type, "")
        if not self.name.startswith(PREFIX) or not self.name.endswith(suffix):
            raise ValueError(f"{self.name}: expected the form {PREFIX}…{suffix}")
        if self.unit and not self.base_name.endswith("_" + self.unit):
            raise ValueError(f"{self.name}: expected the unit {self.unit} at the end")
        if not self.help.endswith("."):
            raise ValueError(f"{self.name}: expected a period at the end of the help text")
        if not self.summable <= set(self.labels):
            raise ValueError(f"{self.name}: expected summable to hold labels of the family only")

    @property
    def base_name(self) -> str:
        """The name in OpenMetrics, without the suffix of the type."""
        return self.name.removesuffix(_SUFFIXES.get(self.type, ""))


class FamilyGroup:
    """Declares the families of one collector and keeps them in the order in which they are served.

    ``prefix`` is part of each name; the other arguments are defaults of each family.
    """

    def __init__(
        self,
        collector: str,
        *,
        prefix: str = PREFIX,
        required_setting: str = "",
        stability: Stability = Stability.STABLE,
    ) -> None:
        self._collector = collector
        self._prefix = prefix
        self._required_setting = required_setting
        self._stability = stability
        self._families: list[Family] = []

    @property
    def families(self) -> tuple[Family, ...]:
        """All families declared so far."""
        return tuple(self._families)

    def declare(  # noqa: PLR0913 - one argument per property of a family.
        self,
        metric_type: MetricType,
        name: str,
        help_text: str,
        labels: tuple[str, ...] = (),
        *,
        unit: str = "",
        summable: frozenset[str] = frozenset(),
        panel: str = "",
        required_setting: str = "",
        stability: Stability | None = None,
    ) -> Family:
        """Return a new family of the group."""
        family = Family(
            self._prefix + name,
            metric_type,
            help_text,
            labels,
            unit,
            summable,
            panel,
            self._collector,
            required_setting or self._required_setting,
            stability or self._stability,
        )
        self._families.append(family)
        return family
