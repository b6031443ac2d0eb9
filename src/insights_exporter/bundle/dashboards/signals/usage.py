"""Who uses what, how long, how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from insights_exporter.bundle.dashboards.signals import SCOPE, WINDOW, Where, inventory
from insights_exporter.bundle.queries import Vector, like, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = [
    "DAYS",
    "HOUR",
    "KEY",
    "WEEKS",
    "Bins",
    "app_names",
    "apps",
    "at_hours",
    "at_once",
    "by_ago",
    "hours",
    "hours_before",
    "opens",
    "parameters",
    "per",
    "seats_by_ago",
    "share_of_time",
    "starts",
    "templates_of_users",
    "trend",
    "users",
    "weekly",
    "with_faces",
]

HOUR: Final = "1h"
"""Coder's numbers move every few minutes, so a mean over an hour tells how many people are there."""

KEY: Final = ("organization_name", "template_name")
"""A template's identity."""

_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Bins:
    """How active users are counted: in bins of some days, the newest begun ``first`` days before today."""

    interval: str
    number: int
    days: int
    first: int


DAYS: Final = Bins("day", 7, days=1, first=0)
WEEKS: Final = Bins("week", 12, days=7, first=8)
"""Weeks count back from the start of yesterday, as on Coder's page."""


def by_ago(family: Family, bins: Bins, where: Where) -> Vector:
    """Return active users by how many days or weeks ago."""
    return SCOPE.latest(family, interval=bins.interval, **where).max("ago")


def starts(users: Vector, bins: Bins) -> Vector:
    """Return when each bin began, in milliseconds, for the bins that have users or none."""
    today = f"time() - time() % {_DAY}"
    moments = (f"({today} - {(bins.first + bins.days * ago) * _DAY}) * 1000" for ago in range(bins.number))
    marked = (
        f'label_replace(vector({moment}), "ago", "{ago}", "", "")' for ago, moment in enumerate(moments)
    )
    return Vector(f"({' or '.join(marked)}) and on (ago) {users}", ("ago",), frozenset())


def seats_by_ago(bins: Vector) -> Vector:
    """Return the licence's seats beside each bin."""
    return replace(bins, text=f"{bins} * 0 + on () group_left () {inventory.seats()}", inner="")


def at_once(family: Family, where: Where, *by: str) -> Vector:
    """Return how many people were there on average over the last hour."""
    return SCOPE.increase(family, HOUR, **where).sum(*by).times("/ 3600")


def at_hours(function: str, people: Vector) -> Vector:
    """Return the ``max`` or ``avg`` of people over all hours of the dashboard's range."""
    return replace(people, text=f"{function}_over_time({people}[$__range:1h])", inner="")


def trend(now: Vector, before: Vector) -> Vector:
    """Return by which share a number changed; nothing where it was 0 before."""
    return replace(now, text=f"({share(now, before)} - 1)", inner="")


def per(whole: Vector, by: Vector) -> Vector:
    """Return a ratio of two numbers of the same things; nothing where the second is 0."""
    return replace(whole, text=f"({share(whole, by)})", inner="")


def users(where: Where) -> Vector:
    """Return each template's distinct users in the window."""
    return SCOPE.latest(catalogue.TEMPLATE_UNIQUE_USERS, **where, **WINDOW).max(*KEY)


def hours(where: Where, *by: str) -> Vector:
    """Return the hours that users spent in the window."""
    return SCOPE.latest(catalogue.TEMPLATE_USAGE_WINDOW, **where, **WINDOW).sum(*by).times("/ 3600")


def weekly(where: Where, ago: str) -> Vector:
    """Return each template's distinct users in a complete week."""
    return SCOPE.latest(catalogue.TEMPLATE_ACTIVE_USERS, interval="week", ago=ago, **where).max(*KEY)


def hours_before(days: int, where: Where, *, offset: int = 0) -> Vector:
    """Return the hours that users spent in some days, which ended some days ago."""
    over = f"{days}d offset {offset}d" if offset else f"{days}d"
    return SCOPE.increase(catalogue.TEMPLATE_USAGE, over, **where).sum(*KEY).times("/ 3600")


def app_names(apps_by: Vector) -> Vector:
    """Add the label ``name``: an app's display name, or its slug."""
    # What rose within the hour may outlast the exporter; its name must, too, or an app has two lines.
    named = apps_by.named(SCOPE.over("last_over_time", catalogue.APP_INFO, "1h"), "display_name")
    return named.labelled("name", "app", "display_name")


def apps(where: Where) -> Vector:
    """Return the time in each app that was used at all."""
    used = SCOPE.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **where, **WINDOW).sum("job", "app", "app_type")
    return used.times("> 0")


def opens(where: Where) -> Vector:
    """Return how often apps were opened, where Coder counts that."""
    return (
        SCOPE.latest(catalogue.TEMPLATE_APP_OPENS, **where, **WINDOW)
        .sum("job", "app", "app_type")
        .times("> 0")
    )


def share_of_time(used: Vector) -> Vector:
    """Return each app's percentage of the time shown, cut off as the page does."""
    return used.share_of_all("job").times("* 100").of("floor")


def with_faces(users: Vector) -> Vector:
    """Add the address of each user's picture."""
    return users.named(SCOPE.latest(catalogue.USER_INFO), "avatar_url")


def templates_of_users(window: str = "$window") -> Vector:
    """Return how many templates each user used in the window."""
    used = SCOPE.latest(catalogue.USER_ACTIVITY_WINDOW, window=window)
    return used.times("> 0").count("job", "username")


def parameters(where: Where) -> Vector:
    """Return the workspaces per value of each parameter, the most chosen first.

    Where a parameter has options, other values are left out, as on Coder's page.
    """
    info, family = SCOPE.latest(catalogue.PARAMETER_INFO, **where), catalogue.PARAMETER_INFO
    chosen = SCOPE.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **where, **WINDOW)
    of_value = ", ".join(label for label in chosen.labels if label != "parameter_type")
    of_parameter = of_value.removesuffix(", parameter_value")
    option, other = (SCOPE.select(family, **where, option_name=name) for name in (like(".+"), ""))
    text = f"({chosen} unless on ({of_value}) ({other} and on ({of_parameter}) {option}))"
    shown = replace(chosen, text=text, inner="").named(info, "display_name", "option_name", "is_default")
    shown = shown.labelled("parameter", "parameter_name", "display_name")
    return shown.labelled("value", "parameter_value", "option_name").of("sort_desc")
