"""What exists: workspaces, agents, apps, accounts."""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, Matchers
from insights_exporter.bundle.promql import Expr, MatcherValue, regex
from insights_exporter.metrics import catalogue

__all__ = [
    "DISCONNECTED",
    "accounts",
    "agents",
    "outdated_agents",
    "relay_latency_buckets",
    "seats",
    "unhealthy_apps",
    "workspaces",
]

DISCONNECTED: Final = regex("disconnected|timeout")
"""Agents that Coder has lost, or that never came."""


def workspaces(matchers: Matchers, status: MatcherValue | None = None) -> Expr:
    """Return workspaces, of one status or by status."""
    status_matcher = {} if status is None else {"status": status}
    return QUERY.latest(catalogue.WORKSPACES, **matchers, **status_matcher)


def agents(matchers: Matchers, status: MatcherValue | None = None) -> Expr:
    """Return agents, of one status or by status."""
    status_matcher = {} if status is None else {"status": status}
    return QUERY.latest(catalogue.AGENTS, **matchers, **status_matcher)


def outdated_agents(matchers: Matchers) -> Expr:
    """Return connected agents of another version than the server's."""
    return QUERY.latest(catalogue.AGENTS_OUTDATED, **matchers)


def unhealthy_apps(matchers: Matchers) -> Expr:
    """Return workspaces in which the health check of an app fails."""
    return QUERY.latest(catalogue.APP_HEALTH, health="unhealthy", **matchers)


def accounts(status: str = "active") -> Expr:
    """Return accounts of a status; active ones take a seat."""
    return QUERY.latest(catalogue.USERS, status=status).sum()


def seats() -> Expr:
    """Return how many seats the licence grants; nothing without such a licence."""
    return QUERY.latest(catalogue.LICENSE_USER_LIMIT).max()


def relay_latency_buckets() -> Expr:
    """Return agents by their round trip to the relay they prefer, cumulative by ``le``."""
    return QUERY.buckets(catalogue.AGENT_RELAY_LATENCY)
