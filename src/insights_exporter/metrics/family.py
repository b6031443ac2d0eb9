"""The declaration of a metric family."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PREFIX", "Family", "MetricType"]

PREFIX = "coder_insights_"


class MetricType(StrEnum):
    """The type of a family, as OpenMetrics names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    GAUGE_HISTOGRAM = "gaugehistogram"
    HISTOGRAM = "histogram"
    INFO = "info"


_SUFFIXES = {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    ``name`` is what a query selects, with ``_total`` or ``_info`` where the kind asks for it. ``summable``
    holds the labels over which a sum means something. ``panel`` names the panel of Coder's page that the
    family stands for, ``collector`` the collector that feeds it, ``needs`` the key of the configuration
    without which it is absent.
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

    def __post_init__(self) -> None:
        """Refuse a declaration that an exposition could not carry."""
        if not self.name.startswith(PREFIX) or not self.name.endswith(_SUFFIXES.get(self.type, "")):
            raise ValueError(f"Expected {PREFIX}…{_SUFFIXES.get(self.type, '')}, found {self.name}.")
        if self.unit and not self.base_name.endswith("_" + self.unit):
            raise ValueError(f"Expected {self.name} to carry its unit {self.unit}.")
        if not self.help.endswith(".") or not self.summable <= set(self.labels):
            raise ValueError(f"Expected a sentence of help and known summable labels in {self.name}.")

    @property
    def base_name(self) -> str:
        """The family's name in OpenMetrics, without the suffix of its kind."""
        return self.name.removesuffix(_SUFFIXES.get(self.type, ""))
