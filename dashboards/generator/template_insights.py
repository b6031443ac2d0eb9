"""Coder's page, panel for panel, for one template."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import (
    LIMIT_LINE,
    Panel,
    PanelInfo,
    bar_gauge_panel,
    fixed_color,
    heatmap_panel,
    stat_panel,
    time_series_panel,
)
from dashboards.generator.queries import ONE_TEMPLATE, QUERY, WINDOW, inventory, latency, self_metrics, usage
from dashboards.generator.tables import CellStyle, Column, latency_column, table_panel
from dashboards.generator.targets import heatmap_query, instant_query, range_query, table_query
from dashboards.generator.theme import (
    ACCENT,
    ACCENT_STEPS,
    AMBER,
    GREEN,
    GREY,
    LATENCY_BANDS,
    LATENCY_SECONDS_STEPS,
    NO_AGENT_REPORTS,
    NO_USER_NAMES,
    RED,
    SLOW_SHARE_STEPS,
    ThresholdSteps,
)
from dashboards.generator.variables import single_template_variables
from insights_exporter.bundle.registry import TEMPLATE_INSIGHTS
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_DATA_AGE_STEPS: Final[ThresholdSteps] = ((None, GREEN), (900, AMBER), (1800, RED))


def build() -> dict[str, Any]:
    """Return the dashboard."""
    page_panels = [
        GridRow(4, [(4, panel) for panel in _stat_panels()]),
        GridRow(9, [(8, _daily_active_users()), (8, _weekly_active_users()), (8, _latency_by_user())]),
        GridRow(10, [(16, _app_usage()), (8, _activity_by_user())]),
        GridRow(10, [(24, _parameter_usage())]),
    ]
    history = [
        GridRow(9, [(12, _active_users_over_time()), (12, _users_by_app())]),
        GridRow(9, [(8, _users_by_latency()), (8, _latency_over_time()), (8, _latency_heatmap())]),
    ]
    reports = [GridRow(9, [(12, _open_sessions()), (12, _connection_latency())])]
    rows = [Row("Template insights", page_panels), Row("History", history), Row("Agent reports", reports)]
    return dashboard_json(TEMPLATE_INSIGHTS, single_template_variables(), rows)


def _stat_panels() -> list[Panel]:
    users = QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, **ONE_TEMPLATE, **WINDOW).max()
    time = QUERY.latest(catalogue.TEMPLATE_USAGE_WINDOW, **ONE_TEMPLATE, **WINDOW).max()
    return [
        stat_panel(
            PanelInfo(
                title="Users", description="Distinct users of the template in the window.", unit=units.USERS
            ),
            range_query(users),
        ),
        stat_panel(
            PanelInfo(
                title="Time in use",
                description="Time of all users together in the window.",
                unit=units.HOURS_AND_MINUTES,
            ),
            range_query(time),
        ),
        stat_panel(
            PanelInfo(
                title="Typical latency",
                description="The round trip that half of the users stay below, each by their median in the window.",
                unit=units.SECONDS,
            ),
            range_query(latency.quantile("0.5", "p50", ONE_TEMPLATE)),
            steps=LATENCY_SECONDS_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Slow users",
                description="Share of measured users whose 95th percentile lies at 300 ms or above.",
                unit=units.SHARE,
            ),
            range_query(latency.slow_share(ONE_TEMPLATE)),
            steps=SLOW_SHARE_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Running workspaces",
                description="Workspaces of the template that are running now.",
                unit=units.count_of("workspaces"),
            ),
            range_query(inventory.workspaces(ONE_TEMPLATE, "running").max()),
        ),
        stat_panel(
            PanelInfo(
                title="Age of the data",
                description="Time since the exporter last read Coder's insights.",
                unit=units.SECONDS,
            ),
            instant_query(self_metrics.data_age("insights")),
            steps=_DATA_AGE_STEPS,
        ),
    ]


def _active_users(title: str, description: str, buckets: usage.Buckets) -> Panel:
    users = usage.active_users_by_ago(catalogue.TEMPLATE_ACTIVE_USERS, buckets, ONE_TEMPLATE)
    start = usage.bucket_start_times(users, buckets)
    convert_options = {"conversions": [{"targetField": "Start", "destinationType": "time"}], "fields": {}}
    organize_options = {
        "excludeByName": {"Time": True, "ago": True},
        "indexByName": {"Value #B": 0, "Value #A": 1, "Value #C": 2},
        "renameByName": {"Value #A": "Active users", "Value #B": "Start", "Value #C": "Licensed seats"},
    }
    return time_series_panel(
        PanelInfo(title=title, description=description, unit=units.USERS),
        [table_query(users), table_query(start), table_query(usage.seats_by_offset(users))],
        color=ACCENT,
        fill_opacity=40,
        legend=False,
        overrides=[("Licensed seats", LIMIT_LINE)],
        transformations=[
            ("merge", {}),
            # While there is only one, as Grafana takes any other field of times for "Time", too.
            ("organize", organize_options),
            ("convertFieldType", convert_options),
            ("sortBy", {"fields": {}, "sort": [{"field": "Start"}]}),
        ],
        time_from=f"{buckets.length_days * (buckets.count + 1)}d",
    )


def _daily_active_users() -> Panel:
    description = (
        "Distinct users on each of the last seven days (UTC), the last one so far. Dashed: licensed seats."
    )
    return _active_users("Daily active users", description, usage.DAY_BUCKETS)


def _weekly_active_users() -> Panel:
    description = (
        "Distinct users in each of twelve weeks, counted back from the start of yesterday (UTC), as Coder's "
        "page does, so that each is complete. Dashed: licensed seats."
    )
    return _active_users("Weekly active users", description, usage.WEEK_BUCKETS)


def _latency_by_user() -> Panel:
    active_users = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, **ONE_TEMPLATE, **WINDOW).max(
        "job", "username"
    )
    queries = [
        latency.user_latency_ms(catalogue.USER_LATENCY_P50, ONE_TEMPLATE),
        latency.user_latency_ms(catalogue.USER_LATENCY_P95, ONE_TEMPLATE),
        usage.with_avatars(active_users),
    ]
    columns = [
        Column(source="avatar_url", title="Avatar", cell_style=CellStyle.IMAGE, width=64),
        Column(source="username", title="User"),
        latency_column("A", "p50", width=90, no_value="no data"),
        latency_column("B", "p95", width=90, no_value="no data"),
    ]
    description = (
        "Median and 95th percentile of each user's round trips in the window, slowest median first. "
        "Green below 150 ms, amber below 300 ms, red from there on."
    )
    panel_info = PanelInfo(
        title="Latency by user", description=description, unit=units.MILLISECONDS, no_value=NO_USER_NAMES
    )
    return table_panel(panel_info, queries, columns, sort="p50 (ms)")


def _app_usage() -> Panel:
    app_seconds = usage.app_usage(ONE_TEMPLATE)
    queries = [
        usage.with_app_names(app_seconds),
        usage.app_usage_share(app_seconds),
        usage.app_opens(ONE_TEMPLATE),
    ]
    columns = [
        Column(source="name", title="App", width=220),
        Column(
            source="B",
            title="Share",
            unit=units.PERCENT,
            cell_style=CellStyle.GAUGE,
            steps=ACCENT_STEPS,
            max_value=100,
        ),
        Column(source="A", title="Time", unit=units.HOURS_AND_MINUTES, width=120),
        Column(source="C", title="Opened", unit=units.count_of("times"), width=110),
    ]
    description = (
        "Time that users spent in each app in the window, its share of all times shown, and how often it was "
        "opened where Coder counts that. Apps that nobody used are left out."
    )
    panel_info = PanelInfo(title="App & IDE Usage", description=description, unit=units.HOURS_AND_MINUTES)
    return table_panel(panel_info, queries, columns, sort="Time")


def _activity_by_user() -> Panel:
    active_users = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, **ONE_TEMPLATE, **WINDOW).max(
        "job", "username"
    )
    columns = [
        Column(source="avatar_url", title="Avatar", cell_style=CellStyle.IMAGE, width=64),
        Column(source="username", title="User"),
        Column(source="A", title="Time", unit=units.HOURS_AND_MINUTES, width=110),
        Column(source="B", title="Templates", unit=units.count_of("templates"), width=90),
    ]
    description = (
        "Time that each user spent in the template in the window, longest first, and how many templates they "
        "used in it altogether."
    )
    panel_info = PanelInfo(
        title="Activity by user",
        description=description,
        unit=units.HOURS_AND_MINUTES,
        no_value=NO_USER_NAMES,
    )
    return table_panel(
        panel_info,
        [
            usage.with_avatars(active_users),
            usage.templates_per_user().and_on(active_users, "job", "username"),
        ],
        columns,
        sort="Time",
    )


def _parameter_usage() -> Panel:
    columns = [
        Column(source="parameter", title="Parameter", width=260),
        Column(source="value", title="Value chosen", width=320),
        Column(
            source="is_default",
            title="Default",
            value_mappings={"true": "default", "false": ""},
            width=100,
            no_value="",
        ),
        Column(source="A", title="Workspaces", unit=units.count_of("workspaces"), cell_style=CellStyle.GAUGE),
    ]
    description = (
        "Workspaces per chosen value of each parameter in the window, most chosen first. Options that nobody "
        "chose show 0; values outside a parameter's options are left out, as on Coder's page."
    )
    panel_info = PanelInfo(
        title="Parameters usage", description=description, unit=units.count_of("workspaces")
    )
    return table_panel(
        panel_info, [usage.parameter_usage(ONE_TEMPLATE)], columns, sort="Parameter", descending=False
    )


def _active_users_over_time() -> Panel:
    family = catalogue.TEMPLATE_ACTIVE_USERS
    targets = [
        range_query(QUERY.latest(family, interval="day", ago="1", **ONE_TEMPLATE).max(), "on the day before"),
        range_query(
            QUERY.latest(family, interval="week", ago="0", **ONE_TEMPLATE).max(), "in the week before"
        ),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = (
        "Distinct users on the last complete day and in the last complete week, as it stood at each moment."
    )
    return time_series_panel(
        PanelInfo(title="Active users", description=description, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT_LINE)],
    )


def _users_by_app() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_APP_USAGE, ONE_TEMPLATE, "job", "app", "app_type")
    description = (
        "How many people were in each app at once, averaged over an hour. Apps overlap and do not add up."
    )
    return time_series_panel(
        PanelInfo(title="People per app", description=description, unit=units.CONCURRENT_USERS),
        [range_query(usage.with_app_names(concurrent), "{{name}}")],
    )


def _users_by_latency() -> Panel:
    bands = latency.users_by_latency_band("p50", ONE_TEMPLATE)
    targets = [instant_query(bands[band], legend) for band, legend, _ in LATENCY_BANDS]
    not_measured = instant_query(latency.users_without_latency(ONE_TEMPLATE).max(), "not measured")
    colors = [*((legend, color) for _, legend, color in LATENCY_BANDS), ("not measured", GREY)]
    description = (
        "How many users have their median round trip in each colour of Coder's page. Knows no names."
    )
    return bar_gauge_panel(
        PanelInfo(title="Users by latency", description=description, unit=units.USERS),
        [*targets, not_measured],
        overrides=[(name, fixed_color(color)) for name, color in colors],
    )


def _latency_over_time() -> Panel:
    targets = [
        range_query(latency.quantile("0.5", "p50", ONE_TEMPLATE), "half of the users, p50"),
        range_query(latency.quantile("0.9", "p50", ONE_TEMPLATE), "nine of ten users, p50"),
        range_query(latency.quantile("0.9", "p95", ONE_TEMPLATE), "nine of ten users, p95"),
    ]
    description = (
        "The round trip that half or nine of ten users stay below, by their median or 95th percentile."
    )
    panel_info = PanelInfo(title="Latency over time", description=description, unit=units.SECONDS)
    return time_series_panel(panel_info, targets, steps=LATENCY_SECONDS_STEPS, fill_opacity=0)


def _latency_heatmap() -> Panel:
    counted = QUERY.buckets(catalogue.TEMPLATE_USER_LATENCY, statistic="p50", **ONE_TEMPLATE, **WINDOW).max(
        "le"
    )
    description = "How many users had their median round trip in each band, as it stood at each moment."
    return heatmap_panel(
        PanelInfo(title="Users' latency", description=description, unit=units.SECONDS), heatmap_query(counted)
    )


def _open_sessions() -> Panel:
    open_now = usage.with_app_names(QUERY.latest(catalogue.SESSIONS, **ONE_TEMPLATE).sum("app"))
    description = "Sessions of each app that agents of the template had open."
    panel_info = PanelInfo(
        title="Open sessions",
        description=description,
        unit=units.count_of("sessions"),
        no_value=NO_AGENT_REPORTS,
    )
    return time_series_panel(panel_info, [range_query(open_now, "{{name}}")], stacked=True, fill_opacity=30)


def _connection_latency() -> Panel:
    by_user, by_app = (
        QUERY.increase_buckets(family, "$__rate_interval", **ONE_TEMPLATE)
        for family in (catalogue.CONNECTION_LATENCY, catalogue.APP_CONNECTION_LATENCY)
    )
    user_reports, max_app_reports = by_user.sum("le"), by_app.max("le")
    description = (
        "How many reports of agents had a round trip in each band while a session was open. Where user names "
        "are switched off, only those of one app count, up to each bound the app that has most."
    )
    panel_info = PanelInfo(
        title="Connection latency", description=description, unit=units.SECONDS, no_value=NO_AGENT_REPORTS
    )
    return heatmap_panel(panel_info, heatmap_query(user_reports.or_else(max_app_reports), interval="10m"))
