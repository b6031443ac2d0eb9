"""Groups of Coder and teams of the teams file. A user of several groups counts in each."""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, WINDOW, Matchers
from insights_exporter.bundle.promql import Expr, not_equal, regex, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = ["GROUP_LABELS", "active_users", "hours", "latest", "slow_share"]

GROUP_LABELS: Final = ("organization_name", "group")

_SELECTED: Final[Matchers] = {"organization_name": regex("$organizations|")}
"""Groups of the selected organizations, and teams, which have no organization."""


def latest(family: Family, *by: str) -> Expr:
    """Return the values of a family without windows; ``by`` are labels in addition to the group's."""
    return QUERY.latest(family, **_SELECTED).max(*by, *GROUP_LABELS)


def active_users() -> Expr:
    """Return the members of each group who used a template in the window."""
    return QUERY.latest(catalogue.GROUP_ACTIVE_USERS, **_SELECTED, **WINDOW).max(*GROUP_LABELS)


def hours() -> Expr:
    """Return the hours of the members of each group in the window."""
    seconds = QUERY.latest(catalogue.GROUP_USAGE_WINDOW, **_SELECTED, **WINDOW)
    return seconds.max(*GROUP_LABELS).binary_op("/ 3600")


def slow_share() -> Expr:
    """Return the share of slow members among the measured ones."""
    users = {**_SELECTED, **WINDOW}
    slow = QUERY.latest(catalogue.GROUP_LATENCY_USERS, band="slow", **users).sum(*GROUP_LABELS)
    measured = QUERY.latest(catalogue.GROUP_LATENCY_USERS, band=not_equal("unmeasured"), **users)
    return Expr(f"({share(slow, measured.sum(*GROUP_LABELS))})", GROUP_LABELS, frozenset())
