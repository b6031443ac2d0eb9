"""Workspaces, agents, apps, accounts and seats."""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, Matchers
from insights_exporter.bundle.promql import Expr, MatcherValue, not_equal, regex
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "DISCONNECTED",
    "SEATS_FEATURE",
    "accounts",
    "agents",
    "connected_agents",
    "daily_cost",
    "idle_workspaces",
    "license_meters",
    "outdated_agents",
    "relay_latency_buckets",
    "seats",
    "seats_used",
    "unhealthy_apps",
    "workspaces",
]

DISCONNECTED: Final = regex("disconnected|timeout")
"""Statuses of agents that lost the connection to Coder or never connected."""

SEATS_FEATURE: Final = "user_limit"
_IDLE_BOUND: Final = f"{7 * 86400}([.]0)?"
"""Prometheus 3 writes bounds with a decimal point."""


def workspaces(matchers: Matchers, status: MatcherValue | None = None) -> Expr:
    """Return workspaces of one status, or by status."""
    status_matcher = {} if status is None else {"status": status}
    return QUERY.latest(catalogue.WORKSPACES, **matchers, **status_matcher)


def agents(matchers: Matchers, status: MatcherValue | None = None) -> Expr:
    """Return agents of one status, or by status."""
    status_matcher = {} if status is None else {"status": status}
    return QUERY.latest(catalogue.AGENTS, **matchers, **status_matcher)


def connected_agents(matchers: Matchers) -> Expr:
    """Return connected agents."""
    return agents(matchers, "connected")


def outdated_agents(matchers: Matchers) -> Expr:
    """Return connected agents whose version differs from the server's."""
    return QUERY.latest(catalogue.AGENTS_OUTDATED, **matchers)


def unhealthy_apps(matchers: Matchers) -> Expr:
    """Return apps whose health check fails, one per workspace."""
    return QUERY.latest(catalogue.APP_HEALTH, health="unhealthy", **matchers)


def accounts(status: str = "active") -> Expr:
    """Return the number of accounts of a status."""
    return QUERY.latest(catalogue.USERS, status=status).sum()


def seats() -> Expr:
    """Return the seats of the licence; absent without a limit."""
    return QUERY.latest(catalogue.LICENSE_FEATURE_LIMIT, feature=SEATS_FEATURE).max()


def seats_used() -> Expr:
    """Return the used seats as the licence counts them, or the active accounts without a licence."""
    return QUERY.latest(catalogue.LICENSE_FEATURE_USED, feature=SEATS_FEATURE).max().or_else(accounts())


def license_meters(family: Family, *, ago: str = "") -> Expr:
    """Return the use or the limit of the licence's metered features other than seats, now or earlier."""
    matcher = {"feature": not_equal(SEATS_FEATURE)}
    values = QUERY.at_offset(family, ago, **matcher) if ago else QUERY.latest(family, **matcher)
    return values.max("feature")


def idle_workspaces(matchers: Matchers, *by: str) -> Expr:
    """Return running workspaces without use for seven days or more, by template."""
    below, total = (
        QUERY.buckets(catalogue.WORKSPACE_IDLE, le=regex(bound), **matchers).max(*by)
        for bound in (_IDLE_BOUND, "[+]Inf")
    )
    return Expr(f"({total} - {below})", by, frozenset())


def daily_cost(matchers: Matchers, *by: str) -> Expr:
    """Return the daily cost of running workspaces in units of Coder's quota; absent without costs."""
    return QUERY.latest(catalogue.WORKSPACE_DAILY_COST, status="running", **matchers).sum(*by)


def relay_latency_buckets() -> Expr:
    """Return agents by latency to their preferred relay, cumulative by ``le``."""
    return QUERY.buckets(catalogue.AGENT_RELAY_LATENCY)
