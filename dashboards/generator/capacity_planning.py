"""When people work, and when seats and workspaces run out."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import (
    AGENT_COLORS,
    FORECAST_LINE,
    LIMIT_LINE,
    WORKSPACE_COLORS,
    Panel,
    PanelInfo,
    stat_panel,
    time_series_panel,
)
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, inventory, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    CellStyle,
    Column,
    custom_table_panel,
    table_panel,
)
from dashboards.generator.targets import instant_query, range_query
from dashboards.generator.theme import AMBER, GREEN, NO_LICENSE_LIMIT, RED, ThresholdSteps
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.promql import Expr
from insights_exporter.bundle.registry import CAPACITY_PLANNING
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_HISTORY: Final = "4w"
_SEATS_LEFT_STEPS: Final[ThresholdSteps] = ((None, RED), (1, AMBER), (10, GREEN))
_DAYS_LEFT_STEPS: Final[ThresholdSteps] = ((None, RED), (30, AMBER), (90, GREEN))
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def build() -> dict[str, Any]:
    """Return the dashboard."""
    rows = [
        Row(
            "Users and seats",
            [
                GridRow(4, [(4, panel) for panel in _stat_panels()]),
                GridRow(9, [(12, _active_users_forecast()), (12, _seats())]),
            ],
        ),
        Row(
            "Load",
            [
                GridRow(9, [(12, _concurrent_users()), (12, _peaks_by_template())]),
                GridRow(26, [(24, _hour_by_weekday())]),
            ],
        ),
        Row(
            "Workspaces",
            [
                GridRow(9, [(12, _workspaces()), (12, _agents())]),
                GridRow(10, [(14, _least_used()), (10, _build_durations())]),
            ],
        ),
    ]
    return dashboard_json(CAPACITY_PLANNING, multi_template_variables(), rows, time_from="now-28d")


def _forecast_accounts(days: int) -> Expr:
    return QUERY.predict_linear(catalogue.USERS, _HISTORY, str(days * 86400), status="active").sum()


def _stat_panels() -> list[Panel]:
    growth_per_second = QUERY.over_time("deriv", catalogue.USERS, _HISTORY, status="active").sum()
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES)
    peak, mean = usage.hourly_aggregate("max", concurrent), usage.hourly_aggregate("avg", concurrent)
    return [
        stat_panel(
            PanelInfo(
                title="Seats left",
                description="Seats that the licence grants less active accounts.",
                unit=units.count_of("seats"),
                no_value=NO_LICENSE_LIMIT,
            ),
            range_query(f"{inventory.seats()} - {inventory.accounts()}"),
            steps=_SEATS_LEFT_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Seats left in 90 days",
                description="The same, if active accounts go on as in the last four weeks.",
                unit=units.count_of("seats"),
                no_value=NO_LICENSE_LIMIT,
            ),
            instant_query(f"{inventory.seats()} - {_forecast_accounts(90)}"),
            steps=_SEATS_LEFT_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Days until seats run out",
                description="How long the seats last if active accounts grow as in the last four weeks.",
                unit=units.count_of("days"),
                no_value="Not in sight",
            ),
            instant_query(
                f"({inventory.seats()} - {inventory.accounts()}) / ({growth_per_second} * 86400 > 0)"
            ),
            steps=_DAYS_LEFT_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Peak",
                description="Most people at once, averaged over an hour.",
                unit=units.CONCURRENT_USERS,
            ),
            instant_query(peak),
        ),
        stat_panel(
            PanelInfo(
                title="Average",
                description="People at once, averaged over the range.",
                unit=units.CONCURRENT_USERS,
            ),
            instant_query(mean),
        ),
        stat_panel(
            PanelInfo(
                title="Peak to average",
                description="How far the busiest hour stands above the average of the range.",
                unit=units.Unit("none", "times", 1),
            ),
            instant_query(usage.ratio(peak, mean)),
        ),
    ]


def _active_users_forecast() -> Panel:
    family = catalogue.DEPLOYMENT_ACTIVE_USERS
    targets = [
        range_query(QUERY.latest(family, interval="week", ago="0").max(), "Active users"),
        range_query(
            QUERY.predict_linear(family, _HISTORY, "2419200", interval="week", ago="0").max(), "in four weeks"
        ),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = (
        "Distinct users in the last complete week, and where the last four weeks lead in another four."
    )
    return time_series_panel(
        PanelInfo(title="Weekly active users and forecast", description=description, unit=units.USERS),
        targets,
        overrides=[("Licensed seats", LIMIT_LINE), ("in four weeks", FORECAST_LINE)],
    )


def _seats() -> Panel:
    accounts = QUERY.latest(catalogue.USERS).sum("status")
    targets = [
        range_query(accounts, "{{status}}"),
        range_query(_forecast_accounts(28), "active in four weeks"),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = "Accounts by status against the seats of the licence; only active ones take seats."
    return time_series_panel(
        PanelInfo(title="Seats", description=description, unit=units.USERS),
        targets,
        overrides=[
            ("Licensed seats", LIMIT_LINE),
            ("active in four weeks", FORECAST_LINE),
        ],
    )


def _concurrent_users() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    description = "How many people were in each template at once, averaged over an hour."
    return time_series_panel(
        PanelInfo(title="People at once", description=description, unit=units.CONCURRENT_USERS),
        [range_query(concurrent, "{{organization_name}} / {{template_name}}", interval="1h")],
        stacked=True,
        fill_opacity=30,
    )


def _peaks_by_template() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    peak, mean = usage.hourly_aggregate("max", concurrent), usage.hourly_aggregate("avg", concurrent)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Peak", unit=units.CONCURRENT_USERS, cell_style=CellStyle.GAUGE),
        Column(source="B", title="Average", unit=units.CONCURRENT_USERS, width=90),
        Column(source="C", title="Peak to average", unit=units.Unit("none", "times", 1), width=130),
    ]
    description = "The busiest hour of each template in the range, the average, and how far they lie apart."
    panel_info = PanelInfo(title="Peaks by template", description=description, unit=units.CONCURRENT_USERS)
    return table_panel(panel_info, [peak, mean, usage.ratio(peak, mean)], columns, sort="Peak")


def _hour_by_weekday() -> Panel:
    concurrent = usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES)
    # What a sample says lies in the hour before it.
    hour_before = "vector(time() - 3600)"
    targets = [
        range_query(concurrent, "people", interval="1h"),
        range_query(f"hour({hour_before})", "hour", interval="1h"),
        range_query(f"day_of_week({hour_before})", "weekday", interval="1h"),
    ]
    # Grafana groups by names that fields were given, not by legends.
    field_names = {"people": "People", "hour": "Hour", "weekday": "Weekday"}
    group_options = {
        "fields": {
            "Hour": {"aggregations": [], "operation": "groupby"},
            "Weekday": {"aggregations": [], "operation": "groupby"},
            "People": {"aggregations": ["mean"], "operation": "aggregate"},
        }
    }
    matrix_options = {"rowField": "Hour", "columnField": "Weekday", "valueField": "People (mean)"}
    weekday_names = {str((index + 1) % 7): name for index, name in enumerate(_WEEKDAYS)}
    column_order = {"Hour\\Weekday": 0} | {key: index for index, key in enumerate(weekday_names, start=1)}
    organize_options = {
        "excludeByName": {},
        "indexByName": column_order,
        "renameByName": {"Hour\\Weekday": "Hour"} | weekday_names,
    }
    columns = [
        Column(source="hour", title="Hour", width=80),
        *(
            Column(
                source=name, title=name, unit=units.CONCURRENT_USERS, cell_style=CellStyle.SHADED_BACKGROUND
            )
            for name in _WEEKDAYS
        ),
    ]
    description = "People at once by hour of the day and day of the week (UTC), averaged over the range."
    return custom_table_panel(
        PanelInfo(title="People by hour and weekday", description=description, unit=units.CONCURRENT_USERS),
        targets,
        columns,
        transformations=[
            ("joinByField", {"byField": "Time", "mode": "outer"}),
            ("organize", {"excludeByName": {}, "indexByName": {}, "renameByName": field_names}),
            ("groupBy", group_options),
            ("sortBy", {"fields": {}, "sort": [{"field": "Hour"}]}),
            ("groupingToMatrix", matrix_options),
            ("organize", organize_options),
        ],
    )


def _workspaces() -> Panel:
    description = "Workspaces by the status of their newest build."
    return time_series_panel(
        PanelInfo(title="Workspaces by status", description=description, unit=units.count_of("workspaces")),
        [range_query(inventory.workspaces(SELECTED_TEMPLATES).sum("status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=WORKSPACE_COLORS,
    )


def _agents() -> Panel:
    description = "Agents in running workspaces by connection status."
    return time_series_panel(
        PanelInfo(title="Agents by status", description=description, unit=units.count_of("agents")),
        [range_query(inventory.agents(SELECTED_TEMPLATES).sum("status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=AGENT_COLORS,
    )


def _least_used() -> Panel:
    workspaces = inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    queries = [
        usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
        usage.users(SELECTED_TEMPLATES),
        workspaces,
        usage.ratio(usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS), workspaces),
        QUERY.latest(catalogue.TEMPLATE_CREATED, **SELECTED_TEMPLATES)
        .max(*TEMPLATE_LABELS)
        .binary_op("* 1000"),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Hours", unit=units.HOURS, width=80),
        Column(source="B", title="Users", unit=units.USERS, width=70),
        Column(source="C", title="Workspaces", unit=units.count_of("workspaces"), width=100),
        Column(source="D", title="Hours per workspace", unit=units.HOURS),
        Column(source="E", title="Created", unit=units.TIME_AGO),
    ]
    description = "Candidates for merging into another template: the least used in the window come first."
    panel_info = PanelInfo(title="Least used templates", description=description, unit=units.HOURS)
    return table_panel(panel_info, queries, columns, sort="Hours", descending=False)


def _build_durations() -> Panel:
    families = (catalogue.TEMPLATE_BUILD_P50, catalogue.TEMPLATE_BUILD_P95)
    queries = [
        QUERY.latest(family, **SELECTED_TEMPLATES).max(*TEMPLATE_LABELS, "transition") for family in families
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="transition", title="Transition", width=110),
        Column(source="A", title="p50", unit=units.SECONDS, width=90),
        Column(source="B", title="p95", unit=units.SECONDS),
    ]
    description = "How long the latest builds of each template took: the median and the 95th percentile."
    panel_info = PanelInfo(title="Build durations", description=description, unit=units.SECONDS)
    return table_panel(panel_info, queries, columns, sort="p95")
