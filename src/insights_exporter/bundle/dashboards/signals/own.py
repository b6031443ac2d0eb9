"""How the exporter itself is doing."""

from __future__ import annotations

from insights_exporter.bundle.dashboards.signals import SCOPE
from insights_exporter.metrics import catalogue

__all__ = ["age"]


def age(collector: str) -> str:
    """Return the seconds since a collector last brought anything."""
    return f"time() - {SCOPE.latest(catalogue.LAST_SUCCESS, collector=collector).max()}"
