"""What exists: workspaces, agents, apps, accounts."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.dashboards.signals import SCOPE, Where
from insights_exporter.bundle.queries import Labels, Vector, like
from insights_exporter.metrics import catalogue

__all__ = ["AWAY", "accounts", "agents", "ill_apps", "outdated", "relays", "seats", "workspaces"]

AWAY: Final = like("disconnected|timeout")
"""Agents that Coder has lost, or that never came."""


def workspaces(where: Where, status: Labels | None = None) -> Vector:
    """Return workspaces, of one status or by status."""
    chosen = {} if status is None else {"status": status}
    return SCOPE.latest(catalogue.WORKSPACES, **where, **chosen)


def agents(where: Where, status: Labels | None = None) -> Vector:
    """Return agents, of one status or by status."""
    chosen = {} if status is None else {"status": status}
    return SCOPE.latest(catalogue.AGENTS, **where, **chosen)


def outdated(where: Where) -> Vector:
    """Return connected agents of another version than the server's."""
    return SCOPE.latest(catalogue.AGENTS_OUTDATED, **where)


def ill_apps(where: Where) -> Vector:
    """Return workspaces in which the health check of an app fails."""
    return SCOPE.latest(catalogue.APP_HEALTH, health="unhealthy", **where)


def accounts(status: str = "active") -> Vector:
    """Return accounts of a status; active ones take a seat."""
    return SCOPE.latest(catalogue.USERS, status=status).sum()


def seats() -> Vector:
    """Return how many seats the licence grants; nothing without such a licence."""
    return SCOPE.latest(catalogue.LICENSE_USER_LIMIT).max()


def relays() -> Vector:
    """Return agents by their round trip to the relay they prefer, cumulative by ``le``."""
    return SCOPE.buckets(catalogue.AGENT_RELAY_LATENCY)
