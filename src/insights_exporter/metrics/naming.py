"""What families are called in OpenTelemetry.

Names are chosen so that the standard translation to Prometheus, which turns dots into underscores and appends
the unit and ``_total``, gives back exactly the name in the catalogue.
"""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = ["instrument_name", "instrument_unit"]

_UCUM_UNITS: Final = {"seconds": "s", "bytes": "By", "": ""}


def instrument_name(family: Family) -> str:
    """Return a name that a translation to Prometheus turns into the family's."""
    # Of an info nothing is appended, so its name is whole; a histogram of a moment is a set of gauges.
    name = family.name if family.type is MetricType.INFO else family.base_name
    if instrument_unit(family):
        name = name.removesuffix(f"_{family.unit}")
    return "coder.insights." + name.removeprefix(PREFIX).replace("exporter_", "exporter.", 1)


def instrument_unit(family: Family) -> str:
    """Return the unit in UCUM's notation; the gauges that stand for a histogram of a moment have none.

    Some of these count and others are seconds, and all need the family's whole name before their endings.
    """
    return "" if family.type is MetricType.GAUGE_HISTOGRAM else _UCUM_UNITS[family.unit]
