"""Coder's page, panel for panel, for one template."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.boards import TEMPLATE_INSIGHTS
from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.house import (
    ACCENT,
    AMBER,
    BANDS,
    GREEN,
    GREY,
    IN_ACCENT,
    LATENCY_S,
    NO_NAMES,
    NO_REPORTS,
    RED,
    SLOW_SHARE,
    Steps,
)
from insights_exporter.bundle.dashboards.signals import ONE, SCOPE, WINDOW, inventory, latency, own, usage
from insights_exporter.bundle.dashboards.styles import (
    LIMIT,
    About,
    Built,
    bars,
    graph,
    number,
    painted,
    spectrum,
)
from insights_exporter.bundle.dashboards.tables import Column, Look, latency_column, listing
from insights_exporter.bundle.dashboards.targets import at_end, buckets, rows, series
from insights_exporter.bundle.dashboards.variables import one_template
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_STALE: Final[Steps] = ((None, GREEN), (900, AMBER), (1800, RED))


def build() -> dict[str, Any]:
    """Return the dashboard."""
    page = [
        Line(4, [(4, panel) for panel in _headline()]),
        Line(9, [(8, _days()), (8, _weeks()), (8, _latency_by_user())]),
        Line(10, [(16, _apps()), (8, _activity())]),
        Line(10, [(24, _parameters())]),
    ]
    history = [
        Line(9, [(12, _users_over_time()), (12, _apps_over_time())]),
        Line(9, [(8, _bands()), (8, _latency_over_time()), (8, _latency_spectrum())]),
    ]
    reports = [Line(9, [(12, _sessions()), (12, _reported_latency())])]
    rows_ = [Row("Template insights", page), Row("History", history), Row("Agent reports", reports)]
    return document(TEMPLATE_INSIGHTS, one_template(), rows_)


def _headline() -> list[Built]:
    users = SCOPE.latest(catalogue.TEMPLATE_UNIQUE_USERS, **ONE, **WINDOW).max()
    time = SCOPE.latest(catalogue.TEMPLATE_USAGE_WINDOW, **ONE, **WINDOW).max()
    return [
        number(
            About(title="Users", what="Distinct users of the template in the window.", unit=units.USERS),
            series(users),
        ),
        number(
            About(title="Time in use", what="Time of all users together in the window.", unit=units.CLOCK),
            series(time),
        ),
        number(
            About(
                title="Typical latency",
                what="The round trip that half of the users stay below, each by their median in the window.",
                unit=units.SECONDS,
            ),
            series(latency.quantile("0.5", "p50", ONE)),
            steps=LATENCY_S,
        ),
        number(
            About(
                title="Slow users",
                what="Share of measured users whose 95th percentile lies at 300 ms or above.",
                unit=units.SHARE,
            ),
            series(latency.slow_share(ONE)),
            steps=SLOW_SHARE,
        ),
        number(
            About(
                title="Running workspaces",
                what="Workspaces of the template that are running now.",
                unit=units.count("workspaces"),
            ),
            series(inventory.workspaces(ONE, "running").max()),
        ),
        number(
            About(
                title="Age of the data",
                what="Time since the exporter last read Coder's insights.",
                unit=units.SECONDS,
            ),
            at_end(own.age("insights")),
            steps=_STALE,
        ),
    ]


def _active(title: str, what: str, bins: usage.Bins) -> Built:
    users = usage.by_ago(catalogue.TEMPLATE_ACTIVE_USERS, bins, ONE)
    start = usage.starts(users, bins)
    moved = {"conversions": [{"targetField": "Start", "destinationType": "time"}], "fields": {}}
    named = {
        "excludeByName": {"Time": True, "ago": True},
        "indexByName": {"Value #B": 0, "Value #A": 1, "Value #C": 2},
        "renameByName": {"Value #A": "Active users", "Value #B": "Start", "Value #C": "Licensed seats"},
    }
    return graph(
        About(title=title, what=what, unit=units.USERS),
        [rows(users), rows(start), rows(usage.seats_by_ago(users))],
        color=ACCENT,
        filled=40,
        legend=False,
        overrides=[("Licensed seats", LIMIT)],
        shaped=[
            ("merge", {}),
            # While there is only one, as Grafana takes any other field of times for "Time", too.
            ("organize", named),
            ("convertFieldType", moved),
            ("sortBy", {"fields": {}, "sort": [{"field": "Start"}]}),
        ],
        back_to=f"{bins.days * (bins.number + 1)}d",
    )


def _days() -> Built:
    what = "Distinct users on each of the last seven days (UTC), the last one so far. Dashed: licensed seats."
    return _active("Daily active users", what, usage.DAYS)


def _weeks() -> Built:
    what = (
        "Distinct users in each of twelve weeks, counted back from the start of yesterday (UTC), as Coder's "
        "page does, so that each is complete. Dashed: licensed seats."
    )
    return _active("Weekly active users", what, usage.WEEKS)


def _latency_by_user() -> Built:
    present = SCOPE.latest(catalogue.USER_ACTIVITY_WINDOW, **ONE, **WINDOW).max("job", "username")
    queries = [
        latency.user_milliseconds(catalogue.USER_LATENCY_P50, ONE),
        latency.user_milliseconds(catalogue.USER_LATENCY_P95, ONE),
        usage.with_faces(present),
    ]
    columns = [
        Column(source="avatar_url", title="Avatar", look=Look.PICTURE, width=64),
        Column(source="username", title="User"),
        latency_column("A", "p50", width=90, empty="no data"),
        latency_column("B", "p95", width=90, empty="no data"),
    ]
    what = (
        "Median and 95th percentile of each user's round trips in the window, slowest median first. "
        "Green below 150 ms, amber below 300 ms, red from there on."
    )
    about = About(title="Latency by user", what=what, unit=units.MILLISECONDS, empty=NO_NAMES)
    return listing(about, queries, columns, sort="p50 (ms)")


def _apps() -> Built:
    used = usage.apps(ONE)
    queries = [usage.app_names(used), usage.share_of_time(used), usage.opens(ONE)]
    columns = [
        Column(source="name", title="App", width=220),
        Column(source="B", title="Share", unit=units.PERCENT, look=Look.BAR, steps=IN_ACCENT, most=100),
        Column(source="A", title="Time", unit=units.CLOCK, width=120),
        Column(source="C", title="Opened", unit=units.count("times"), width=110),
    ]
    what = (
        "Time that users spent in each app in the window, its share of all times shown, and how often it was "
        "opened where Coder counts that. Apps that nobody used are left out."
    )
    about = About(title="App & IDE Usage", what=what, unit=units.CLOCK)
    return listing(about, queries, columns, sort="Time")


def _activity() -> Built:
    active = SCOPE.latest(catalogue.USER_ACTIVITY_WINDOW, **ONE, **WINDOW).max("job", "username")
    columns = [
        Column(source="avatar_url", title="Avatar", look=Look.PICTURE, width=64),
        Column(source="username", title="User"),
        Column(source="A", title="Time", unit=units.CLOCK, width=110),
        Column(source="B", title="Templates", unit=units.count("templates"), width=90),
    ]
    what = (
        "Time that each user spent in the template in the window, longest first, and how many templates they "
        "used in it altogether."
    )
    about = About(title="Activity by user", what=what, unit=units.CLOCK, empty=NO_NAMES)
    return listing(
        about,
        [usage.with_faces(active), usage.templates_of_users().having(active, "job", "username")],
        columns,
        sort="Time",
    )


def _parameters() -> Built:
    columns = [
        Column(source="parameter", title="Parameter", width=260),
        Column(source="value", title="Value chosen", width=320),
        Column(
            source="is_default", title="Default", words={"true": "default", "false": ""}, width=100, empty=""
        ),
        Column(source="A", title="Workspaces", unit=units.count("workspaces"), look=Look.BAR),
    ]
    what = (
        "Workspaces per chosen value of each parameter in the window, most chosen first. Options that nobody "
        "chose show 0; values outside a parameter's options are left out, as on Coder's page."
    )
    about = About(title="Parameters usage", what=what, unit=units.count("workspaces"))
    return listing(about, [usage.parameters(ONE)], columns, sort="Parameter", falling=False)


def _users_over_time() -> Built:
    family = catalogue.TEMPLATE_ACTIVE_USERS
    targets = [
        series(SCOPE.latest(family, interval="day", ago="1", **ONE).max(), "on the day before"),
        series(SCOPE.latest(family, interval="week", ago="0", **ONE).max(), "in the week before"),
        series(inventory.seats(), "Licensed seats"),
    ]
    what = (
        "Distinct users on the last complete day and in the last complete week, as it stood at each moment."
    )
    return graph(
        About(title="Active users", what=what, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT)],
    )


def _apps_over_time() -> Built:
    people = usage.at_once(catalogue.TEMPLATE_APP_USAGE, ONE, "job", "app", "app_type")
    what = "How many people were in each app at once, averaged over an hour. Apps overlap and do not add up."
    return graph(
        About(title="People per app", what=what, unit=units.PEOPLE),
        [series(usage.app_names(people), "{{name}}")],
    )


def _bands() -> Built:
    bands = latency.banded("p50", ONE)
    targets = [at_end(bands[band], legend) for band, legend, _ in BANDS]
    none = at_end(latency.unmeasured(ONE).max(), "not measured")
    colors = [*((legend, color) for _, legend, color in BANDS), ("not measured", GREY)]
    what = "How many users have their median round trip in each colour of Coder's page. Knows no names."
    return bars(
        About(title="Users by latency", what=what, unit=units.USERS),
        [*targets, none],
        overrides=[(name, painted(color)) for name, color in colors],
    )


def _latency_over_time() -> Built:
    targets = [
        series(latency.quantile("0.5", "p50", ONE), "half of the users, p50"),
        series(latency.quantile("0.9", "p50", ONE), "nine of ten users, p50"),
        series(latency.quantile("0.9", "p95", ONE), "nine of ten users, p95"),
    ]
    what = "The round trip that half or nine of ten users stay below, by their median or 95th percentile."
    about = About(title="Latency over time", what=what, unit=units.SECONDS)
    return graph(about, targets, steps=LATENCY_S, filled=0)


def _latency_spectrum() -> Built:
    counted = SCOPE.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic="p50", **ONE, **WINDOW).max("le")
    what = "How many users had their median round trip in each band, as it stood at each moment."
    return spectrum(About(title="Users' latency", what=what, unit=units.SECONDS), buckets(counted))


def _sessions() -> Built:
    open_now = usage.app_names(SCOPE.latest(catalogue.SESSIONS, **ONE).sum("app"))
    what = "Sessions of each app that agents of the template had open."
    about = About(title="Open sessions", what=what, unit=units.count("sessions"), empty=NO_REPORTS)
    return graph(about, [series(open_now, "{{name}}")], stacked=True, filled=30)


def _reported_latency() -> Built:
    by_user, by_app = (
        SCOPE.grown(family, "$__rate_interval", **ONE)
        for family in (catalogue.CONNECTION_LATENCY, catalogue.APP_CONNECTION_LATENCY)
    )
    reports, of_an_app = by_user.sum("le"), by_app.max("le")
    what = (
        "How many reports of agents had a round trip in each band while a session was open. Where user names "
        "are switched off, only those of one app count, up to each bound the app that has most."
    )
    about = About(title="Connection latency", what=what, unit=units.SECONDS, empty=NO_REPORTS)
    return spectrum(about, buckets(reports.otherwise(of_an_app), interval="10m"))
