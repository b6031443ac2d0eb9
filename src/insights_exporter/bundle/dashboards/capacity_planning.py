"""When people work, and when seats and workspaces run out."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.boards import CAPACITY_PLANNING
from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.house import AMBER, GREEN, NO_LIMIT, RED, Steps
from insights_exporter.bundle.dashboards.signals import SCOPE, SEVERAL, inventory, usage
from insights_exporter.bundle.dashboards.signals.usage import KEY
from insights_exporter.bundle.dashboards.styles import (
    AGENTS,
    FORECAST,
    LIMIT,
    WORKSPACES,
    About,
    Built,
    graph,
    number,
)
from insights_exporter.bundle.dashboards.tables import ORGANIZATION, TEMPLATE, Column, Look, grid, listing
from insights_exporter.bundle.dashboards.targets import at_end, series
from insights_exporter.bundle.dashboards.variables import several_templates
from insights_exporter.bundle.queries import Vector
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_PAST: Final = "4w"
_LEFT: Final[Steps] = ((None, RED), (1, AMBER), (10, GREEN))
_DAYS_LEFT: Final[Steps] = ((None, RED), (30, AMBER), (90, GREEN))
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def build() -> dict[str, Any]:
    """Return the dashboard."""
    rows = [
        Row(
            "Users and seats",
            [
                Line(4, [(4, panel) for panel in _headline()]),
                Line(9, [(12, _seats()), (12, _accounts())]),
            ],
        ),
        Row("Load", [Line(9, [(12, _people()), (12, _peaks())]), Line(26, [(24, _week())])]),
        Row(
            "Workspaces",
            [
                Line(9, [(12, _workspaces()), (12, _agents())]),
                Line(10, [(14, _least_used()), (10, _builds())]),
            ],
        ),
    ]
    return document(CAPACITY_PLANNING, several_templates(), rows, since="now-28d")


def _taken_ahead(days: int) -> Vector:
    return SCOPE.forecast(catalogue.USERS, _PAST, str(days * 86400), status="active").sum()


def _headline() -> list[Built]:
    growth = SCOPE.over("deriv", catalogue.USERS, _PAST, status="active").sum()
    everybody = usage.at_once(catalogue.TEMPLATE_USAGE, SEVERAL)
    peak, mean = usage.at_hours("max", everybody), usage.at_hours("avg", everybody)
    return [
        number(
            About(
                title="Seats left",
                what="Seats that the licence grants less active accounts.",
                unit=units.count("seats"),
                empty=NO_LIMIT,
            ),
            series(f"{inventory.seats()} - {inventory.accounts()}"),
            steps=_LEFT,
        ),
        number(
            About(
                title="Seats left in 90 days",
                what="The same, if active accounts go on as in the last four weeks.",
                unit=units.count("seats"),
                empty=NO_LIMIT,
            ),
            at_end(f"{inventory.seats()} - {_taken_ahead(90)}"),
            steps=_LEFT,
        ),
        number(
            About(
                title="Days until seats run out",
                what="How long the seats last if active accounts grow as in the last four weeks.",
                unit=units.count("days"),
                empty="Not in sight",
            ),
            at_end(f"({inventory.seats()} - {inventory.accounts()}) / ({growth} * 86400 > 0)"),
            steps=_DAYS_LEFT,
        ),
        number(
            About(title="Peak", what="Most people at once, averaged over an hour.", unit=units.PEOPLE),
            at_end(peak),
        ),
        number(
            About(title="Average", what="People at once, averaged over the range.", unit=units.PEOPLE),
            at_end(mean),
        ),
        number(
            About(
                title="Peak to average",
                what="How far the busiest hour stands above the average of the range.",
                unit=units.Unit("none", "times", 1),
            ),
            at_end(usage.per(peak, mean)),
        ),
    ]


def _seats() -> Built:
    family = catalogue.DEPLOYMENT_ACTIVE_USERS
    targets = [
        series(SCOPE.latest(family, interval="week", ago="0").max(), "Active users"),
        series(SCOPE.forecast(family, _PAST, "2419200", interval="week", ago="0").max(), "in four weeks"),
        series(inventory.seats(), "Licensed seats"),
    ]
    what = "Distinct users in the last complete week, and where the last four weeks lead in another four."
    return graph(
        About(title="Weekly active users and forecast", what=what, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT), ("in four weeks", FORECAST)],
    )


def _accounts() -> Built:
    accounts = SCOPE.latest(catalogue.USERS).sum("status")
    targets = [
        series(accounts, "{{status}}"),
        series(_taken_ahead(28), "active in four weeks"),
        series(inventory.seats(), "Licensed seats"),
    ]
    what = "Accounts by status against the seats of the licence; only active ones take seats."
    return graph(
        About(title="Seats", what=what, unit=units.USERS),
        targets,
        overrides=[
            ("Licensed seats", LIMIT),
            ("active in four weeks", FORECAST),
        ],
    )


def _people() -> Built:
    people = usage.at_once(catalogue.TEMPLATE_USAGE, SEVERAL, *KEY)
    what = "How many people were in each template at once, averaged over an hour."
    return graph(
        About(title="People at once", what=what, unit=units.PEOPLE),
        [series(people, "{{organization_name}} / {{template_name}}", interval="1h")],
        stacked=True,
        filled=30,
    )


def _peaks() -> Built:
    people = usage.at_once(catalogue.TEMPLATE_USAGE, SEVERAL, *KEY)
    peak, mean = usage.at_hours("max", people), usage.at_hours("avg", people)
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Peak", unit=units.PEOPLE, look=Look.BAR),
        Column(source="B", title="Average", unit=units.PEOPLE, width=90),
        Column(source="C", title="Peak to average", unit=units.Unit("none", "times", 1), width=130),
    ]
    what = "The busiest hour of each template in the range, the average, and how far they lie apart."
    about = About(title="Peaks by template", what=what, unit=units.PEOPLE)
    return listing(about, [peak, mean, usage.per(peak, mean)], columns, sort="Peak")


def _week() -> Built:
    people = usage.at_once(catalogue.TEMPLATE_USAGE, SEVERAL)
    # What a sample says lies in the hour before it.
    then = "vector(time() - 3600)"
    targets = [
        series(people, "people", interval="1h"),
        series(f"hour({then})", "hour", interval="1h"),
        series(f"day_of_week({then})", "weekday", interval="1h"),
    ]
    # Grafana groups by names that fields were given, not by legends.
    given = {"people": "People", "hour": "Hour", "weekday": "Weekday"}
    grouped = {
        "fields": {
            "Hour": {"aggregations": [], "operation": "groupby"},
            "Weekday": {"aggregations": [], "operation": "groupby"},
            "People": {"aggregations": ["mean"], "operation": "aggregate"},
        }
    }
    matrix = {"rowField": "Hour", "columnField": "Weekday", "valueField": "People (mean)"}
    names = {str((place + 1) % 7): name for place, name in enumerate(_WEEKDAYS)}
    order = {"Hour\\Weekday": 0} | {key: place for place, key in enumerate(names, start=1)}
    named = {"excludeByName": {}, "indexByName": order, "renameByName": {"Hour\\Weekday": "Hour"} | names}
    columns = [
        Column(source="hour", title="Hour", width=80),
        *(Column(source=name, title=name, unit=units.PEOPLE, look=Look.SHADE) for name in _WEEKDAYS),
    ]
    what = "People at once by hour of the day and day of the week (UTC), averaged over the range."
    return grid(
        About(title="People by hour and weekday", what=what, unit=units.PEOPLE),
        targets,
        columns,
        shaped=[
            ("joinByField", {"byField": "Time", "mode": "outer"}),
            ("organize", {"excludeByName": {}, "indexByName": {}, "renameByName": given}),
            ("groupBy", grouped),
            ("sortBy", {"fields": {}, "sort": [{"field": "Hour"}]}),
            ("groupingToMatrix", matrix),
            ("organize", named),
        ],
    )


def _workspaces() -> Built:
    what = "Workspaces by the status of their newest build."
    return graph(
        About(title="Workspaces by status", what=what, unit=units.count("workspaces")),
        [series(inventory.workspaces(SEVERAL).sum("status"), "{{status}}")],
        stacked=True,
        filled=30,
        overrides=WORKSPACES,
    )


def _agents() -> Built:
    what = "Agents in running workspaces by connection status."
    return graph(
        About(title="Agents by status", what=what, unit=units.count("agents")),
        [series(inventory.agents(SEVERAL).sum("status"), "{{status}}")],
        stacked=True,
        filled=30,
        overrides=AGENTS,
    )


def _least_used() -> Built:
    workspaces = inventory.workspaces(SEVERAL).sum(*KEY)
    queries = [
        usage.hours(SEVERAL, *KEY),
        usage.users(SEVERAL),
        workspaces,
        usage.per(usage.hours(SEVERAL, *KEY), workspaces),
        SCOPE.latest(catalogue.TEMPLATE_CREATED, **SEVERAL).max(*KEY).times("* 1000"),
    ]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Hours", unit=units.HOURS, width=80),
        Column(source="B", title="Users", unit=units.USERS, width=70),
        Column(source="C", title="Workspaces", unit=units.count("workspaces"), width=100),
        Column(source="D", title="Hours per workspace", unit=units.HOURS),
        Column(source="E", title="Created", unit=units.AGO),
    ]
    what = "Candidates for merging into another template: the least used in the window come first."
    about = About(title="Least used templates", what=what, unit=units.HOURS)
    return listing(about, queries, columns, sort="Hours", falling=False)


def _builds() -> Built:
    families = (catalogue.TEMPLATE_BUILD_P50, catalogue.TEMPLATE_BUILD_P95)
    queries = [SCOPE.latest(family, **SEVERAL).max(*KEY, "transition") for family in families]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="transition", title="Transition", width=110),
        Column(source="A", title="p50", unit=units.SECONDS, width=90),
        Column(source="B", title="p95", unit=units.SECONDS),
    ]
    what = "How long the latest builds of each template took: the median and the 95th percentile."
    about = About(title="Build durations", what=what, unit=units.SECONDS)
    return listing(about, queries, columns, sort="p95")
