"""Users, hours and apps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from dashboards.generator.queries import QUERY, WINDOW, Matchers, self_metrics
from insights_exporter.bundle.promql import Expr, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "DAY_BUCKETS",
    "TEMPLATE_LABELS",
    "WEEK_BUCKETS",
    "Buckets",
    "active_users_by_ago",
    "app_opens",
    "app_usage",
    "app_usage_share",
    "bucket_start_times",
    "concurrent_users",
    "created_at",
    "dates_by_ago",
    "deployment_users",
    "fresh_interval",
    "hourly_aggregate",
    "hours",
    "label_values_as_vector",
    "ratio",
    "relative_change",
    "templates_per_user",
    "users",
    "users_on_last_day",
    "weekly_users",
    "with_app_icons",
    "with_app_info",
    "with_app_names",
    "with_avatars",
]

TEMPLATE_LABELS: Final = ("organization_name", "template_name")

_CONCURRENCY_RANGE: Final = "1h"
"""Coder updates its numbers every five minutes, so the mean of an hour is the shortest useful one."""

_DAY_SECONDS: Final = 86400


@dataclass(frozen=True, slots=True)
class Buckets:
    """Days or weeks of active users; the newest one begins ``newest_start_days`` before today."""

    interval: str
    count: int
    length_days: int
    newest_start_days: int


DAY_BUCKETS: Final = Buckets("day", 7, length_days=1, newest_start_days=0)
WEEK_BUCKETS: Final = Buckets("week", 12, length_days=7, newest_start_days=8)
"""Weeks count back from the start of yesterday, as on Coder's page."""


def active_users_by_ago(family: Family, buckets: Buckets, matchers: Matchers) -> Expr:
    """Return active users by ``ago``, the number of days or weeks."""
    return QUERY.latest(family, interval=buckets.interval, **matchers).max("ago")


def label_values_as_vector(label: str, values: Iterable[tuple[str, str]]) -> str:
    """Return a vector with one series for each pair of a label value and a scalar expression."""
    return " or ".join(
        f'label_replace(vector({scalar}), "{label}", "{value}", "", "")' for value, scalar in values
    )


def dates_by_ago(days_ahead: Iterable[tuple[int, int]]) -> str:
    """Return dates in milliseconds by ``ago``; the pairs have it and the days after the date of the data."""
    distances = label_values_as_vector(
        "ago", ((str(ago), str(days * _DAY_SECONDS)) for ago, days in days_ahead)
    )
    return f"(({distances}) + on () group_left () {QUERY.latest(catalogue.TODAY).max()}) * 1000"


def bucket_start_times(users: Expr, buckets: Buckets) -> Expr:
    """Return the start of each bucket in milliseconds."""
    starts = dates_by_ago(
        (ago, -buckets.newest_start_days - buckets.length_days * ago) for ago in range(buckets.count)
    )
    return Expr(f"{starts} and on (ago) {users}", ("ago",), frozenset())


def fresh_interval(range_: str = _CONCURRENCY_RANGE) -> str:
    """Return a series while the data was fresh at both ends of the interval.

    After failed polls, a counter catches up in one step. The increase of an interval is only right if the
    data was at most three poll intervals old at its beginning and at its end.
    """
    now = QUERY.latest(catalogue.LAST_SUCCESS, collector="insights").max()
    before = QUERY.at_offset(catalogue.LAST_SUCCESS, range_, collector="insights").max()
    max_age = f"{self_metrics.LATE_POLLS} * {self_metrics.poll_interval()}"
    return f"(time() - {now} < {max_age} and time() - 3600 - {before} < {max_age})"


def concurrent_users(family: Family, matchers: Matchers, *by: str, limit: Expr | None = None) -> Expr:
    """Return the mean number of users at the same time in the hour before, up to a limit."""
    mean = QUERY.increase(family, _CONCURRENCY_RANGE, **matchers).sum(*by).binary_op("/ 3600")
    fresh = mean.and_on(fresh_interval())
    return fresh if limit is None else fresh.minimum(limit, *by)


def hourly_aggregate(function: str, concurrent: Expr) -> Expr:
    """Return the ``max`` or ``avg`` of users at the same time over all hours of the range."""
    return replace(concurrent, text=f"{function}_over_time({concurrent}[$__range:1h])", max_operand="")


def relative_change(now: Expr, before: Expr) -> Expr:
    """Return the relative change; absent if the earlier value is 0."""
    return replace(now, text=f"({share(now, before)} - 1)", max_operand="")


def ratio(numerator: Expr, denominator: Expr) -> Expr:
    """Return a ratio; absent if the denominator is 0."""
    return replace(numerator, text=f"({share(numerator, denominator)})", max_operand="")


def deployment_users(window: str = "$window") -> Expr:
    """Return the distinct users of all templates."""
    return QUERY.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, window=window).max()


def users_on_last_day() -> Expr:
    """Return the distinct users of all templates on the last complete day."""
    return QUERY.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, interval="day", ago="1").max()


def users(matchers: Matchers, window: str = "$window") -> Expr:
    """Return the distinct users of each template."""
    return QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, window=window, **matchers).max(*TEMPLATE_LABELS)


def hours(matchers: Matchers, *by: str, window: str = "$window", offset: str = "") -> Expr:
    """Return the hours that users spent in the window, which Coder computes from the first poll on."""
    family, labels = catalogue.TEMPLATE_USAGE_WINDOW, {"window": window, **matchers}
    seconds = QUERY.at_offset(family, offset, **labels) if offset else QUERY.latest(family, **labels)
    return seconds.sum(*by).binary_op("/ 3600")


def weekly_users(matchers: Matchers, ago: str) -> Expr:
    """Return the distinct users of each template in a complete week."""
    return QUERY.latest(catalogue.TEMPLATE_ACTIVE_USERS, interval="week", ago=ago, **matchers).max(
        *TEMPLATE_LABELS
    )


def created_at(matchers: Matchers) -> Expr:
    """Return the time of creation of each template in milliseconds."""
    return QUERY.latest(catalogue.TEMPLATE_CREATED, **matchers).max(*TEMPLATE_LABELS).binary_op("* 1000")


def with_app_names(usage: Expr) -> Expr:
    """Add the label ``name``: the display name of an app, or its slug."""
    return with_app_info(usage, "display_name")


def with_app_info(usage: Expr, *labels: str) -> Expr:
    """Add labels of the app, and ``name``: its display name or slug."""
    # An increase outlasts the exporter by an hour. Without last_over_time the app would then lose its name.
    info = QUERY.over_time("last_over_time", catalogue.APP_INFO, "1h")
    return usage.join_info(info, *labels).coalesce_label("name", "app", "display_name")


def with_app_icons(usage: Expr) -> Expr:
    """Add the label ``icon_url`` to apps with an icon; Coder serves relative paths below its own URL."""
    with_url = usage.join_info(QUERY.latest(catalogue.DEPLOYMENT_INFO), "dashboard_url")
    text = f'label_join({with_url}, "icon_url", "", "dashboard_url", "icon")'
    text = f'label_replace({text}, "icon_url", "$1", "icon", "(https?://.+)")'
    for label, pattern in (("icon", ""), ("icon_url", "/.*")):
        text = f'label_replace({text}, "icon_url", "", "{label}", "{pattern}")'
    return replace(with_url, text=text, labels=(*with_url.labels, "icon_url"), max_operand="")


def app_usage(matchers: Matchers) -> Expr:
    """Return the seconds in each used app."""
    seconds = QUERY.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **matchers, **WINDOW)
    return seconds.sum("job", "app", "app_type").binary_op("> 0")


def app_opens(matchers: Matchers) -> Expr:
    """Return how often each app was opened, for apps with that count."""
    opens = QUERY.latest(catalogue.TEMPLATE_APP_OPENS, **matchers, **WINDOW)
    return opens.sum("job", "app", "app_type").binary_op("> 0")


def app_usage_share(usage: Expr) -> Expr:
    """Return the percentage of each app, rounded down as on Coder's page."""
    return usage.share_of_total("job").binary_op("* 100").apply("floor")


def with_avatars(users: Expr) -> Expr:
    """Add the avatar URL of each user."""
    return users.join_info(QUERY.latest(catalogue.USER_INFO), "avatar_url")


def templates_per_user(window: str = "$window") -> Expr:
    """Return the number of templates that each user used."""
    seconds = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, window=window)
    return seconds.binary_op("> 0").count("job", "username")
