"""How far templates have spread, month against month, in tables made to be exported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from insights_exporter.bundle.boards import ADOPTION_REPORT
from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.signals import SCOPE, SEVERAL, WINDOW, Where, inventory, usage
from insights_exporter.bundle.dashboards.signals.usage import KEY
from insights_exporter.bundle.dashboards.styles import LIMIT, About, Built, graph, number
from insights_exporter.bundle.dashboards.tables import (
    ORGANIZATION,
    TEMPLATE,
    Column,
    listing,
    share_column,
    trend_column,
)
from insights_exporter.bundle.dashboards.targets import series
from insights_exporter.bundle.dashboards.variables import several_templates
from insights_exporter.bundle.queries import Vector, but, share
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_MONTH: Final = 30
_SECONDS: Final = _MONTH * 86400
_ALL: Final[Where] = {}


def build() -> dict[str, Any]:
    """Return the dashboard."""
    adoption = [
        Line(4, [(4, panel) for panel in _headline()]),
        Line(10, [(24, _by_template())]),
        Line(7, [(24, _by_organization())]),
    ]
    months = [Line(10, [(24, _months())])]
    course = [
        Line(9, [(12, _users()), (12, _rate())]),
        Line(9, [(12, _daily_hours()), (12, _per_user())]),
    ]
    rows = [Row("Adoption", adoption), Row("Month against month", months), Row("Over time", course)]
    return document(ADOPTION_REPORT, several_templates(window="30d"), rows, since="now-90d")


def _everybody(window: Where = WINDOW) -> Vector:
    return SCOPE.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, **window).max()


def _adoption() -> str:
    return share(_everybody(), inventory.accounts())


def _hours_each() -> str:
    return share(usage.hours(_ALL), _everybody())


def _utilization(*by: str) -> Vector:
    """Return the share of the time in which workspaces ran that somebody worked in them."""
    worked = SCOPE.increase(catalogue.TEMPLATE_USAGE, f"{_MONTH}d", **SEVERAL).sum(*by)
    running = SCOPE.over(
        "avg_over_time", catalogue.WORKSPACES, f"{_MONTH}d", status="running", **SEVERAL
    ).sum(*by)
    return usage.per(worked, running.times(f"* {_SECONDS}"))


def _headline() -> list[Built]:
    return [
        number(
            About(
                title="Adoption rate",
                what="Active accounts that used any template in the window, as a share of all.",
                unit=units.SHARE,
            ),
            series(_adoption()),
        ),
        number(
            About(title="Users", what="Distinct users of any template in the window.", unit=units.USERS),
            series(_everybody()),
        ),
        number(
            About(
                title="Developer hours",
                what="Hours that users spent in the selected templates in the window.",
                unit=units.count("hours"),
            ),
            series(usage.hours(SEVERAL)),
        ),
        number(
            About(
                title="Hours per active user",
                what="Hours in all templates in the window, divided by the users of any of them.",
                unit=units.HOURS,
            ),
            series(_hours_each()),
        ),
        number(
            About(
                title="Workspace utilization",
                what=(
                    "Share of the time in which workspaces of the selected templates ran that somebody "
                    "worked in them, over 30 days."
                ),
                unit=units.SHARE,
            ),
            series(_utilization()),
        ),
        number(
            About(
                title="Templates in use",
                what="Selected templates with a user in the window.",
                unit=units.count("templates"),
            ),
            series(usage.users(SEVERAL).times("> 0").count()),
        ),
    ]


def _by_template() -> Built:
    users, hours = usage.users(SEVERAL), usage.hours(SEVERAL, *KEY)
    workspaces = inventory.workspaces(SEVERAL).sum(*KEY)
    queries = [
        users,
        users.times(f"/ on () group_left () ({inventory.accounts()} > 0)"),
        hours,
        usage.per(hours, users),
        workspaces,
        _utilization(*KEY),
        SCOPE.latest(catalogue.TEMPLATE_CREATED, **SEVERAL).max(*KEY).times("* 1000"),
    ]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Users", unit=units.USERS, width=80),
        share_column("B", "Adoption rate"),
        Column(source="C", title="Hours", unit=units.HOURS, width=100),
        Column(source="D", title="Hours per user", unit=units.HOURS, width=130),
        Column(source="E", title="Workspaces", unit=units.count("workspaces"), width=110),
        share_column("F", "Utilization"),
        Column(source="G", title="Created", unit=units.MOMENT, width=185),
    ]
    what = (
        "Distinct users in the window and their share of all active accounts, hours, workspaces of any "
        "status, and the share of their running time of 30 days in which somebody worked."
    )
    about = About(title="Adoption by template", what=what, unit=units.count("users, hours and shares"))
    return listing(about, queries, columns, sort="Users")


def _by_organization() -> Built:
    by = "organization_name"
    people = SCOPE.latest(
        catalogue.USER_ACTIVITY_WINDOW, username=but(catalogue.OTHER), **SEVERAL, **WINDOW
    ).times("> 0")
    users = people.max(by, "username").count(by)
    hours = usage.hours(SEVERAL, by)
    templates = usage.users(SEVERAL).times("> 0").count(by)
    queries = [
        users,
        users.times(f"/ on () group_left () ({inventory.accounts()} > 0)"),
        hours,
        hours.times(f"/ on () group_left () ({usage.hours(SEVERAL)} > 0)"),
        templates,
        inventory.workspaces(SEVERAL).sum(by),
        _utilization(by),
    ]
    columns = [
        ORGANIZATION,
        Column(source="A", title="Users", unit=units.USERS, width=80),
        share_column("B", "Adoption rate"),
        Column(source="C", title="Hours", unit=units.HOURS, width=100),
        share_column("D", "Share of hours"),
        Column(source="E", title="Templates in use", unit=units.count("templates"), width=140),
        Column(source="F", title="Workspaces", unit=units.count("workspaces"), width=110),
        share_column("G", "Utilization"),
    ]
    what = (
        "The same by organization. Each user counts once, which takes names: where user names are switched "
        "off, users stay empty, and beyond the limit of series some are missed."
    )
    about = About(title="Adoption by organization", what=what, unit=units.count("users, hours and shares"))
    return listing(about, queries, columns, sort="Hours")


def _months() -> Built:
    family, month = catalogue.TEMPLATE_UNIQUE_USERS, f"{_MONTH}d"
    users = SCOPE.latest(family, window=month, **SEVERAL).max(*KEY)
    users_before = SCOPE.at(family, month, window=month, **SEVERAL).max(*KEY)
    hours = usage.hours_before(_MONTH, SEVERAL)
    hours_before = usage.hours_before(_MONTH, SEVERAL, offset=_MONTH)
    built = inventory.workspaces(SEVERAL).sum(*KEY)
    built_before = SCOPE.at(catalogue.WORKSPACES, month, **SEVERAL).sum(*KEY)
    queries = [
        *(users, users_before, usage.trend(users, users_before)),
        *(hours, hours_before, usage.trend(hours, hours_before)),
        *(built, built_before, usage.trend(built, built_before)),
    ]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Users", unit=units.USERS, width=80),
        Column(source="B", title="Users before", unit=units.USERS),
        trend_column("C", "Change of users"),
        Column(source="D", title="Hours", unit=units.HOURS, width=90),
        Column(source="E", title="Hours before", unit=units.HOURS),
        trend_column("F", "Change of hours"),
        Column(source="G", title="Workspaces", unit=units.count("workspaces")),
        Column(source="H", title="Workspaces before", unit=units.count("workspaces"), width=160),
        replace(trend_column("I", "Change of workspaces"), width=185),
    ]
    what = (
        "The last 30 days against the 30 before: distinct users, hours, workspaces of any status. Columns of "
        "the time before fill once Prometheus has been scraping for 60 days, or after a backfill."
    )
    about = About(title="Last 30 days and before", what=what, unit=units.count("users, hours and workspaces"))
    return listing(about, queries, columns, sort="Hours")


def _users() -> Built:
    targets = [
        series(_everybody({"window": "30d"}), "in 30 days"),
        series(_everybody({"window": "7d"}), "in 7 days"),
        series(inventory.accounts(), "active accounts"),
        series(inventory.seats(), "Licensed seats"),
    ]
    what = "Distinct users of any template in the 30 and 7 days before, beside accounts and licensed seats."
    about = About(title="Users and accounts", what=what, unit=units.USERS)
    return graph(about, targets, overrides=[("Licensed seats", LIMIT)], filled=0)


def _rate() -> Built:
    what = "Active accounts that used any template in the window, as a share of all."
    about = About(title="Adoption over time", what=what, unit=units.SHARE)
    return graph(about, [series(_adoption(), "adoption")], legend=False, most=1)


def _daily_hours() -> Built:
    # The offset puts each day's hours to the midnight at which it begins.
    day = SCOPE.increase(catalogue.TEMPLATE_USAGE, "1d offset -1d", **SEVERAL).sum(*KEY).times("/ 3600")
    what = "Hours that users spent in each template on each day (UTC); the last day so far."
    about = About(title="Developer hours per day", what=what, unit=units.HOURS)
    return graph(
        about,
        [series(day, "{{organization_name}} / {{template_name}}", interval="1d")],
        as_bars=True,
        stacked=True,
    )


def _per_user() -> Built:
    what = "Hours in all templates in the window, divided by the users of any of them."
    about = About(title="Hours per user over time", what=what, unit=units.HOURS)
    return graph(about, [series(_hours_each(), "hours per user")], legend=False)
