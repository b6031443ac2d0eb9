"""Adoption Report: adoption, hours and utilization, compared with the month before."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import cost_panels, group_panels, onboarding_panels, units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.deployment_overview import no_users_in_window
from dashboards.generator.panels import LIMIT_LINE, Panel, PanelInfo, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, WINDOW, Matchers, inventory, usage
from dashboards.generator.queries.self_metrics import QUERY_PER_REPLICA
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    share_column,
    table_panel,
    trend_column,
)
from dashboards.generator.targets import range_query
from dashboards.generator.units import Unit
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.promql import Expr, not_equal, share
from insights_exporter.bundle.registry import ADOPTION_REPORT
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_MONTH: Final = "30d"
_MIN_UTILIZATION_DAYS: Final = 7
_DAY: Final = 86400
_COST: Final = Unit("none", "units of cost", 1)
_ALL_TEMPLATES: Final[Matchers] = {}
_NEEDS_WEEK: Final = f"After {_MIN_UTILIZATION_DAYS} days"
_NEEDS_MONTH: Final = "needs 30 d"


def build() -> dict[str, Any]:
    """Return the dashboard."""
    adoption = [
        GridRow(4, [(8, panel) for panel in (_adoption(), _hours(), _templates_in_use())]),
        GridRow(10, [(24, _adoption_by_template())]),
        GridRow(7, [(24, _adoption_by_organization())]),
    ]
    trends = [
        GridRow(9, [(12, _users_and_accounts()), (12, _adoption_over_time())]),
        GridRow(9, [(12, _daily_hours()), (12, _hours_per_user_over_time())]),
    ]
    onboarding = [
        GridRow(8, [(10, onboarding_panels.new_accounts()), (14, onboarding_panels.accounts_without_use())]),
    ]
    cost = [
        GridRow(7, [(24, group_panels.teams())]),
        GridRow(4, [(12, cost_panels.cost_stats()), (12, cost_panels.idle_cost_stats())]),
        GridRow(9, [(24, cost_panels.cost_by_template())]),
        GridRow(8, [(24, cost_panels.cost_by_status())]),
    ]
    rows = [
        status_row(no_users_in_window()),
        Row("Adoption in the window", adoption),
        Row("Month against month", [GridRow(10, [(24, _month_comparison())])]),
        Row("Onboarding", onboarding),
        Row("Groups, teams and cost", cost),
        Row("Over time", trends),
    ]
    return dashboard_json(ADOPTION_REPORT, multi_template_variables(window=_MONTH), rows, time_from="now-90d")


def _adoption_rate() -> str:
    return share(usage.deployment_users(), inventory.accounts())


def _hours_per_user() -> str:
    return share(usage.hours(_ALL_TEMPLATES), usage.deployment_users())


def _covered_seconds() -> str:
    """Return the age of the oldest data within a month, if it is a week or more."""
    first = QUERY_PER_REPLICA.over_time(
        "min_over_time", catalogue.LAST_SUCCESS, _MONTH, collector="inventory"
    )
    return f"(time() - min({first}) >= {_MIN_UTILIZATION_DAYS * _DAY})"


def _utilization(*by: str) -> Expr:
    """Return the share of the running time of workspaces in which they were used.

    Usage and running time cover the same period: the last month, or less while the history is younger.
    """
    used_seconds = QUERY.increase(catalogue.TEMPLATE_USAGE, _MONTH, **SELECTED_TEMPLATES).sum(*by)
    running_workspaces = QUERY.over_time(
        "avg_over_time", catalogue.WORKSPACES, _MONTH, status="running", **SELECTED_TEMPLATES
    ).sum(*by)
    return usage.ratio(
        used_seconds, running_workspaces.binary_op(f"* on () group_left () {_covered_seconds()}")
    )


def _adoption() -> Panel:
    stats = [
        Stat(
            name="Users",
            query=usage.deployment_users(),
            unit=units.USERS,
            description="distinct users of any template in the window",
        ),
        Stat(
            name="Adoption rate",
            query=_adoption_rate(),
            unit=units.SHARE,
            description="these users as a share of the active accounts",
        ),
    ]
    return stat_panel("Whole deployment", stats)


def _hours() -> Panel:
    stats = [
        Stat(
            name="Hours",
            query=usage.hours(SELECTED_TEMPLATES),
            unit=units.HOURS,
            description="time of all users in the selected templates in the window",
        ),
        Stat(
            name="Hours per user, deployment",
            query=_hours_per_user(),
            unit=units.HOURS,
            description="hours in all templates divided by the distinct users of any template",
        ),
    ]
    return stat_panel("Developer hours", stats)


def _templates_in_use() -> Panel:
    stats = [
        Stat(
            name="Templates in use",
            query=usage.users(SELECTED_TEMPLATES).binary_op("> 0").count(),
            unit=units.count_of("templates"),
            description="selected templates with a user in the window",
            no_value="0",
        ),
        Stat(
            name="Workspace utilization",
            query=_utilization(),
            unit=units.SHARE,
            description="used time as a share of the running time of workspaces, in the last 30 days",
            no_value=_NEEDS_WEEK,
        ),
    ]
    return stat_panel("Selected templates", stats)


def _adoption_by_template() -> Panel:
    users, hours = usage.users(SELECTED_TEMPLATES), usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    cost = inventory.daily_cost(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    queries = [
        users,
        users.binary_op(f"/ on () group_left () ({inventory.accounts()} > 0)"),
        hours,
        usage.ratio(hours, users),
        inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
        _utilization(*TEMPLATE_LABELS),
        cost,
        usage.ratio(cost.binary_op("* 30"), usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS, window=_MONTH)),
        usage.created_at(SELECTED_TEMPLATES),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Users", unit=units.USERS, width=80),
        share_column("B", "Adoption rate"),
        Column(source="C", title="Hours", unit=units.HOURS, width=100),
        Column(source="D", title="Hours per user", unit=units.HOURS, width=130),
        Column(source="E", title="Workspaces", unit=units.count_of("workspaces"), width=110),
        share_column("F", "Utilization, 30 days"),
        Column(source="G", title="Daily cost", unit=_COST, width=100, no_value="unknown"),
        Column(source="H", title="Cost per hour", unit=_COST, width=115, no_value="unknown"),
        Column(source="I", title="Created", unit=units.DATE, width=110),
    ]
    description = (
        "Distinct users in the window and their share of the active accounts, hours, and workspaces of any "
        "status. Utilization: used time as a share of the running time of workspaces in the last 30 days; "
        "needs 7 days of history. Cost per hour: 30 times today's daily cost of running workspaces, "
        "divided by the hours of 30 days; cost is known where templates declare it. Download CSV: the link "
        "in the panel's title, then the button of that name."
    )
    unit = units.count_of("users, hours and shares")
    return table_panel(
        PanelInfo(title="Adoption by template", description=description, unit=unit),
        queries,
        columns,
        sort="Users",
    )


def _adoption_by_organization() -> Panel:
    label = "organization_name"
    active_users = QUERY.latest(
        catalogue.USER_ACTIVITY_WINDOW, username=not_equal(catalogue.OTHER), **SELECTED_TEMPLATES, **WINDOW
    ).binary_op("> 0")
    users = active_users.max(label, "username").count(label)
    hours = usage.hours(SELECTED_TEMPLATES, label)
    queries = [
        users,
        users.binary_op(f"/ on () group_left () ({inventory.accounts()} > 0)"),
        hours,
        hours.binary_op(f"/ on () group_left () ({usage.hours(SELECTED_TEMPLATES)} > 0)"),
        usage.users(SELECTED_TEMPLATES).binary_op("> 0").count(label),
        inventory.workspaces(SELECTED_TEMPLATES).sum(label),
        _utilization(label),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        Column(source="A", title="Users", unit=units.USERS, width=80),
        share_column("B", "Adoption rate"),
        Column(source="C", title="Hours", unit=units.HOURS, width=100),
        share_column("D", "Share of hours"),
        Column(source="E", title="Templates in use", unit=units.count_of("templates"), width=140),
        Column(source="F", title="Workspaces", unit=units.count_of("workspaces"), width=110),
        share_column("G", "Utilization, 30 days"),
    ]
    description = (
        "The same by organization. Users counts each user once and needs names: it is empty while user "
        "names are switched off (privacy.users), and too low beyond the series limit."
    )
    unit = units.count_of("users, hours and shares")
    return table_panel(
        PanelInfo(title="Adoption by organization", description=description, unit=unit),
        queries,
        columns,
        sort="Hours",
    )


def _month_comparison() -> Panel:
    users = usage.users(SELECTED_TEMPLATES, _MONTH)
    users_before = QUERY.at_offset(
        catalogue.TEMPLATE_UNIQUE_USERS, _MONTH, window=_MONTH, **SELECTED_TEMPLATES
    ).max(*TEMPLATE_LABELS)
    hours, hours_before = (
        usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS, window=_MONTH, offset=offset)
        for offset in ("", _MONTH)
    )
    workspaces = inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    workspaces_before = QUERY.at_offset(catalogue.WORKSPACES, _MONTH, **SELECTED_TEMPLATES).sum(
        *TEMPLATE_LABELS
    )
    queries = [
        *(users, users_before, usage.relative_change(users, users_before)),
        *(hours, hours_before, usage.relative_change(hours, hours_before)),
        *(workspaces, workspaces_before, usage.relative_change(workspaces, workspaces_before)),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Users", unit=units.USERS, width=70),
        Column(source="B", title="Users before", unit=units.USERS, no_value=_NEEDS_MONTH),
        trend_column("C", "Users, change"),
        Column(source="D", title="Hours", unit=units.HOURS, width=90),
        Column(source="E", title="Hours before", unit=units.HOURS, no_value=_NEEDS_MONTH),
        trend_column("F", "Hours, change"),
        Column(source="G", title="Workspaces", unit=units.count_of("workspaces")),
        Column(
            source="H", title="Workspaces before", unit=units.count_of("workspaces"), no_value=_NEEDS_MONTH
        ),
        trend_column("I", "Workspaces, change"),
    ]
    description = (
        "The last 30 days against the 30 days before: distinct users, hours, and workspaces of any status. "
        "The values before need 30 days of history in Prometheus."
    )
    unit = units.count_of("users, hours and workspaces")
    return table_panel(
        PanelInfo(title="Last 30 days and before", description=description, unit=unit),
        queries,
        columns,
        sort="Hours",
    )


def _users_and_accounts() -> Panel:
    targets = [
        range_query(usage.deployment_users("30d"), "Users in 30 days"),
        range_query(usage.deployment_users("7d"), "Users in 7 days"),
        range_query(inventory.accounts(), "Active accounts"),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = (
        "Distinct users of any template in the 30 and 7 days before, active accounts and licensed seats."
    )
    panel_info = PanelInfo(title="Users and accounts, deployment", description=description, unit=units.USERS)
    return time_series_panel(panel_info, targets, overrides=[("Licensed seats", LIMIT_LINE)], fill_opacity=0)


def _adoption_over_time() -> Panel:
    description = "Users of any template in the window as a share of the active accounts."
    panel_info = PanelInfo(title="Adoption rate, deployment", description=description, unit=units.SHARE)
    return time_series_panel(
        panel_info, [range_query(_adoption_rate(), "Adoption rate")], legend=False, max_value=1
    )


def _daily_hours() -> Panel:
    # The offset moves the hours of a day to the midnight at which it begins.
    day = QUERY.increase(catalogue.TEMPLATE_USAGE, "1d offset -1d", **SELECTED_TEMPLATES)
    hours = day.sum(*TEMPLATE_LABELS).binary_op("/ 3600")
    description = "Hours in each template on each day (UTC) since the first scrape; today is incomplete."
    panel_info = PanelInfo(title="Developer hours per day", description=description, unit=units.HOURS)
    return time_series_panel(
        panel_info,
        [range_query(hours, "{{organization_name}} / {{template_name}}", interval="1d")],
        bars=True,
        stacked=True,
    )


def _hours_per_user_over_time() -> Panel:
    description = "Hours in all templates in the window, divided by the distinct users of any template."
    panel_info = PanelInfo(title="Hours per user, deployment", description=description, unit=units.HOURS)
    return time_series_panel(panel_info, [range_query(_hours_per_user(), "Hours per user")], legend=False)
