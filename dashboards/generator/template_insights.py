"""Template Insights: the panels of Coder's page for one template, with history."""

from __future__ import annotations

from typing import Any

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import (
    APP_FAMILY_NAMES,
    Panel,
    PanelInfo,
    bar_gauge_panel,
    fixed_color,
    heatmap_panel,
    time_series_panel,
)
from dashboards.generator.queries import ONE_TEMPLATE, QUERY, WINDOW, inventory, latency, parameters, usage
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.tables import CellStyle, Column, latency_column, p95_column, table_panel
from dashboards.generator.targets import heatmap_query, instant_query, range_query
from dashboards.generator.theme import (
    ACCENT,
    ACCENT_STEPS,
    BLUE,
    GREY,
    LATENCY_BANDS,
    LATENCY_SECONDS_STEPS,
    NO_AGENT_REPORTS,
    NO_USER_NAMES,
    SLOW_SHARE_STEPS,
    dashboard_link,
)
from dashboards.generator.units import Unit
from dashboards.generator.usage_panels import active_users_panel
from dashboards.generator.variables import single_template_variables
from insights_exporter.bundle.promql import Expr, regex
from insights_exporter.bundle.registry import TEMPLATE_INSIGHTS, USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_NO_PARAMETERS = (
    "No parameters: the template has none, no workspace was built in the window, or see Data status"
)


def build() -> dict[str, Any]:
    """Return the dashboard."""
    page = [
        GridRow(4, [(8, panel) for panel in (_usage(), _connection(), _workspaces())]),
        GridRow(9, [(8, _daily_active_users()), (8, _weekly_active_users()), (8, _latency_by_user())]),
        GridRow(10, [(16, _app_usage()), (8, _activity_by_user())]),
    ]
    history = [
        GridRow(9, [(12, _users_by_app()), (12, _latency_over_time())]),
        GridRow(9, [(8, _latency_bands()), (16, _open_sessions())]),
        GridRow(9, [(24, _connection_latency())]),
    ]
    no_users = QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, **ONE_TEMPLATE, **WINDOW).max().binary_op("== 0")
    rows = [
        status_row(str(no_users)),
        Row("Template", page),
        Row("Parameters", [GridRow(6, [(24, _parameter_usage())])]),
        Row("History and agent reports", history),
    ]
    return dashboard_json(TEMPLATE_INSIGHTS, single_template_variables(), rows)


def _usage() -> Panel:
    users = QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, **ONE_TEMPLATE, **WINDOW).max()
    stats = [
        Stat(name="Users", query=users, unit=units.USERS, description="distinct users in the window"),
        Stat(
            name="Hours",
            query=usage.hours(ONE_TEMPLATE),
            unit=units.HOURS,
            description="time of all users in the window",
        ),
    ]
    return stat_panel("Usage of the template", stats)


def _connection() -> Panel:
    stats = [
        Stat(
            name="Median user",
            query=latency.quantile("0.5", "p50", ONE_TEMPLATE).binary_op("* 1000"),
            unit=units.MILLISECONDS,
            description="median over users of their p50 in the window",
            no_value="Not measured",
        ),
        Stat(
            name="Slow users",
            query=latency.slow_share(ONE_TEMPLATE),
            unit=units.SHARE,
            description=f"share of the measured users. {latency.SLOW_USER}",
            steps=SLOW_SHARE_STEPS,
            no_value="Not measured",
        ),
    ]
    return stat_panel("Connection quality", stats)


def _workspaces() -> Panel:
    stats = [
        Stat(
            name="Running",
            query=inventory.workspaces(ONE_TEMPLATE, "running").sum(),
            unit=units.count_of("workspaces"),
            description="workspaces that run now",
        ),
        Stat(
            name="All",
            query=inventory.workspaces(ONE_TEMPLATE).sum(),
            unit=units.count_of("workspaces"),
            description="workspaces of any status",
        ),
    ]
    return stat_panel("Workspaces of the template", stats)


def _daily_active_users() -> Panel:
    description = "Distinct users on each of the last seven days (UTC); today is incomplete."
    return active_users_panel(
        "Daily active users", description, catalogue.TEMPLATE_ACTIVE_USERS, usage.DAY_BUCKETS, ONE_TEMPLATE
    )


def _weekly_active_users() -> Panel:
    description = (
        "Distinct users in each of the last twelve complete weeks, named by the first day. Weeks end at the "
        "start of yesterday (UTC), as on Coder's page."
    )
    return active_users_panel(
        "Weekly active users", description, catalogue.TEMPLATE_ACTIVE_USERS, usage.WEEK_BUCKETS, ONE_TEMPLATE
    )


def _user_seconds() -> Expr:
    seconds = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, **ONE_TEMPLATE, **WINDOW)
    return seconds.max("job", "username")


def _user_columns() -> list[Column]:
    return [
        Column(source="avatar_url", title="Avatar", cell_style=CellStyle.IMAGE, width=70),
        Column(source="username", title="User", link=dashboard_link(USER_SUPPORT, username="User")),
    ]


def _latency_by_user() -> Panel:
    p50, p95 = (
        QUERY.latest(family, **ONE_TEMPLATE, **WINDOW).max("job", "username").binary_op("* 1000")
        for family in (catalogue.USER_LATENCY_P50, catalogue.USER_LATENCY_P95)
    )
    columns = [
        *_user_columns(),
        latency_column("A", "p50", width=90, no_value="none"),
        p95_column("B", "p95", width=80, no_value="none"),
    ]
    description = (
        "p50 and p95 of each user's connection latency in the window, highest p50 first. Colours of the "
        "p50 as on Coder's page: green below 150 ms, amber below 300 ms, red from 300 ms on."
    )
    panel_info = PanelInfo(
        title="Latency by user", description=description, unit=units.MILLISECONDS, no_value=NO_USER_NAMES
    )
    users = _user_seconds()
    queries = [p50, p95, usage.with_avatars(users)]
    return table_panel(panel_info, queries, columns, sort="p50", base=users)


def _app_usage() -> Panel:
    app_seconds = usage.app_usage(ONE_TEMPLATE)
    queries = [
        usage.with_app_icons(
            usage.with_app_info(app_seconds.binary_op("/ 3600"), "display_name", "icon", "family")
        ),
        usage.app_usage_share(app_seconds),
        usage.app_opens(ONE_TEMPLATE),
    ]
    columns = [
        Column(source="icon_url", title="Icon", cell_style=CellStyle.IMAGE, width=56),
        Column(source="name", title="App", width=140),
        Column(
            source="B",
            title="Share",
            unit=units.PERCENT,
            cell_style=CellStyle.GAUGE,
            steps=ACCENT_STEPS,
            max_value=100,
            min_width=90,
            value_mappings={"0": "<1%"},
        ),
        Column(source="A", title="Hours", unit=units.HOURS, width=85),
        Column(source="C", title="Opened", unit=Unit("suffix:times", "times", 0), width=100, no_value=""),
        Column(source="family", title="Family", width=135, no_value="", value_mappings=APP_FAMILY_NAMES),
    ]
    description = (
        "Time in each used app in the window, its share of all apps, and how often it was opened where Coder "
        "counts that. Apps overlap."
    )
    panel_info = PanelInfo(title="App & IDE Usage", description=description, unit=units.HOURS)
    return table_panel(panel_info, queries, columns, sort="Hours", base=app_seconds)


def _activity_by_user() -> Panel:
    active_users = _user_seconds()
    columns = [
        *_user_columns(),
        Column(source="A", title="Hours", unit=units.HOURS, width=100),
        Column(source="B", title="Templates", unit=units.count_of("templates"), width=90),
    ]
    description = (
        "Time of each user in the template in the window, and the number of templates that the user used."
    )
    panel_info = PanelInfo(
        title="Activity by user", description=description, unit=units.HOURS, no_value=NO_USER_NAMES
    )
    templates = usage.templates_per_user().and_on(active_users, "job", "username")
    queries = [usage.with_avatars(active_users.binary_op("/ 3600")), templates]
    return table_panel(panel_info, queries, columns, sort="Hours", base=active_users)


def _parameter_usage() -> Panel:
    matchers = {**ONE_TEMPLATE, "parameter_name": regex("$parameter")}
    description = (
        "Workspaces per value in the window, highest first; options without a workspace are 0. Values "
        "outside the options are omitted, as on Coder's page. (not shown): folded text values "
        "(privacy.parameter_free_text)."
    )
    panel_info = PanelInfo(
        title="${parameter:text}",
        description=description,
        unit=units.count_of("workspaces"),
        no_value=_NO_PARAMETERS,
    )
    target = instant_query(parameters.parameter_usage(matchers), "{{value}}")
    return bar_gauge_panel(panel_info, [target], name_label="value", repeat="parameter")


def _users_by_app() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_APP_USAGE, ONE_TEMPLATE, "job", "app", "app_type")
    description = (
        "Users of each app at the same time, mean of the hour before. Apps overlap, so do not add them."
    )
    return time_series_panel(
        PanelInfo(title="Users per app over time", description=description, unit=units.CONCURRENT_USERS),
        [range_query(usage.with_app_names(concurrent), "{{name}}")],
    )


def _latency_bands() -> Panel:
    bands = latency.users_by_latency_band(ONE_TEMPLATE)
    targets = [instant_query(bands[band], legend) for band, legend, _ in LATENCY_BANDS]
    not_measured = instant_query(latency.users_without_latency(ONE_TEMPLATE).max(), "Not measured")
    colors = [*((legend, color) for _, legend, color in LATENCY_BANDS), ("Not measured", GREY)]
    description = "Users by the p50 of the window, in the colours of Coder's page. Contains no names."
    return bar_gauge_panel(
        PanelInfo(title="Users by latency band", description=description, unit=units.USERS),
        [*targets, not_measured],
        overrides=[(name, fixed_color(color)) for name, color in colors],
    )


def _latency_over_time() -> Panel:
    targets = [
        range_query(latency.quantile("0.5", "p50", ONE_TEMPLATE), "Median user, p50"),
        range_query(latency.quantile("0.9", "p50", ONE_TEMPLATE), "90th percentile of users, p50"),
    ]
    description = (
        "p50 of the window for the median user and the 90th percentile of users. Dashed: 150 and 300 ms."
    )
    panel_info = PanelInfo(title="Latency over time", description=description, unit=units.SECONDS)
    return time_series_panel(
        panel_info,
        targets,
        steps=LATENCY_SECONDS_STEPS,
        fill_opacity=0,
        # The palette starts with the colours of fast and fair latencies.
        overrides=[
            ("Median user, p50", fixed_color(ACCENT)),
            ("90th percentile of users, p50", fixed_color(BLUE)),
        ],
    )


def _open_sessions() -> Panel:
    open_now = usage.with_app_names(QUERY.latest(catalogue.SESSIONS, **ONE_TEMPLATE).sum("app"))
    panel_info = PanelInfo(
        title="Open sessions",
        description="Open sessions of each app, from agent reports.",
        unit=units.count_of("sessions"),
        no_value=NO_AGENT_REPORTS,
    )
    return time_series_panel(panel_info, [range_query(open_now, "{{name}}")], stacked=True, fill_opacity=30)


def _connection_latency() -> Panel:
    by_user, by_app = (
        QUERY.increase_buckets(family, "$__rate_interval", **ONE_TEMPLATE)
        for family in (catalogue.CONNECTION_LATENCY, catalogue.APP_CONNECTION_LATENCY)
    )
    description = (
        "Agent reports with an open session, by latency. With user names switched off, only the reports of "
        "the most used app are counted."
    )
    panel_info = PanelInfo(
        title="Connection latency", description=description, unit=units.SECONDS, no_value=NO_AGENT_REPORTS
    )
    query = by_user.sum("le").or_else(by_app.max("le"))
    return heatmap_panel(panel_info, heatmap_query(query, interval="10m"))
