"""Deployment Overview: all templates."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import APP_FAMILY_NAMES, LIMIT_LINE, Panel, PanelInfo, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, WINDOW, inventory, latency, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    p95_column,
    problem_column,
    share_column,
    table_panel,
    trend_column,
)
from dashboards.generator.targets import range_query
from dashboards.generator.theme import (
    GREEN,
    RED,
    SEATS_USED_STEPS,
    SLOW_SHARE_STEPS,
    ThresholdSteps,
)
from dashboards.generator.usage_panels import active_users_panel
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import Expr, share
from insights_exporter.bundle.registry import DEPLOYMENT_OVERVIEW
from insights_exporter.metrics import catalogue

__all__ = ["build", "no_users_in_window"]

_OBJECTIVE: Final = Thresholds().objective
_NEEDS_WEEK: Final = "needs 7 d"
_TEMPLATE_LEGEND: Final = "{{organization_name}} / {{template_name}}"


def build() -> dict[str, Any]:
    """Return the dashboard."""
    overview = [
        GridRow(4, [(8, panel) for panel in (_users_and_seats(), _usage(), _quality())]),
        GridRow(10, [(24, _templates())]),
    ]
    trends = [
        GridRow(9, [(12, _weekly_users()), (12, _users_by_template())]),
        GridRow(9, [(12, _users_by_app()), (12, _slow_users_over_time())]),
        GridRow(9, [(8, _active_users_over_time()), (8, _users_by_app_family()), (8, _relay_latency())]),
    ]
    rows = [
        status_row(no_users_in_window()),
        Row("Templates and deployment", overview),
        Row("Trends", trends),
    ]
    return dashboard_json(DEPLOYMENT_OVERVIEW, multi_template_variables(), rows)


def no_users_in_window() -> str:
    """Return 0 while no selected template has a user in the window."""
    return str(usage.users(SELECTED_TEMPLATES).max().binary_op("== 0"))


def _users_and_seats() -> Panel:
    stats = [
        Stat(
            name="Users",
            query=usage.deployment_users(),
            unit=units.USERS,
            description="distinct users of any template in the window",
        ),
        Stat(
            name="Seats used",
            query=share(inventory.seats_used(), inventory.seats()),
            unit=units.SHARE,
            description="used seats as a share of the licence's seats",
            steps=SEATS_USED_STEPS,
            no_value="No licence limit",
        ),
    ]
    return stat_panel("Whole deployment", stats)


def _usage() -> Panel:
    stats = [
        Stat(
            name="Hours",
            query=usage.hours(SELECTED_TEMPLATES),
            unit=units.HOURS,
            description="time of all users in the selected templates in the window",
        ),
        Stat(
            name="Running workspaces",
            query=inventory.workspaces(SELECTED_TEMPLATES, "running").sum(),
            unit=units.count_of("workspaces"),
            description="workspaces of the selected templates that run now",
        ),
    ]
    return stat_panel("Selected templates", stats)


def _quality() -> Panel:
    stats = [
        Stat(
            name="Median user",
            query=latency.quantile("0.5", "p50", SELECTED_TEMPLATES).binary_op("* 1000"),
            unit=units.MILLISECONDS,
            description="median over users of their p50 in the window",
            no_value="Not measured",
        ),
        Stat(
            name="Slow users",
            query=latency.slow_share(SELECTED_TEMPLATES),
            unit=units.SHARE,
            description=f"share of the measured users. {latency.SLOW_USER}",
            steps=SLOW_SHARE_STEPS,
            no_value="Not measured",
        ),
    ]
    return stat_panel("Connection quality", stats)


def _templates() -> Panel:
    apps = QUERY.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, **SELECTED_TEMPLATES, **WINDOW).binary_op("> 0")
    queries = [
        usage.users(SELECTED_TEMPLATES),
        usage.relative_change(
            usage.weekly_users(SELECTED_TEMPLATES, "0"), usage.weekly_users(SELECTED_TEMPLATES, "1")
        ),
        usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
        _hours_change(),
        apps.count(*TEMPLATE_LABELS),
        latency.quantile("0.5", "p50", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        latency.slow_share(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
        inventory.workspaces(SELECTED_TEMPLATES, "running").sum(*TEMPLATE_LABELS),
        inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED).sum(*TEMPLATE_LABELS),
        inventory.unhealthy_apps(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Users", unit=units.USERS, width=70),
        trend_column("B", "Users, change", width=120),
        Column(source="C", title="Hours", unit=units.HOURS, width=90),
        trend_column("D", "Hours, change", width=120, no_value=_NEEDS_WEEK),
        Column(source="E", title="Apps used", unit=units.count_of("apps"), width=95),
        p95_column("F", "Median user", width=110),
        share_column("G", "Slow users", SLOW_SHARE_STEPS),
        Column(source="H", title="Running", unit=units.count_of("workspaces"), width=85),
        problem_column("I", "Disconnected agents", "agents", width=160),
        problem_column("J", "Unhealthy apps", "apps", width=130),
    ]
    description = (
        "Users, hours and apps in the window; users of the last complete week and hours of the last seven "
        "days against the week before (hours after seven days of history; 100% after a week without hours); "
        "p50 of the median user; current workspaces, agents and apps. A name opens Template Insights."
    )
    unit = units.count_of("users, hours, milliseconds and counts")
    return table_panel(
        PanelInfo(title="Templates", description=description, unit=unit), queries, columns, sort="Users"
    )


def _hours_change() -> Expr:
    """Return the change of hours against the week before; absent only without seven days of history."""
    week, week_before = (
        usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS, window="7d", offset=offset) for offset in ("", "7d")
    )
    change = usage.relative_change(week, week_before)
    unused_before = f"({week_before} == 0) * 0 + ({week} > bool 0)"
    return Expr(f"({change} or {unused_before})", TEMPLATE_LABELS, frozenset())


def _weekly_users() -> Panel:
    description = "Distinct users of any template in each of the last twelve complete weeks (UTC)."
    return active_users_panel(
        "Weekly active users, deployment",
        description,
        catalogue.DEPLOYMENT_ACTIVE_USERS,
        usage.WEEK_BUCKETS,
        {},
    )


def _active_users_over_time() -> Panel:
    family = catalogue.DEPLOYMENT_ACTIVE_USERS
    targets = [
        range_query(usage.users_on_last_day(), "Last complete day"),
        range_query(QUERY.latest(family, interval="week", ago="0").max(), "Last complete week"),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = (
        "Distinct users of any template on the last complete day and week, beside the licensed seats."
    )
    return time_series_panel(
        PanelInfo(title="Active users, deployment", description=description, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT_LINE)],
    )


def _users_by_template() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    description = "Users of each template at the same time, mean of the hour before."
    return time_series_panel(
        PanelInfo(title="Concurrent users by template", description=description, unit=units.CONCURRENT_USERS),
        [range_query(concurrent, _TEMPLATE_LEGEND)],
        stacked=True,
        fill_opacity=30,
    )


def _users_by_app_family() -> Panel:
    concurrent = usage.concurrent_users(catalogue.DEPLOYMENT_APP_USAGE, {}, "job", "app", "app_type")
    by_family = f"sum by (family) ({usage.with_app_info(concurrent, 'family')})"
    for family, name in APP_FAMILY_NAMES.items():
        by_family = f'label_replace({by_family}, "family", "{name}", "family", "{family}")'
    description = (
        "Users of all apps of a family at the same time, mean of the hour before. VS Code, Cursor and other "
        "clients of one kind are a family, so an upgrade of Coder that counts clients separately changes "
        "nothing here. A user with two apps of a family counts twice."
    )
    return time_series_panel(
        PanelInfo(
            title="Concurrent users by app family", description=description, unit=units.CONCURRENT_USERS
        ),
        [range_query(by_family, "{{family}}")],
    )


def _users_by_app() -> Panel:
    concurrent = usage.concurrent_users(catalogue.DEPLOYMENT_APP_USAGE, {}, "job", "app", "app_type")
    description = (
        "Users of each app in the whole deployment at the same time, mean of the hour before. Apps "
        "overlap, so do not add them."
    )
    return time_series_panel(
        PanelInfo(title="Concurrent users by app", description=description, unit=units.CONCURRENT_USERS),
        [range_query(usage.with_app_names(concurrent), "{{name}}")],
    )


def _slow_users_over_time() -> Panel:
    steps: ThresholdSteps = ((None, GREEN), (round(1 - _OBJECTIVE, 6), RED))
    description = (
        f"Slow users of each template as a share of the measured users. {latency.SLOW_USER} Dashed: the "
        f"objective of {1 - _OBJECTIVE:.0%}; its alerts leave out slow users whose p50 is usual for them."
    )
    slow_share = latency.slow_share(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    return time_series_panel(
        PanelInfo(title="Slow users by template", description=description, unit=units.SHARE),
        [range_query(slow_share, _TEMPLATE_LEGEND)],
        steps=steps,
        fill_opacity=0,
        max_value=1,
    )


def _relay_latency() -> Panel:
    description = (
        "Median latency between agents and their preferred relay, by region of the whole deployment."
    )
    return time_series_panel(
        PanelInfo(title="Median relay latency", description=description, unit=units.SECONDS),
        [range_query(latency.relay_quantile("0.5"), "{{derp_region}}")],
        fill_opacity=0,
    )
