"""Who uses what, how long, how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dashboards.generator.queries import QUERY, WINDOW, Matchers, inventory
from insights_exporter.bundle.promql import Expr, regex, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "CONCURRENCY_RANGE",
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
    "hourly_aggregate",
    "hours",
    "hours_in_days",
    "parameter_usage",
    "ratio",
    "relative_change",
    "seats_by_offset",
    "templates_per_user",
    "users",
    "weekly_users",
    "with_app_names",
    "with_avatars",
]

CONCURRENCY_RANGE: Final = "1h"
"""Coder's numbers move every few minutes, so a mean over an hour tells how many people are there."""

TEMPLATE_LABELS: Final = ("organization_name", "template_name")
"""A template's identity."""

_DAY_SECONDS: Final = 86400


@dataclass(frozen=True, slots=True)
class Buckets:
    """How active users are counted: in bins of some days, the newest begun ``first`` days before today."""

    interval: str
    count: int
    length_days: int
    newest_start_days: int


DAY_BUCKETS: Final = Buckets("day", 7, length_days=1, newest_start_days=0)
WEEK_BUCKETS: Final = Buckets("week", 12, length_days=7, newest_start_days=8)
"""Weeks count back from the start of yesterday, as on Coder's page."""


def active_users_by_ago(family: Family, buckets: Buckets, matchers: Matchers) -> Expr:
    """Return active users by how many days or weeks ago."""
    return QUERY.latest(family, interval=buckets.interval, **matchers).max("ago")


def bucket_start_times(users: Expr, buckets: Buckets) -> Expr:
    """Return when each bin began, in milliseconds, for the bins that have users or none."""
    today = f"time() - time() % {_DAY_SECONDS}"
    start_times = (
        f"({today} - {(buckets.newest_start_days + buckets.length_days * ago) * _DAY_SECONDS}) * 1000"
        for ago in range(buckets.count)
    )
    labelled_times = (
        f'label_replace(vector({start_time}), "ago", "{ago}", "", "")'
        for ago, start_time in enumerate(start_times)
    )
    return Expr(f"({' or '.join(labelled_times)}) and on (ago) {users}", ("ago",), frozenset())


def seats_by_offset(active_users: Expr) -> Expr:
    """Return the licence's seats beside each bin."""
    return replace(
        active_users, text=f"{active_users} * 0 + on () group_left () {inventory.seats()}", max_operand=""
    )


def concurrent_users(family: Family, matchers: Matchers, *by: str) -> Expr:
    """Return how many people were there on average over the last hour."""
    return QUERY.increase(family, CONCURRENCY_RANGE, **matchers).sum(*by).binary_op("/ 3600")


def hourly_aggregate(function: str, concurrent: Expr) -> Expr:
    """Return the ``max`` or ``avg`` of people over all hours of the dashboard's range."""
    return replace(concurrent, text=f"{function}_over_time({concurrent}[$__range:1h])", max_operand="")


def relative_change(now: Expr, before: Expr) -> Expr:
    """Return by which share a number changed; nothing where it was 0 before."""
    return replace(now, text=f"({share(now, before)} - 1)", max_operand="")


def ratio(numerator: Expr, denominator: Expr) -> Expr:
    """Return a ratio of two numbers of the same things; nothing where the second is 0."""
    return replace(numerator, text=f"({share(numerator, denominator)})", max_operand="")


def users(matchers: Matchers) -> Expr:
    """Return each template's distinct users in the window."""
    return QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, **matchers, **WINDOW).max(*TEMPLATE_LABELS)


def hours(matchers: Matchers, *by: str) -> Expr:
    """Return the hours that users spent in the window."""
    return QUERY.latest(catalogue.TEMPLATE_USAGE_WINDOW, **matchers, **WINDOW).sum(*by).binary_op("/ 3600")


def weekly_users(matchers: Matchers, ago: str) -> Expr:
    """Return each template's distinct users in a complete week."""
    return QUERY.latest(catalogue.TEMPLATE_ACTIVE_USERS, interval="week", ago=ago, **matchers).max(
        *TEMPLATE_LABELS
    )


def hours_in_days(days: int, matchers: Matchers, *, offset: int = 0) -> Expr:
    """Return the hours that users spent in some days, which ended some days ago."""
    range_ = f"{days}d offset {offset}d" if offset else f"{days}d"
    return (
        QUERY.increase(catalogue.TEMPLATE_USAGE, range_, **matchers).sum(*TEMPLATE_LABELS).binary_op("/ 3600")
    )


def with_app_names(usage: Expr) -> Expr:
    """Add the label ``name``: an app's display name, or its slug."""
    # What rose within the hour may outlast the exporter; its name must, too, or an app has two lines.
    with_display_name = usage.join_info(
        QUERY.over_time("last_over_time", catalogue.APP_INFO, "1h"), "display_name"
    )
    return with_display_name.coalesce_label("name", "app", "display_name")


def app_usage(matchers: Matchers) -> Expr:
    """Return the time in each app that was used at all."""
    seconds = QUERY.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **matchers, **WINDOW).sum(
        "job", "app", "app_type"
    )
    return seconds.binary_op("> 0")


def app_opens(matchers: Matchers) -> Expr:
    """Return how often apps were opened, where Coder counts that."""
    return (
        QUERY.latest(catalogue.TEMPLATE_APP_OPENS, **matchers, **WINDOW)
        .sum("job", "app", "app_type")
        .binary_op("> 0")
    )


def app_usage_share(usage: Expr) -> Expr:
    """Return each app's percentage of the time shown, cut off as the page does."""
    return usage.share_of_total("job").binary_op("* 100").apply("floor")


def with_avatars(users: Expr) -> Expr:
    """Add the address of each user's picture."""
    return users.join_info(QUERY.latest(catalogue.USER_INFO), "avatar_url")


def templates_per_user(window: str = "$window") -> Expr:
    """Return how many templates each user used in the window."""
    seconds = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, window=window)
    return seconds.binary_op("> 0").count("job", "username")


def parameter_usage(matchers: Matchers) -> Expr:
    """Return the workspaces per value of each parameter, the most chosen first.

    Where a parameter has options, other values are left out, as on Coder's page.
    """
    info, family = QUERY.latest(catalogue.PARAMETER_INFO, **matchers), catalogue.PARAMETER_INFO
    workspaces = QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **matchers, **WINDOW)
    value_labels = ", ".join(label for label in workspaces.labels if label != "parameter_type")
    parameter_labels = value_labels.removesuffix(", parameter_value")
    option, non_option = (QUERY.selector(family, **matchers, option_name=name) for name in (regex(".+"), ""))
    text = f"({workspaces} unless on ({value_labels}) ({non_option} and on ({parameter_labels}) {option}))"
    named_values = replace(workspaces, text=text, max_operand="").join_info(
        info, "display_name", "option_name", "is_default"
    )
    named_values = named_values.coalesce_label("parameter", "parameter_name", "display_name")
    return named_values.coalesce_label("value", "parameter_value", "option_name").apply("sort_desc")
