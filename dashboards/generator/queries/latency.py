"""How good connections are."""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, WINDOW, Matchers, inventory
from insights_exporter.bundle.promql import Expr, MatcherValue, not_equal, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "LATENCY_CRITICAL",
    "LATENCY_WARNING",
    "current_user_latency",
    "last_below_threshold",
    "latency_buckets",
    "quantile",
    "relay_quantile",
    "reported_quantile",
    "slow_share",
    "slow_users",
    "slowest_users",
    "user_latency",
    "user_latency_ms",
    "users_by_latency_band",
    "users_without_latency",
]

LATENCY_WARNING, LATENCY_CRITICAL = "0.15", "0.3"
"""The bounds in seconds at which Coder's page changes colour."""


def user_latency_ms(family: Family, matchers: Matchers) -> Expr:
    """Return each user's round trip in the window."""
    return QUERY.latest(family, **matchers, **WINDOW).max("job", "username").binary_op("* 1000")


def _users_below(bound: str, statistic: str, matchers: Matchers, *by: str) -> Expr:
    buckets = QUERY.buckets(
        catalogue.TEMPLATE_USER_LATENCY, le=bound, statistic=statistic, **matchers, **WINDOW
    )
    return buckets.sum(*by)


def users_by_latency_band(statistic: str, matchers: Matchers, *by: str) -> dict[str, Expr]:
    """Return how many users are fast, fair and slow, by the colours of Coder's page."""
    fast, fair, total = (
        _users_below(bound, statistic, matchers, *by) for bound in (LATENCY_WARNING, LATENCY_CRITICAL, "+Inf")
    )
    return {"fast": fast, "fair": _difference(fair, fast), "slow": _difference(total, fair)}


def _difference(minuend: Expr, subtrahend: Expr) -> Expr:
    return Expr(f"({minuend} - {subtrahend})", minuend.labels, frozenset())


def slow_users(matchers: Matchers, *by: str) -> Expr:
    """Return how many users are slow by their 95th percentile."""
    return users_by_latency_band("p95", matchers, *by)["slow"]


def latency_buckets(statistic: str, matchers: Matchers) -> Expr:
    """Return how many users have a round trip up to each bound."""
    return QUERY.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic=statistic, **matchers, **WINDOW).sum("le")


def users_without_latency(matchers: Matchers) -> Expr:
    """Return users whose round trip was never measured."""
    return QUERY.latest(catalogue.TEMPLATE_USERS_WITHOUT_LATENCY, **matchers, **WINDOW)


def slow_share(matchers: Matchers, *by: str) -> Expr:
    """Return the share of measured users whose worst round trips are slow."""
    text = share(slow_users(matchers, *by), _users_below("+Inf", "p95", matchers, *by))
    return Expr(f"({text})", by, frozenset())


def quantile(q: str, statistic: str, matchers: Matchers, *by: str) -> Expr:
    """Return the round trip that a share of users stays below."""
    buckets = QUERY.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic=statistic, **matchers, **WINDOW)
    buckets_by_le = buckets.sum(*by, "le")
    return Expr(f"histogram_quantile({q}, {buckets_by_le})", by, frozenset())


_NOT_FOLDED: Final = not_equal(catalogue.OTHER)
_USER_LABELS: Final = ("organization_name", "template_name", "username")


def user_latency(family: Family, matchers: Matchers, window: str = "$window") -> Expr:
    """Return each user's round trip in each template."""
    return QUERY.latest(family, window=window, **matchers).max(*_USER_LABELS)


def slowest_users(limit: int, matchers: Matchers, username: MatcherValue) -> Expr:
    """Return the users who were slowest in the range that is shown, the same ones at each moment."""
    max_p95 = QUERY.over_time(
        "max_over_time",
        catalogue.USER_LATENCY_P95,
        "$__range @ end()",
        username=username,
        **matchers,
        **WINDOW,
    )
    return max_p95.max("username").topk(limit)


def current_user_latency(q: str, matchers: Matchers, username: MatcherValue) -> str:
    """Return how slow users are at each moment, or today so far where no agent reports are read."""
    bucket_rates = QUERY.buckets(
        catalogue.CONNECTION_LATENCY, "$__rate_interval", username=username, **matchers
    )
    reported = f"histogram_quantile({q}, {bucket_rates.sum('username', 'le')})"
    today = QUERY.latest(catalogue.USER_LATENCY_P95, username=username, window="today", **matchers)
    all_reports = QUERY.buckets(catalogue.CONNECTION_LATENCY, le="+Inf", username=_NOT_FOLDED)
    return f"(({reported} >= 0) or ({today.max('username')} unless on () {all_reports.count()}))"


def last_below_threshold(matchers: Matchers) -> Expr:
    """Return when users who are slow today were last not, in milliseconds; nothing if not in the range."""
    family = catalogue.USER_LATENCY_P95
    p95_today = QUERY.latest(family, window="today", **matchers).max(*_USER_LABELS)
    return Expr(
        f"(max_over_time(timestamp({p95_today} < {LATENCY_CRITICAL})[$__range:30m]) * 1000 and {p95_today} >= {LATENCY_CRITICAL})",
        _USER_LABELS,
        frozenset(),
    )


def reported_quantile(q: str, family: Family, matchers: Matchers, *by: str) -> Expr:
    """Return the round trip that a share of agents' reports stays below."""
    bucket_rates = QUERY.buckets(family, "$__rate_interval", **matchers).sum(*by, "le")
    return Expr(f"(histogram_quantile({q}, {bucket_rates}) >= 0)", by, frozenset())


def relay_quantile(q: str) -> str:
    """Return the round trip to each relay region that a share of its agents stays below."""
    return f"histogram_quantile({q}, {inventory.relay_latency_buckets().sum('derp_region', 'le')})"
