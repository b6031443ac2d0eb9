"""How good connections are."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.dashboards.signals import SCOPE, WINDOW, Where, inventory
from insights_exporter.bundle.queries import Labels, Vector, but, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "FAST",
    "SLOW",
    "banded",
    "last_fine",
    "of_users",
    "of_users_now",
    "quantile",
    "relay_quantile",
    "reported_quantile",
    "slow_share",
    "slow_users",
    "slowest",
    "spread",
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


def banded(statistic: str, where: Where, *by: str) -> dict[str, Vector]:
    """Return how many users are fast, fair and slow, by the colours of Coder's page."""
    fast, fair, everyone = (_below(bound, statistic, where, *by) for bound in (FAST, SLOW, "+Inf"))
    return {"fast": fast, "fair": _less(fair, fast), "slow": _less(everyone, fair)}


def _less(more: Vector, less: Vector) -> Vector:
    return Vector(f"({more} - {less})", more.labels, frozenset())


def slow_users(where: Where, *by: str) -> Vector:
    """Return how many users are slow by their 95th percentile."""
    return banded("p95", where, *by)["slow"]


def spread(statistic: str, where: Where) -> Vector:
    """Return how many users have a round trip up to each bound."""
    return SCOPE.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic=statistic, **where, **WINDOW).sum("le")


def unmeasured(where: Where) -> Vector:
    """Return users whose round trip was never measured."""
    return SCOPE.latest(catalogue.TEMPLATE_USERS_WITHOUT_LATENCY, **where, **WINDOW)


def slow_share(where: Where, *by: str) -> Vector:
    """Return the share of measured users whose worst round trips are slow."""
    text = share(slow_users(where, *by), _below("+Inf", "p95", where, *by))
    return Vector(f"({text})", by, frozenset())


def quantile(share_of_users: str, statistic: str, where: Where, *by: str) -> Vector:
    """Return the round trip that a share of users stays below."""
    buckets = SCOPE.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic=statistic, **where, **WINDOW)
    summed = buckets.sum(*by, "le")
    return Vector(f"histogram_quantile({share_of_users}, {summed})", by, frozenset())


_PERSON: Final = but(catalogue.OTHER)
_KEY: Final = ("organization_name", "template_name", "username")


def of_users(family: Family, where: Where, window: str = "$window") -> Vector:
    """Return each user's round trip in each template."""
    return SCOPE.latest(family, window=window, **where).max(*_KEY)


def slowest(number: int, where: Where, username: Labels) -> Vector:
    """Return the users who were slowest in the range that is shown, the same ones at each moment."""
    worst = SCOPE.over(
        "max_over_time",
        catalogue.USER_LATENCY_P95,
        "$__range @ end()",
        username=username,
        **where,
        **WINDOW,
    )
    return worst.max("username").topk(number)


def of_users_now(quantile_: str, where: Where, username: Labels) -> str:
    """Return how slow users are at each moment, or today so far where no agent reports are read."""
    rising = SCOPE.buckets(catalogue.CONNECTION_LATENCY, "$__rate_interval", username=username, **where)
    reported = f"histogram_quantile({quantile_}, {rising.sum('username', 'le')})"
    today = SCOPE.latest(catalogue.USER_LATENCY_P95, username=username, window="today", **where)
    every = SCOPE.buckets(catalogue.CONNECTION_LATENCY, le="+Inf", username=_PERSON)
    return f"(({reported} >= 0) or ({today.max('username')} unless on () {every.count()}))"


def last_fine(where: Where) -> Vector:
    """Return when users who are slow today were last not, in milliseconds; nothing if not in the range."""
    family = catalogue.USER_LATENCY_P95
    day = SCOPE.latest(family, window="today", **where).max(*_KEY)
    return Vector(
        f"(max_over_time(timestamp({day} < {SLOW})[$__range:30m]) * 1000 and {day} >= {SLOW})",
        _KEY,
        frozenset(),
    )


def reported_quantile(quantile_: str, family: Family, where: Where, *by: str) -> Vector:
    """Return the round trip that a share of agents' reports stays below."""
    rising = SCOPE.buckets(family, "$__rate_interval", **where).sum(*by, "le")
    return Vector(f"(histogram_quantile({quantile_}, {rising}) >= 0)", by, frozenset())


def relay_quantile(quantile_: str) -> str:
    """Return the round trip to each relay region that a share of its agents stays below."""
    return f"histogram_quantile({quantile_}, {inventory.relays().sum('derp_region', 'le')})"
