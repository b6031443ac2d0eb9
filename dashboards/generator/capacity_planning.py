"""Capacity Planning: seats, peak load, growth and consolidation candidates."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import build_panels, forecast_panels, group_panels, units, workspace_panels
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.deployment_overview import no_users_in_window
from dashboards.generator.panels import (
    LIMIT_LINE,
    Panel,
    PanelInfo,
    time_series_panel,
)
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, forecast, inventory, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    CellStyle,
    Column,
    custom_table_panel,
    table_panel,
)
from dashboards.generator.targets import range_query
from dashboards.generator.theme import ACCENT, AMBER, RED, TRANSPARENT, ThresholdSteps, nothing_found
from dashboards.generator.units import Unit
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import Expr
from insights_exporter.bundle.registry import CAPACITY_PLANNING
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_SEATS_LEFT_STEPS: Final[ThresholdSteps] = ((None, RED), (1, AMBER), (10, TRANSPARENT))
_DAYS_LEFT_STEPS: Final[ThresholdSteps] = ((None, RED), (30, AMBER), (90, TRANSPARENT))
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NEEDS_HISTORY: Final = f"After {forecast.HISTORY_WEEKS} weeks"
_METER_NAMES: Final = {
    "ai_governance_user_limit": "Users of AI features",
    "managed_agent_limit": "Managed agents",
    "agent_runtime_hours": "Hours of agents",
}
_METER_STEPS: Final[ThresholdSteps] = ((None, ACCENT), (0.8, AMBER), (Thresholds().license_share, RED))
_FORECAST_DAYS: Final = 90

_BACKFILLED: Final = "Backfilled days have their mean in each hour, as Coder reports past days as a whole."


def build() -> dict[str, Any]:
    """Return the dashboard."""
    seats = [
        GridRow(4, [(8, panel) for panel in (_seats_now(), _seats_ahead(), _load())]),
        GridRow(
            9,
            [
                (10, forecast_panels.weekly_users()),
                (5, forecast_panels.weekly_users_forecast()),
                (9, _seats_over_time()),
            ],
        ),
        GridRow(6, [(24, _license_meters())]),
    ]
    load = [
        GridRow(9, [(12, _concurrent_users()), (12, _peaks_by_template())]),
        GridRow(9, [(24, _hour_by_weekday())]),
    ]
    workspaces = [
        GridRow(
            9, [(12, workspace_panels.workspaces_by_status()), (12, workspace_panels.agents_by_status())]
        ),
        GridRow(9, [(24, workspace_panels.reclaimable_workspaces())]),
        GridRow(6, [(24, group_panels.budgets())]),
        GridRow(10, [(24, workspace_panels.least_used_templates())]),
    ]
    latest_builds = [
        GridRow(10, [(14, build_panels.latest_builds()), (10, workspace_panels.build_durations())]),
    ]
    coderd_builds = [
        GridRow(9, [(12, build_panels.build_results()), (12, build_panels.failed_builds())]),
        GridRow(9, [(24, build_panels.build_times())]),
    ]
    rows = [
        status_row(no_users_in_window()),
        Row("Seats and growth of the deployment", seats),
        Row("Load, selected templates", load),
        Row("Workspaces, selected templates", workspaces),
        Row("Builds, selected templates", latest_builds),
        Row("Builds, if coderd is scraped", coderd_builds, collapsed=True),
    ]
    return dashboard_json(CAPACITY_PLANNING, multi_template_variables(), rows, time_from="now-28d")


def _seats_now() -> Panel:
    stats = [
        Stat(
            name="Used",
            query=inventory.seats_used(),
            unit=units.count_of("seats"),
            description="seats as the licence counts them",
        ),
        Stat(
            name="Left",
            query=f"{inventory.seats()} - {inventory.seats_used()}",
            unit=units.count_of("seats"),
            description="seats of the licence that are not used",
            steps=_SEATS_LEFT_STEPS,
            no_value="No licence limit",
        ),
    ]
    return stat_panel("Seats", stats)


def _license_meters() -> Panel:
    used, limit, last_week = (
        inventory.license_meters(catalogue.LICENSE_FEATURE_USED),
        inventory.license_meters(catalogue.LICENSE_FEATURE_LIMIT),
        inventory.license_meters(catalogue.LICENSE_FEATURE_USED, ago="7d"),
    )
    queries = [
        used,
        limit,
        usage.ratio(used, limit),
        Expr(f"({used} - {last_week})", used.labels, frozenset()),
    ]
    amount = units.count_of("units of the meter")
    columns = [
        Column(source="feature", title="Meter", min_width=200, value_mappings=_METER_NAMES),
        Column(source="A", title="Used", unit=amount, width=110),
        Column(source="B", title="Limit", unit=amount, width=110, no_value="unlimited"),
        Column(
            source="C",
            title="Share of the limit",
            unit=units.SHARE,
            cell_style=CellStyle.GAUGE,
            steps=_METER_STEPS,
            max_value=1,
            no_value="",
        ),
        Column(source="D", title="Change in 7 days", unit=amount, width=140, no_value="needs 7 d"),
    ]
    description = (
        "Metered features of the licence besides seats, as Coder counts them, and their change in a week. "
        "An alert fires at 90 % of a limit."
    )
    panel_info = PanelInfo(
        title="Licence meters",
        description=description,
        unit=amount,
        no_value=nothing_found("The licence has no other meters"),
    )
    return table_panel(panel_info, queries, columns, sort="Share of the limit", base=used)


def _seats_ahead() -> Panel:
    ahead = forecast.seats_forecast(_FORECAST_DAYS)
    left = f"({inventory.seats()} - {inventory.seats_used()})"
    days = f"{left} / ({forecast.seats_growth()} > 0)"
    # Flat or falling use is a result, not missing history.
    no_growth = f"({forecast.seats_growth()} <= 0) * 0 - 1 and on () {inventory.seats()}"
    stats = [
        Stat(
            name="At most used in 90 days",
            query=f"ceil({ahead.high})",
            unit=units.count_of("seats"),
            description=(
                "upper end of the forecast from the last four weeks: the trend plus twice the standard error"
            ),
            no_value=_NEEDS_HISTORY,
        ),
        Stat(
            name="Days until none is left",
            query=f"{days} or {no_growth}",
            unit=units.count_of("days"),
            description="unused seats divided by the growth per day of the last four weeks",
            steps=_DAYS_LEFT_STEPS,
            no_value=_NEEDS_HISTORY,
            value_mappings={"-1": ("No growth", TRANSPARENT)},
        ),
    ]
    return stat_panel("Seat forecast", stats)


def _concurrent(*by: str) -> Expr:
    limit = usage.users(SELECTED_TEMPLATES, "30d") if by else inventory.accounts()
    return usage.concurrent_users(catalogue.TEMPLATE_USAGE, SELECTED_TEMPLATES, *by, limit=limit)


def _load() -> Panel:
    stats = [
        Stat(
            name="Peak",
            query=usage.hourly_aggregate("max", _concurrent()),
            unit=units.CONCURRENT_USERS,
            description="users at the same time in the busiest hour, at most the active accounts; of "
            "backfilled days, the mean",
            no_value="After 1 h",
        ),
        Stat(
            name="Average",
            query=usage.hourly_aggregate("avg", _concurrent()),
            unit=units.CONCURRENT_USERS,
            description="mean over all hours of the range; hours without fresh data are left out",
            no_value="After 1 h",
        ),
    ]
    return stat_panel("Concurrent users of templates", stats)


def _seats_over_time() -> Panel:
    targets = [
        range_query(QUERY.latest(catalogue.USERS).sum("status"), "{{status}} accounts"),
        range_query(inventory.seats_used(), "Used seats"),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = (
        "Accounts of the deployment by status, used seats as the licence counts them, and licensed seats."
    )
    return time_series_panel(
        PanelInfo(title="Accounts and seats", description=description, unit=units.count_of("accounts")),
        targets,
        overrides=[("Licensed seats", LIMIT_LINE)],
        fill_opacity=0,
    )


def _concurrent_users() -> Panel:
    description = f"Users of each template at the same time, mean of the hour before. {_BACKFILLED}"
    return time_series_panel(
        PanelInfo(title="Concurrent users", description=description, unit=units.CONCURRENT_USERS),
        [
            range_query(
                _concurrent(*TEMPLATE_LABELS), "{{organization_name}} / {{template_name}}", interval="1h"
            )
        ],
        stacked=True,
        fill_opacity=30,
    )


def _peaks_by_template() -> Panel:
    concurrent = _concurrent(*TEMPLATE_LABELS)
    peak, mean = usage.hourly_aggregate("max", concurrent), usage.hourly_aggregate("avg", concurrent)
    running = inventory.workspaces(SELECTED_TEMPLATES, "running").sum(*TEMPLATE_LABELS)
    agents = inventory.connected_agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Peak", unit=units.CONCURRENT_USERS, cell_style=CellStyle.GAUGE),
        Column(source="B", title="Average", unit=units.CONCURRENT_USERS, width=85),
        Column(source="C", title="Running", unit=units.count_of("workspaces"), width=85),
        Column(source="D", title="Agents", unit=units.count_of("agents"), width=80),
        Column(source="E", title="Running per user", unit=Unit("none", "workspaces", 2), width=140),
    ]
    description = (
        "Users at the same time in the busiest hour of the range and on average; running workspaces and "
        "connected agents now, and running workspaces per distinct user of seven days."
    )
    panel_info = PanelInfo(
        title="Load by template", description=description, unit=units.count_of("users, workspaces and agents")
    )
    per_user = usage.ratio(running, usage.users(SELECTED_TEMPLATES, "7d"))
    queries = [peak, mean, running, agents, per_user]
    return table_panel(panel_info, queries, columns, sort="Peak", base=running)


def _hour_by_weekday() -> Panel:
    # A sample describes the hour before it.
    hour_before = "vector(time() - 3600)"
    targets = [
        range_query(_concurrent(), "people", interval="1h"),
        range_query(f"hour({hour_before})", "hour", interval="1h"),
        # Sunday is 0; Monday comes first.
        range_query(f"(day_of_week({hour_before}) + 6) % 7", "weekday", interval="1h"),
    ]
    # Grafana groups by field names, not by legends.
    field_names = {"people": "People", "hour": "Hour", "weekday": "Weekday"}
    group_options = {
        "fields": {
            "Hour": {"aggregations": [], "operation": "groupby"},
            "Weekday": {"aggregations": [], "operation": "groupby"},
            "People": {"aggregations": ["mean"], "operation": "aggregate"},
        }
    }
    hours = [str(hour) for hour in range(24)]
    matrix_options = {"rowField": "Weekday", "columnField": "Hour", "valueField": "People (mean)"}
    organize_options = {
        "excludeByName": {},
        "indexByName": {"Weekday\\Hour": 0} | {hour: index for index, hour in enumerate(hours, start=1)},
        "renameByName": {"Weekday\\Hour": "UTC"},
    }
    weekdays = {str(index): name for index, name in enumerate(_WEEKDAYS)}
    columns = [
        Column(source="weekday", title="UTC", width=60, value_mappings=weekdays),
        *(
            Column(
                source=hour,
                title=hour,
                unit=units.CONCURRENT_USERS,
                cell_style=CellStyle.SHADED_BACKGROUND,
                no_value="",
                hide_text=True,
            )
            for hour in hours
        ),
    ]
    description = (
        "Users at the same time by weekday and hour (UTC), mean over the range. A stronger colour is busier. "
        f"{_BACKFILLED}"
    )
    return custom_table_panel(
        PanelInfo(title="Busy hours", description=description, unit=units.CONCURRENT_USERS),
        targets,
        columns,
        transformations=[
            ("joinByField", {"byField": "Time", "mode": "outer"}),
            ("organize", {"excludeByName": {}, "indexByName": {}, "renameByName": field_names}),
            ("groupBy", group_options),
            ("sortBy", {"fields": {}, "sort": [{"field": "Weekday"}]}),
            ("groupingToMatrix", matrix_options),
            ("organize", organize_options),
        ],
        min_column_width=25,
    )
