"""What exists: workspaces, agents, apps, accounts."""

from __future__ import annotations

from insights_exporter.bundle.dashboards.signals import SCOPE, Where
from insights_exporter.bundle.queries import Labels, Vector
from insights_exporter.metrics import catalogue

__all__ = ["agents", "workspaces"]


def workspaces(where: Where, status: Labels | None = None) -> Vector:
    """Return workspaces, of one status or by status."""
    chosen = {} if status is None else {"status": status}
    return SCOPE.latest(catalogue.WORKSPACES, **where, **chosen)


def agents(where: Where, status: Labels | None = None) -> Vector:
    """Return agents, of one status or by status."""
    chosen = {} if status is None else {"status": status}
    return SCOPE.latest(catalogue.AGENTS, **where, **chosen)
