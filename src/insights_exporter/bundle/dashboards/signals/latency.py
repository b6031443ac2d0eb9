"""How good connections are."""

from __future__ import annotations

from insights_exporter.bundle.dashboards.signals import SCOPE, WINDOW, Where
from insights_exporter.bundle.queries import Vector, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "FAST",
    "SLOW",
    "banded",
    "quantile",
    "slow_share",
    "unmeasured",
    "user_milliseconds",
]

FAST, SLOW = "0.15", "0.3"
"""The bounds in seconds at which Coder's page changes colour."""


def user_milliseconds(family: Family, where: Where) -> Vector:
    """Return each user's round trip in the window."""
    return SCOPE.latest(family, **where, **WINDOW).max("job", "username").times("* 1000")


def _below(bound: str, statistic: str, where: Where, *by: str) -> Vector:
    buckets = SCOPE.buckets(catalogue.TEMPLATE_USER_LATENCY, le=bound, statistic=statistic, **where, **WINDOW)
    return buckets.sum(*by)


def banded(statistic: str, where: Where, *by: str) -> dict[str, str]:
    """Return how many users are fast, fair and slow, by the colours of Coder's page."""
    fast, fair, everyone = (_below(bound, statistic, where, *by) for bound in (FAST, SLOW, "+Inf"))
    return {"fast": str(fast), "fair": f"{fair} - {fast}", "slow": f"{everyone} - {fair}"}


def unmeasured(where: Where) -> Vector:
    """Return users whose round trip was never measured."""
    return SCOPE.latest(catalogue.TEMPLATE_USERS_WITHOUT_LATENCY, **where, **WINDOW)


def slow_share(where: Where, *by: str) -> str:
    """Return the share of measured users whose worst round trips are slow."""
    everyone = _below("+Inf", "p95", where, *by)
    return share(f"({everyone} - {_below(SLOW, 'p95', where, *by)})", everyone)


def quantile(share_of_users: str, statistic: str, where: Where, *by: str) -> Vector:
    """Return the round trip that a share of users stays below."""
    buckets = SCOPE.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic=statistic, **where, **WINDOW)
    summed = buckets.sum(*by, "le")
    return Vector(f"histogram_quantile({share_of_users}, {summed})", by, frozenset())
