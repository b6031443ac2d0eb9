"""Daily cost of workspaces, in units of Coder's quota and in money."""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, Matchers
from insights_exporter.bundle.promql import Expr
from insights_exporter.metrics import catalogue

__all__ = ["DAYS_PER_MONTH", "IDLE", "daily_cost", "idle_daily_cost", "money"]

DAYS_PER_MONTH: Final = 30
IDLE: Final = "7d"
"""Value of the label ``idle`` from which on the panels call a workspace idle."""


def daily_cost(matchers: Matchers, *by: str, **status: str) -> Expr:
    """Return the daily cost of workspaces, of one status or of all; absent without costs."""
    return QUERY.latest(catalogue.WORKSPACE_DAILY_COST, **matchers, **status).sum(*by)


def idle_daily_cost(matchers: Matchers, *by: str) -> Expr:
    """Return the daily cost of running workspaces without use for seven days or more."""
    return QUERY.latest(catalogue.WORKSPACE_IDLE_DAILY_COST, idle=IDLE, **matchers).sum(*by)


def money(cost: Expr) -> Expr:
    """Return a cost by ``job`` and other labels in money; absent without a configured price.

    The result has the label ``currency`` in place of ``job``. Each deployment has its own price, and a
    recorded cost keeps the price of its time.
    """
    price = QUERY.latest(catalogue.COST_UNIT_PRICE)
    labels = (*(label for label in cost.labels if label != "job"), "currency")
    text = f"sum by ({', '.join(labels)}) ({cost} * on (job) group_left (currency) {price})"
    return Expr(text, labels, frozenset())
