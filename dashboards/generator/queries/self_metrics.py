"""The exporter's own metrics: data age, causes of missing data, requests and resources."""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY
from insights_exporter.bundle.promql import TARGET_MATCHERS, Expr, QueryBuilder, regex, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "LATE_POLLS",
    "LOOKBACK",
    "OLD_POLLS",
    "QUERY_PER_REPLICA",
    "coder_failing",
    "data_age",
    "data_ages",
    "exporter_silent",
    "fresh",
    "last_reported",
    "mean",
    "nonzero_or_none",
    "poll_interval",
    "process_metric",
    "quantile",
    "replicas_up",
    "reporting",
    "token_rejected",
    "token_seconds_left",
]

QUERY_PER_REPLICA: Final = QueryBuilder(TARGET_MATCHERS, ("job", "instance"))
"""Queries that keep each replica separate."""

LOOKBACK: Final = "7d"
"""Range in which the last report is searched, so that ages of a silent exporter keep growing."""

LATE_POLLS: Final = 3
OLD_POLLS: Final = 6
"""Poll intervals without success after which data is late, or old. Six of five minutes are
``poll.max_staleness``.
"""

_FAILURE_RANGE: Final = "20m"
_REJECTED: Final = regex("token_.+|user_suspended")


def _targets() -> str:
    """Return the targets that are exporters; ``up`` of all jobs matches every target of Prometheus."""
    build_info = QUERY_PER_REPLICA.over_time("last_over_time", catalogue.BUILD_INFO, LOOKBACK)
    return f"max by (job, instance) ({build_info})"


def process_metric(name: str, *, range_: str = "", function: str = "") -> Expr:
    """Return a metric of Prometheus or of the process for each replica of the exporter."""
    selector = f"{name}{{{', '.join(TARGET_MATCHERS)}}}"
    text = f"{function}({selector}[{range_}])" if function else selector
    labels = ("job", "instance")
    return Expr(f"({text} and on (job, instance) {_targets()})", labels, frozenset(labels))


def replicas_up() -> Expr:
    """Return the number of replicas that Prometheus can scrape."""
    return process_metric("up").sum()


def reporting() -> Expr:
    """Return the number of replicas whose metrics Prometheus has; absent for none."""
    return QUERY_PER_REPLICA.latest(catalogue.BUILD_INFO).count()


def exporter_silent() -> str:
    """Return 1 while the exporter was scraped within the lookback and reports nothing now."""
    seen = QUERY.over_time("last_over_time", catalogue.BUILD_INFO, LOOKBACK)
    return f"count({seen}) * 0 + 1 unless on () {reporting()}"


def _failing(collector: str = "insights") -> Expr:
    return QUERY.latest(catalogue.COLLECTOR_SUCCESS, collector=collector).max().binary_op("== 0")


def token_rejected() -> str:
    """Return 1 while Coder rejects the token or its user and nothing can be collected."""
    rejections = QUERY_PER_REPLICA.increase(
        catalogue.COLLECTOR_ERRORS, _FAILURE_RANGE, reason=_REJECTED, collector="insights"
    ).sum("reason")
    return f"({_failing()} + 1) and on () (sum({rejections}) > 0)"


def coder_failing() -> str:
    """Return 1 while the collector of Coder's insights fails for another reason than the token."""
    return f"({_failing()} + 1) unless on () ({token_rejected()})"


def last_reported(family: Family) -> Expr:
    """Return the last value of a family within the lookback."""
    return QUERY.over_time("last_over_time", family, LOOKBACK)


def data_age(collector: str = "insights") -> str:
    """Return the seconds since a collector last succeeded; it keeps growing while the exporter is down."""
    last_success = QUERY.over_time("max_over_time", catalogue.LAST_SUCCESS, LOOKBACK, collector=collector)
    return f"time() - {last_success.max()}"


def fresh() -> str:
    """Return a series while Coder's insights are younger than six poll intervals."""
    last_success = QUERY.latest(catalogue.LAST_SUCCESS, collector="insights").max()
    return f"(time() - {last_success} < {OLD_POLLS} * {poll_interval()})"


def poll_interval() -> str:
    """Return the poll interval in seconds as a scalar."""
    return f"scalar({last_reported(catalogue.POLL_INTERVAL).max()})"


def data_ages(range_: str = LOOKBACK) -> Expr:
    """Return the seconds since each collector last succeeded, in the freshest replica."""
    last_success = QUERY.over_time("max_over_time", catalogue.LAST_SUCCESS, range_).max("collector")
    return Expr(f"time() - {last_success}", ("collector",), frozenset())


def token_seconds_left() -> str:
    """Return the seconds until the first token expires."""
    return f"min({last_reported(catalogue.TOKEN_EXPIRY)}) - time()"


def nonzero_or_none(family: Family, label: str, *by: str) -> str:
    """Return the increase of a counter where it is above 0, and a series ``none`` at 0 while it has none.

    Without the exporter there is no series at all, so an empty panel never means "no errors".
    """
    increase = QUERY_PER_REPLICA.increase(family, "$__rate_interval").sum(*by).binary_op("> 0")
    none = f'label_replace({reporting()} * 0, "{label}", "none", "", "")'
    return f"{increase} or ({none} unless on () {increase})"


def quantile(q: str, family: Family, *by: str) -> str:
    """Return a quantile of durations."""
    bucket_rates = QUERY_PER_REPLICA.buckets(family, "$__rate_interval").sum(*by, "le")
    return f"histogram_quantile({q}, {bucket_rates})"


def mean(family: Family, *by: str) -> str:
    """Return the mean of durations."""
    total, count = (
        QUERY_PER_REPLICA.rate_of(family, suffix, "$__rate_interval").sum(*by)
        for suffix in ("_sum", "_count")
    )
    return share(total, count)
