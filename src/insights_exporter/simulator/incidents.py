"""Incidents of a generated world: slow regions and app outages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from insights_exporter.simulator.usage import minutes_before

__all__ = ["AppOutage", "Incident", "SlowRegion", "latency_factor", "outage_mask", "unhealthy_apps"]


@dataclass(frozen=True, slots=True)
class SlowRegion:
    """Multiplies the latencies of a region by ``factor`` from ``start`` to ``end``."""

    region: str
    start: datetime
    end: datetime
    factor: float


@dataclass(frozen=True, slots=True)
class AppOutage:
    """Makes an app unhealthy and unusable from ``start`` to ``end``."""

    slug: str
    start: datetime
    end: datetime


Incident = SlowRegion | AppOutage


def latency_factor(incidents: Iterable[Incident], region: str, moment: datetime) -> float:
    """Return the product of the factors of a region's current incidents."""
    factor = 1.0
    for incident in incidents:
        if (
            isinstance(incident, SlowRegion)
            and incident.region == region
            and incident.start <= moment < incident.end
        ):
            factor *= incident.factor
    return factor


def outage_mask(incidents: Iterable[Incident], slug: str, day: date) -> int:
    """Return the minutes of a day in which an app is unusable."""
    mask = 0
    for incident in incidents:
        if isinstance(incident, AppOutage) and incident.slug == slug:
            mask |= minutes_before(day, incident.end) & ~minutes_before(day, incident.start)
    return mask


def unhealthy_apps(incidents: Iterable[Incident], now: datetime) -> frozenset[str]:
    """Return the slugs of the apps with a current outage."""
    return frozenset(
        incident.slug
        for incident in incidents
        if isinstance(incident, AppOutage) and incident.start <= now < incident.end
    )
