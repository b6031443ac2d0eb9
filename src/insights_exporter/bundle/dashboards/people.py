"""Panels on people: who may need a hand, and with what."""

from __future__ import annotations

from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.house import IN_ACCENT, NO_NAMED_REPORTS, NO_NAMES
from insights_exporter.bundle.dashboards.signals import SCOPE, SEVERAL, SOME_USERS, usage
from insights_exporter.bundle.dashboards.styles import About, Built
from insights_exporter.bundle.dashboards.tables import Column, Look, listing, share_column
from insights_exporter.bundle.queries import Vector, but
from insights_exporter.metrics import catalogue

__all__ = ["low_usage", "preferred_apps", "without_activity"]

_USER = Column(source="username", title="User")
_LAST_SEEN = Column(source="B", title="Last seen", unit=units.AGO, width=150, empty="never")


def _seen() -> Vector:
    seen = SCOPE.latest(catalogue.USER_LAST_SEEN, username=SOME_USERS)
    return seen.max("username").times("* 1000")


def _month() -> Vector:
    """Return the hours of each user in the last thirty days; nothing for those without any."""
    used = SCOPE.latest(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d", username=SOME_USERS)
    return used.max("username").times("/ 3600 > 0")


def without_activity() -> Built:
    """Return those who hold a seat and did not use it."""
    holders = SCOPE.latest(catalogue.USER_INFO, status="active", username=SOME_USERS).max("username")
    idle = holders.lacking(_month(), "username")
    seen = _seen().having(idle, "username")
    what = (
        "Active accounts, each of which takes a seat, that used no workspace in the last 30 days, and when "
        "Coder last saw them. The longest away come first; some never came."
    )
    about = About(title="Users without activity", what=what, unit=units.USERS, empty=NO_NAMES)
    return listing(about, [idle, seen], [_USER, _LAST_SEEN], sort="Last seen", falling=False)


def low_usage() -> Built:
    """Return those who use little, in comparison with everybody."""
    month = _month()
    everybody = SCOPE.latest(
        catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d", username=but(catalogue.OTHER)
    )
    typical = f"scalar(quantile(0.5, {everybody.max('username').times('/ 3600 > 0')}))"
    templates = usage.templates_of_users("30d").max("username")
    queries = [
        month,
        _seen().having(month, "username"),
        month.times(f"/ {typical}"),
        templates.having(month, "username"),
    ]
    columns = [
        _USER,
        Column(source="A", title="Hours in 30 days", unit=units.HOURS, width=140),
        Column(
            source="C",
            title="Of the median user",
            unit=units.SHARE,
            look=Look.BAR,
            steps=IN_ACCENT,
            most=1,
        ),
        Column(source="D", title="Templates", unit=units.count("templates"), width=100),
        _LAST_SEEN,
    ]
    what = (
        "Users with the fewest hours in the last 30 days, as a share of what the median user spent: "
        "newcomers and those who may have got stuck."
    )
    about = About(title="Low usage", what=what, unit=units.HOURS, empty=NO_NAMES)
    return listing(about, queries, columns, sort="Hours in 30 days", falling=False)


def preferred_apps() -> Built:
    """Return the app in which each user spends most time."""
    person = {**SEVERAL, "username": SOME_USERS}
    by_app = SCOPE.increase(catalogue.USER_APP_SESSION, **person).sum("username", "app")
    first = Vector(f"topk by (username) (1, {by_app} > 0)", by_app.labels, frozenset())
    all_apps = f"sum by (username) ({by_app})"
    share = Vector(f"({first} / on (username) group_left () {all_apps})", by_app.labels, frozenset())
    count = Vector(f"count by (username) ({by_app} > 0)", ("username",), frozenset())
    columns = [
        _USER,
        Column(source="name", title="Preferred app"),
        Column(source="A", title="Hours in it", unit=units.HOURS, width=120),
        share_column("B", "Share of all sessions"),
        Column(source="C", title="Apps used", unit=units.count("apps"), width=110),
    ]
    what = (
        "The app that each user had open longest in the range that is shown, in hours and as a share of all "
        "apps' hours, and how many apps they used. Coder's API does not tell this, agents' reports do."
    )
    about = About(title="Preferred apps", what=what, unit=units.HOURS, empty=NO_NAMED_REPORTS)
    return listing(about, [usage.app_names(first.times("/ 3600")), share, count], columns, sort="Hours in it")
