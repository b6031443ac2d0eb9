"""Connection latency of users.

A user is slow when the p50 of the connections in the window is 300 ms or more: the red of Coder's page.
"""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, WINDOW, Matchers, inventory
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import Expr, MatcherValue, not_equal, regex, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "SHOWN_BOUNDS",
    "SLOW_USER",
    "current_user_latency",
    "latency_buckets",
    "quantile",
    "relay_quantile",
    "reported_quantile",
    "slow_share",
    "slow_since",
    "slow_users",
    "slowest_users",
    "user_latency",
    "users_by_latency_band",
    "users_without_latency",
]

LATENCY_WARNING, LATENCY_CRITICAL = (
    f"{bound:g}" for bound in (Thresholds().latency_warning, Thresholds().latency_critical)
)

SLOW_USER: Final = "A user is slow when the p50 in the window is 300 ms or more, red on Coder's page."

SHOWN_BOUNDS: Final = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
"""Bounds of the distribution of users, a part of those of the histogram."""

_USER_LABELS: Final = (*TEMPLATE_LABELS, "username")
_NOT_FOLDED: Final = not_equal(catalogue.OTHER)


def _users_below(bound: str, matchers: Matchers, *by: str) -> Expr:
    buckets = QUERY.buckets(catalogue.TEMPLATE_USER_LATENCY, le=bound, statistic="p50", **matchers, **WINDOW)
    return buckets.sum(*by)


def users_by_latency_band(matchers: Matchers, *by: str) -> dict[str, Expr]:
    """Return fast, fair and slow users by p50; a user of several templates counts in each."""
    fast, fair, total = (
        _users_below(bound, matchers, *by) for bound in (LATENCY_WARNING, LATENCY_CRITICAL, "+Inf")
    )
    return {"fast": fast, "fair": _difference(fair, fast), "slow": _difference(total, fair)}


def _difference(minuend: Expr, subtrahend: Expr) -> Expr:
    return Expr(f"({minuend} - {subtrahend})", minuend.labels, frozenset())


def slow_users(matchers: Matchers, *by: str) -> Expr:
    """Return slow users."""
    return users_by_latency_band(matchers, *by)["slow"]


def slow_share(matchers: Matchers, *by: str) -> Expr:
    """Return slow users as a share of the users with a measured latency."""
    text = share(slow_users(matchers, *by), _users_below("+Inf", matchers, *by))
    return Expr(f"({text})", by, frozenset())


def latency_buckets(matchers: Matchers) -> Expr:
    """Return users by p50, cumulative by ``le``: the bounds that ten bars can show."""
    # Prometheus 3 writes bounds with a decimal point.
    bounds = "|".join(f"{bound:g}([.]0)?" for bound in SHOWN_BOUNDS)
    buckets = QUERY.buckets(
        catalogue.TEMPLATE_USER_LATENCY, le=regex(f"{bounds}|[+]Inf"), statistic="p50", **matchers, **WINDOW
    )
    return buckets.sum("le")


def users_without_latency(matchers: Matchers) -> Expr:
    """Return users of the window without a measured latency."""
    return QUERY.latest(catalogue.TEMPLATE_USERS_WITHOUT_LATENCY, **matchers, **WINDOW)


def quantile(q: str, statistic: str, matchers: Matchers, *by: str) -> Expr:
    """Return a quantile over users of their p50 or p95."""
    buckets = QUERY.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic=statistic, **matchers, **WINDOW)
    buckets_by_le = buckets.sum(*by, "le")
    return Expr(f"(histogram_quantile({q}, {buckets_by_le}) >= 0)", by, frozenset())


def user_latency(family: Family, matchers: Matchers, window: str = "$window") -> Expr:
    """Return the p50 or p95 of each user and template."""
    return QUERY.latest(family, window=window, **matchers).max(*_USER_LABELS)


def slowest_users(limit: int, matchers: Matchers, username: MatcherValue) -> Expr:
    """Return the users with the highest p50 within the range; the same users at each step."""
    highest = QUERY.over_time(
        "max_over_time",
        catalogue.USER_LATENCY_P50,
        "$__range @ end()",
        username=username,
        **matchers,
        **WINDOW,
    )
    return highest.max("username").topk(limit)


def current_user_latency(q: str, matchers: Matchers, username: MatcherValue) -> str:
    """Return a user's latency from agent reports, or the p50 of today without them."""
    bucket_rates = QUERY.buckets(
        catalogue.CONNECTION_LATENCY, "$__rate_interval", username=username, **matchers
    )
    reported = f"histogram_quantile({q}, {bucket_rates.sum('username', 'le')})"
    today = QUERY.latest(catalogue.USER_LATENCY_P50, username=username, window="today", **matchers)
    all_reports = QUERY.buckets(catalogue.CONNECTION_LATENCY, le="+Inf", username=_NOT_FOLDED)
    return f"(({reported} >= 0) or ({today.max('username')} unless on () {all_reports.count()}))"


def slow_since(matchers: Matchers) -> Expr:
    """Return since when users are slow, in milliseconds: when the p50 of a day was last below 300 ms.

    The time is that of the first slow day in the range if no day was fast. A user without a connection today
    is slow if the p50 of the window is.
    """
    today, window = (
        user_latency(catalogue.USER_LATENCY_P50, matchers, name).max("username")
        for name in ("today", "$window")
    )
    slow = f"({today} >= {LATENCY_CRITICAL} or ({window} >= {LATENCY_CRITICAL} unless on (username) {today}))"
    last_fast = f"max_over_time((({today} < {LATENCY_CRITICAL}) * 0 + time())[$__range:1h])"
    first_slow = f"min_over_time((({today} >= {LATENCY_CRITICAL}) * 0 + time())[$__range:1h])"
    return Expr(f"(({last_fast} or {first_slow}) * 1000 and {slow})", ("username",), frozenset())


def reported_quantile(q: str, family: Family, matchers: Matchers, *by: str) -> Expr:
    """Return a quantile over agent reports."""
    bucket_rates = QUERY.buckets(family, "$__rate_interval", **matchers).sum(*by, "le")
    return Expr(f"(histogram_quantile({q}, {bucket_rates}) >= 0)", by, frozenset())


def relay_quantile(q: str) -> str:
    """Return a quantile over agents of the latency to their preferred relay, by region."""
    return f"histogram_quantile({q}, {inventory.relay_latency_buckets().sum('derp_region', 'le')})"
