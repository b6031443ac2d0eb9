"""How the exporter itself is doing.

Each replica polls and serves for itself, so most of this is told per ``instance``.
"""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY
from insights_exporter.bundle.promql import TARGET_MATCHERS, Expr, QueryBuilder, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "QUERY_PER_REPLICA",
    "data_age",
    "data_ages",
    "mean",
    "process_metric",
    "quantile",
    "replicas_by_version",
    "token_seconds_left",
]

QUERY_PER_REPLICA: Final = QueryBuilder(TARGET_MATCHERS, ("job", "instance"))
"""Each replica apart."""


def process_metric(name: str, *, range_: str = "", function: str = "") -> Expr:
    """Return a metric of the scrape or of the process, which no catalogue of ours holds."""
    selector = f"{name}{{{', '.join(TARGET_MATCHERS)}}}"
    text = f"{function}({selector}[{range_}])" if function else selector
    return Expr(text, ("job", "instance"), frozenset(("job", "instance")))


def data_age(collector: str) -> str:
    """Return the seconds since a collector last brought anything."""
    return f"time() - {QUERY.latest(catalogue.LAST_SUCCESS, collector=collector).max()}"


def data_ages() -> Expr:
    """Return the seconds since each collector last brought anything, in the freshest replica."""
    last_success = QUERY.latest(catalogue.LAST_SUCCESS).max("collector")
    return Expr(f"time() - {last_success}", ("collector",), frozenset())


def token_seconds_left() -> str:
    """Return the seconds until the first token expires."""
    expiry = QUERY.latest(catalogue.TOKEN_EXPIRY)
    return f"min({expiry}) - time()"


def replicas_by_version() -> Expr:
    """Return how many replicas run each version."""
    return QUERY_PER_REPLICA.latest(catalogue.BUILD_INFO).count("version")


def quantile(q: str, family: Family, *by: str) -> str:
    """Return a quantile of the durations that a histogram of ours observed."""
    bucket_rates = QUERY_PER_REPLICA.buckets(family, "$__rate_interval").sum(*by, "le")
    return f"histogram_quantile({q}, {bucket_rates})"


def mean(family: Family, *by: str) -> str:
    """Return the mean of the durations that a histogram of ours observed."""
    total, count = (
        QUERY_PER_REPLICA.rate_of(family, suffix, "$__rate_interval").sum(*by)
        for suffix in ("_sum", "_count")
    )
    return share(total, count)
