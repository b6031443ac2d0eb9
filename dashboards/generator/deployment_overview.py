"""All templates at a glance."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import LIMIT_LINE, Panel, PanelInfo, stat_panel, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, WINDOW, inventory, latency, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    latency_column,
    problem_column,
    table_panel,
    trend_column,
)
from dashboards.generator.targets import range_query
from dashboards.generator.theme import (
    GREEN,
    LATENCY_SECONDS_STEPS,
    NO_LICENSE_LIMIT,
    RED,
    SEATS_USED_STEPS,
    SLOW_SHARE_STEPS,
    ThresholdSteps,
)
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.promql import share
from insights_exporter.bundle.registry import DEPLOYMENT_OVERVIEW
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_SLOW_SHARE_OBJECTIVE: Final = 0.05
"""One user in twenty may be slow, as the alerts on latency have it."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    overview = [GridRow(4, [(4, panel) for panel in _stat_panels()]), GridRow(10, [(24, _templates())])]
    trends = [
        GridRow(9, [(12, _users()), (12, _users_by_template())]),
        GridRow(9, [(12, _users_by_app()), (12, _latency_by_template())]),
        GridRow(9, [(12, _latency_objective()), (12, _relay_latency())]),
    ]
    return dashboard_json(
        DEPLOYMENT_OVERVIEW,
        multi_template_variables(),
        [Row("At a glance", overview), Row("Over time", trends)],
    )


def _stat_panels() -> list[Panel]:
    users_yesterday = QUERY.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, interval="day", ago="1").max()
    seats = share(QUERY.latest(catalogue.USERS, status="active").sum(), inventory.seats())
    return [
        stat_panel(
            PanelInfo(
                title="Users", description="Distinct users of any template in the window.", unit=units.USERS
            ),
            range_query(QUERY.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, **WINDOW).max()),
        ),
        stat_panel(
            PanelInfo(
                title="Users yesterday",
                description="Distinct users on the last complete day.",
                unit=units.USERS,
            ),
            range_query(users_yesterday),
        ),
        stat_panel(
            PanelInfo(
                title="Hours in use",
                description="Hours that users spent in the window.",
                unit=units.count_of("hours"),
            ),
            range_query(usage.hours(SELECTED_TEMPLATES)),
        ),
        stat_panel(
            PanelInfo(
                title="Seats taken",
                description="Active accounts as a share of the seats that the licence grants.",
                unit=units.SHARE,
                no_value=NO_LICENSE_LIMIT,
            ),
            range_query(seats),
            steps=SEATS_USED_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Slow users",
                description="Share of measured users whose 95th percentile lies at 300 ms or above.",
                unit=units.SHARE,
            ),
            range_query(latency.slow_share(SELECTED_TEMPLATES)),
            steps=SLOW_SHARE_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Running workspaces",
                description="Workspaces that are running now.",
                unit=units.count_of("workspaces"),
            ),
            range_query(inventory.workspaces(SELECTED_TEMPLATES, "running").sum()),
        ),
    ]


def _templates() -> Panel:
    apps = QUERY.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **SELECTED_TEMPLATES, **WINDOW).binary_op("> 0")
    queries = [
        usage.users(SELECTED_TEMPLATES),
        usage.relative_change(
            usage.weekly_users(SELECTED_TEMPLATES, "0"), usage.weekly_users(SELECTED_TEMPLATES, "1")
        ),
        usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
        usage.relative_change(
            usage.hours_in_days(7, SELECTED_TEMPLATES), usage.hours_in_days(7, SELECTED_TEMPLATES, offset=7)
        ),
        apps.count(*TEMPLATE_LABELS),
        latency.quantile("0.95", "p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        inventory.workspaces(SELECTED_TEMPLATES, "running").sum(*TEMPLATE_LABELS),
        inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED).sum(*TEMPLATE_LABELS),
        inventory.unhealthy_apps(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Users", unit=units.USERS),
        trend_column("B", "Users trend"),
        Column(source="C", title="Hours", unit=units.HOURS),
        trend_column("D", "Hours trend"),
        Column(source="E", title="Apps used", unit=units.count_of("apps")),
        latency_column("F", "Latency p95"),
        Column(source="G", title="Running", unit=units.count_of("workspaces")),
        problem_column("H", "Agents away", "agents"),
        problem_column("I", "Unhealthy apps", "apps"),
    ]
    description = (
        "One row per template: users, hours and apps in the window; the last complete week against the one "
        "before; the round trip that 95 of 100 users stay below; what runs and what is ill. A name leads to "
        "the template's own page."
    )
    return table_panel(
        PanelInfo(title="Templates", description=description, unit=units.count_of("users, hours and things")),
        queries,
        columns,
        sort="Users",
    )


def _users() -> Panel:
    family = catalogue.DEPLOYMENT_ACTIVE_USERS
    targets = [
        range_query(QUERY.latest(family, interval="day", ago="1").max(), "on the day before"),
        range_query(QUERY.latest(family, interval="week", ago="0").max(), "in the week before"),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = "Distinct users of any template on the last complete day and in the last complete week."
    return time_series_panel(
        PanelInfo(title="Active users", description=description, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT_LINE)],
    )


def _users_by_template() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    description = "How many people were in each template at once, averaged over an hour."
    return time_series_panel(
        PanelInfo(title="People by template", description=description, unit=units.CONCURRENT_USERS),
        [range_query(concurrent, "{{organization_name}} / {{template_name}}")],
        stacked=True,
        fill_opacity=30,
    )


def _latency_by_template() -> Panel:
    p95 = latency.quantile("0.95", "p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    description = "The round trip that 95 of 100 users of a template stay below, by their 95th percentile."
    return time_series_panel(
        PanelInfo(title="Latency by template", description=description, unit=units.SECONDS),
        [range_query(p95, "{{organization_name}} / {{template_name}}")],
        steps=LATENCY_SECONDS_STEPS,
        fill_opacity=0,
    )


def _users_by_app() -> Panel:
    concurrent = usage.concurrent_users(catalogue.DEPLOYMENT_APP_USAGE, {}, "job", "app", "app_type")
    description = (
        "How many people were in each app at once in the whole deployment, averaged over an hour. "
        "Apps overlap and do not add up."
    )
    return time_series_panel(
        PanelInfo(title="People per app", description=description, unit=units.CONCURRENT_USERS),
        [range_query(usage.with_app_names(concurrent), "{{name}}")],
    )


def _latency_objective() -> Panel:
    steps: ThresholdSteps = ((None, GREEN), (_SLOW_SHARE_OBJECTIVE, RED))
    description = (
        "Share of measured users whose 95th percentile lies at 300 ms or above, by template; aim for 5 %."
    )
    return time_series_panel(
        PanelInfo(title="Users above the latency objective", description=description, unit=units.SHARE),
        [
            range_query(
                latency.slow_share(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
                "{{organization_name}} / {{template_name}}",
            )
        ],
        steps=steps,
        fill_opacity=0,
        max_value=1,
    )


def _relay_latency() -> Panel:
    description = "The round trip between agents and the relay they prefer, that of half of the agents."
    return time_series_panel(
        PanelInfo(title="Relay latency", description=description, unit=units.SECONDS),
        [range_query(latency.relay_quantile("0.5"), "{{derp_region}}")],
        steps=LATENCY_SECONDS_STEPS,
        fill_opacity=0,
    )
