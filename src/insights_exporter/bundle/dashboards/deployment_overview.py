"""All templates at a glance."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.boards import DEPLOYMENT_OVERVIEW
from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.board import Line, Row, document
from insights_exporter.bundle.dashboards.house import (
    GREEN,
    LATENCY_S,
    NO_LIMIT,
    RED,
    SEATS_TAKEN,
    SLOW_SHARE,
    Steps,
)
from insights_exporter.bundle.dashboards.signals import SCOPE, SEVERAL, WINDOW, inventory, latency, usage
from insights_exporter.bundle.dashboards.signals.usage import KEY
from insights_exporter.bundle.dashboards.styles import LIMIT, About, Built, graph, number
from insights_exporter.bundle.dashboards.tables import (
    ORGANIZATION,
    TEMPLATE,
    Column,
    bad_column,
    latency_column,
    listing,
    trend_column,
)
from insights_exporter.bundle.dashboards.targets import series
from insights_exporter.bundle.dashboards.variables import several_templates
from insights_exporter.bundle.queries import share
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_OBJECTIVE: Final = 0.05
"""One user in twenty may be slow, as the alerts on latency have it."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    glance = [Line(4, [(4, panel) for panel in _headline()]), Line(10, [(24, _templates())])]
    course = [
        Line(9, [(12, _users()), (12, _people())]),
        Line(9, [(12, _apps()), (12, _latency())]),
        Line(9, [(12, _objective()), (12, _relays())]),
    ]
    return document(
        DEPLOYMENT_OVERVIEW, several_templates(), [Row("At a glance", glance), Row("Over time", course)]
    )


def _headline() -> list[Built]:
    day = SCOPE.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, interval="day", ago="1").max()
    seats = share(SCOPE.latest(catalogue.USERS, status="active").sum(), inventory.seats())
    return [
        number(
            About(title="Users", what="Distinct users of any template in the window.", unit=units.USERS),
            series(SCOPE.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, **WINDOW).max()),
        ),
        number(
            About(title="Users yesterday", what="Distinct users on the last complete day.", unit=units.USERS),
            series(day),
        ),
        number(
            About(
                title="Hours in use", what="Hours that users spent in the window.", unit=units.count("hours")
            ),
            series(usage.hours(SEVERAL)),
        ),
        number(
            About(
                title="Seats taken",
                what="Active accounts as a share of the seats that the licence grants.",
                unit=units.SHARE,
                empty=NO_LIMIT,
            ),
            series(seats),
            steps=SEATS_TAKEN,
        ),
        number(
            About(
                title="Slow users",
                what="Share of measured users whose 95th percentile lies at 300 ms or above.",
                unit=units.SHARE,
            ),
            series(latency.slow_share(SEVERAL)),
            steps=SLOW_SHARE,
        ),
        number(
            About(
                title="Running workspaces",
                what="Workspaces that are running now.",
                unit=units.count("workspaces"),
            ),
            series(inventory.workspaces(SEVERAL, "running").sum()),
        ),
    ]


def _templates() -> Built:
    apps = SCOPE.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **SEVERAL, **WINDOW).times("> 0")
    queries = [
        usage.users(SEVERAL),
        usage.trend(usage.weekly(SEVERAL, "0"), usage.weekly(SEVERAL, "1")),
        usage.hours(SEVERAL, *KEY),
        usage.trend(usage.hours_before(7, SEVERAL), usage.hours_before(7, SEVERAL, offset=7)),
        apps.count(*KEY),
        latency.quantile("0.95", "p95", SEVERAL, *KEY).times("* 1000"),
        inventory.workspaces(SEVERAL, "running").sum(*KEY),
        inventory.agents(SEVERAL, inventory.AWAY).sum(*KEY),
        inventory.ill_apps(SEVERAL).sum(*KEY),
    ]
    columns = [
        ORGANIZATION,
        TEMPLATE,
        Column(source="A", title="Users", unit=units.USERS),
        trend_column("B", "Users trend"),
        Column(source="C", title="Hours", unit=units.HOURS),
        trend_column("D", "Hours trend"),
        Column(source="E", title="Apps used", unit=units.count("apps")),
        latency_column("F", "Latency p95"),
        Column(source="G", title="Running", unit=units.count("workspaces")),
        bad_column("H", "Agents away", "agents"),
        bad_column("I", "Unhealthy apps", "apps"),
    ]
    what = (
        "One row per template: users, hours and apps in the window; the last complete week against the one "
        "before; the round trip that 95 of 100 users stay below; what runs and what is ill. A name leads to "
        "the template's own page."
    )
    return listing(
        About(title="Templates", what=what, unit=units.count("users, hours and things")),
        queries,
        columns,
        sort="Users",
    )


def _users() -> Built:
    family = catalogue.DEPLOYMENT_ACTIVE_USERS
    targets = [
        series(SCOPE.latest(family, interval="day", ago="1").max(), "on the day before"),
        series(SCOPE.latest(family, interval="week", ago="0").max(), "in the week before"),
        series(inventory.seats(), "Licensed seats"),
    ]
    what = "Distinct users of any template on the last complete day and in the last complete week."
    return graph(
        About(title="Active users", what=what, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT)],
    )


def _people() -> Built:
    people = usage.at_once(catalogue.TEMPLATE_USAGE, SEVERAL, *KEY)
    what = "How many people were in each template at once, averaged over an hour."
    return graph(
        About(title="People by template", what=what, unit=units.PEOPLE),
        [series(people, "{{organization_name}} / {{template_name}}")],
        stacked=True,
        filled=30,
    )


def _latency() -> Built:
    slow = latency.quantile("0.95", "p95", SEVERAL, *KEY)
    what = "The round trip that 95 of 100 users of a template stay below, by their 95th percentile."
    return graph(
        About(title="Latency by template", what=what, unit=units.SECONDS),
        [series(slow, "{{organization_name}} / {{template_name}}")],
        steps=LATENCY_S,
        filled=0,
    )


def _apps() -> Built:
    people = usage.at_once(catalogue.DEPLOYMENT_APP_USAGE, {}, "job", "app", "app_type")
    what = (
        "How many people were in each app at once in the whole deployment, averaged over an hour. "
        "Apps overlap and do not add up."
    )
    return graph(
        About(title="People per app", what=what, unit=units.PEOPLE),
        [series(usage.app_names(people), "{{name}}")],
    )


def _objective() -> Built:
    steps: Steps = ((None, GREEN), (_OBJECTIVE, RED))
    what = "Share of measured users whose 95th percentile lies at 300 ms or above, by template; aim for 5 %."
    return graph(
        About(title="Users above the latency objective", what=what, unit=units.SHARE),
        [series(latency.slow_share(SEVERAL, *KEY), "{{organization_name}} / {{template_name}}")],
        steps=steps,
        filled=0,
        most=1,
    )


def _relays() -> Built:
    what = "The round trip between agents and the relay they prefer, that of half of the agents."
    return graph(
        About(title="Relay latency", what=what, unit=units.SECONDS),
        [series(latency.relay_quantile("0.5"), "{{derp_region}}")],
        steps=LATENCY_S,
        filled=0,
    )
