"""How far templates have spread, month against month, in tables made to be exported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import LIMIT_LINE, Panel, PanelInfo, stat_panel, time_series_panel
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, WINDOW, Matchers, inventory, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    share_column,
    table_panel,
    trend_column,
)
from dashboards.generator.targets import range_query
from dashboards.generator.variables import multi_template_variables
from insights_exporter.bundle.promql import Expr, not_equal, share
from insights_exporter.bundle.registry import ADOPTION_REPORT
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_MONTH_DAYS: Final = 30
_MONTH_SECONDS: Final = _MONTH_DAYS * 86400
_ALL_TEMPLATES: Final[Matchers] = {}


def build() -> dict[str, Any]:
    """Return the dashboard."""
    adoption = [
        GridRow(4, [(4, panel) for panel in _stat_panels()]),
        GridRow(10, [(24, _adoption_by_template())]),
        GridRow(7, [(24, _adoption_by_organization())]),
    ]
    month_comparison = [GridRow(10, [(24, _month_comparison())])]
    trends = [
        GridRow(9, [(12, _users_and_accounts()), (12, _adoption_over_time())]),
        GridRow(9, [(12, _daily_hours()), (12, _hours_per_user_over_time())]),
    ]
    rows = [Row("Adoption", adoption), Row("Month against month", month_comparison), Row("Over time", trends)]
    return dashboard_json(ADOPTION_REPORT, multi_template_variables(window="30d"), rows, time_from="now-90d")


def _all_users(window: Matchers = WINDOW) -> Expr:
    return QUERY.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, **window).max()


def _adoption_rate() -> str:
    return share(_all_users(), inventory.accounts())


def _hours_per_user() -> str:
    return share(usage.hours(_ALL_TEMPLATES), _all_users())


def _utilization(*by: str) -> Expr:
    """Return the share of the time in which workspaces ran that somebody worked in them."""
    used_seconds = QUERY.increase(catalogue.TEMPLATE_USAGE, f"{_MONTH_DAYS}d", **SELECTED_TEMPLATES).sum(*by)
    running_workspaces = QUERY.over_time(
        "avg_over_time", catalogue.WORKSPACES, f"{_MONTH_DAYS}d", status="running", **SELECTED_TEMPLATES
    ).sum(*by)
    return usage.ratio(used_seconds, running_workspaces.binary_op(f"* {_MONTH_SECONDS}"))


def _stat_panels() -> list[Panel]:
    return [
        stat_panel(
            PanelInfo(
                title="Adoption rate",
                description="Active accounts that used any template in the window, as a share of all.",
                unit=units.SHARE,
            ),
            range_query(_adoption_rate()),
        ),
        stat_panel(
            PanelInfo(
                title="Users", description="Distinct users of any template in the window.", unit=units.USERS
            ),
            range_query(_all_users()),
        ),
        stat_panel(
            PanelInfo(
                title="Developer hours",
                description="Hours that users spent in the selected templates in the window.",
                unit=units.count_of("hours"),
            ),
            range_query(usage.hours(SELECTED_TEMPLATES)),
        ),
        stat_panel(
            PanelInfo(
                title="Hours per active user",
                description="Hours in all templates in the window, divided by the users of any of them.",
                unit=units.HOURS,
            ),
            range_query(_hours_per_user()),
        ),
        stat_panel(
            PanelInfo(
                title="Workspace utilization",
                description=(
                    "Share of the time in which workspaces of the selected templates ran that somebody "
                    "worked in them, over 30 days."
                ),
                unit=units.SHARE,
            ),
            range_query(_utilization()),
        ),
        stat_panel(
            PanelInfo(
                title="Templates in use",
                description="Selected templates with a user in the window.",
                unit=units.count_of("templates"),
            ),
            range_query(usage.users(SELECTED_TEMPLATES).binary_op("> 0").count()),
        ),
    ]


def _adoption_by_template() -> Panel:
    users, hours = usage.users(SELECTED_TEMPLATES), usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    workspaces = inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    queries = [
        users,
        users.binary_op(f"/ on () group_left () ({inventory.accounts()} > 0)"),
        hours,
        usage.ratio(hours, users),
        workspaces,
        _utilization(*TEMPLATE_LABELS),
        QUERY.latest(catalogue.TEMPLATE_CREATED, **SELECTED_TEMPLATES)
        .max(*TEMPLATE_LABELS)
        .binary_op("* 1000"),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Users", unit=units.USERS, width=80),
        share_column("B", "Adoption rate"),
        Column(source="C", title="Hours", unit=units.HOURS, width=100),
        Column(source="D", title="Hours per user", unit=units.HOURS, width=130),
        Column(source="E", title="Workspaces", unit=units.count_of("workspaces"), width=110),
        share_column("F", "Utilization"),
        Column(source="G", title="Created", unit=units.DATE_TIME, width=185),
    ]
    description = (
        "Distinct users in the window and their share of all active accounts, hours, workspaces of any "
        "status, and the share of their running time of 30 days in which somebody worked."
    )
    panel_info = PanelInfo(
        title="Adoption by template", description=description, unit=units.count_of("users, hours and shares")
    )
    return table_panel(panel_info, queries, columns, sort="Users")


def _adoption_by_organization() -> Panel:
    label = "organization_name"
    active_users = QUERY.latest(
        catalogue.USER_ACTIVITY_WINDOW, username=not_equal(catalogue.OTHER), **SELECTED_TEMPLATES, **WINDOW
    ).binary_op("> 0")
    users = active_users.max(label, "username").count(label)
    hours = usage.hours(SELECTED_TEMPLATES, label)
    templates = usage.users(SELECTED_TEMPLATES).binary_op("> 0").count(label)
    queries = [
        users,
        users.binary_op(f"/ on () group_left () ({inventory.accounts()} > 0)"),
        hours,
        hours.binary_op(f"/ on () group_left () ({usage.hours(SELECTED_TEMPLATES)} > 0)"),
        templates,
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
        share_column("G", "Utilization"),
    ]
    description = (
        "The same by organization. Each user counts once, which takes names: where user names are switched "
        "off, users stay empty, and beyond the limit of series some are missed."
    )
    panel_info = PanelInfo(
        title="Adoption by organization",
        description=description,
        unit=units.count_of("users, hours and shares"),
    )
    return table_panel(panel_info, queries, columns, sort="Hours")


def _month_comparison() -> Panel:
    family, month = catalogue.TEMPLATE_UNIQUE_USERS, f"{_MONTH_DAYS}d"
    users = QUERY.latest(family, window=month, **SELECTED_TEMPLATES).max(*TEMPLATE_LABELS)
    users_before = QUERY.at_offset(family, month, window=month, **SELECTED_TEMPLATES).max(*TEMPLATE_LABELS)
    hours = usage.hours_in_days(_MONTH_DAYS, SELECTED_TEMPLATES)
    hours_before = usage.hours_in_days(_MONTH_DAYS, SELECTED_TEMPLATES, offset=_MONTH_DAYS)
    workspaces = inventory.workspaces(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    workspaces_before = QUERY.at_offset(catalogue.WORKSPACES, month, **SELECTED_TEMPLATES).sum(
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
        Column(source="A", title="Users", unit=units.USERS, width=80),
        Column(source="B", title="Users before", unit=units.USERS),
        trend_column("C", "Change of users"),
        Column(source="D", title="Hours", unit=units.HOURS, width=90),
        Column(source="E", title="Hours before", unit=units.HOURS),
        trend_column("F", "Change of hours"),
        Column(source="G", title="Workspaces", unit=units.count_of("workspaces")),
        Column(source="H", title="Workspaces before", unit=units.count_of("workspaces"), width=160),
        replace(trend_column("I", "Change of workspaces"), width=185),
    ]
    description = (
        "The last 30 days against the 30 before: distinct users, hours, workspaces of any status. Columns of "
        "the time before fill once Prometheus has been scraping for 60 days, or after a backfill."
    )
    panel_info = PanelInfo(
        title="Last 30 days and before",
        description=description,
        unit=units.count_of("users, hours and workspaces"),
    )
    return table_panel(panel_info, queries, columns, sort="Hours")


def _users_and_accounts() -> Panel:
    targets = [
        range_query(_all_users({"window": "30d"}), "in 30 days"),
        range_query(_all_users({"window": "7d"}), "in 7 days"),
        range_query(inventory.accounts(), "active accounts"),
        range_query(inventory.seats(), "Licensed seats"),
    ]
    description = (
        "Distinct users of any template in the 30 and 7 days before, beside accounts and licensed seats."
    )
    panel_info = PanelInfo(title="Users and accounts", description=description, unit=units.USERS)
    return time_series_panel(panel_info, targets, overrides=[("Licensed seats", LIMIT_LINE)], fill_opacity=0)


def _adoption_over_time() -> Panel:
    description = "Active accounts that used any template in the window, as a share of all."
    panel_info = PanelInfo(title="Adoption over time", description=description, unit=units.SHARE)
    return time_series_panel(
        panel_info, [range_query(_adoption_rate(), "adoption")], legend=False, max_value=1
    )


def _daily_hours() -> Panel:
    # The offset puts each day's hours to the midnight at which it begins.
    day = (
        QUERY.increase(catalogue.TEMPLATE_USAGE, "1d offset -1d", **SELECTED_TEMPLATES)
        .sum(*TEMPLATE_LABELS)
        .binary_op("/ 3600")
    )
    description = "Hours that users spent in each template on each day (UTC); the last day so far."
    panel_info = PanelInfo(title="Developer hours per day", description=description, unit=units.HOURS)
    return time_series_panel(
        panel_info,
        [range_query(day, "{{organization_name}} / {{template_name}}", interval="1d")],
        bars=True,
        stacked=True,
    )


def _hours_per_user_over_time() -> Panel:
    description = "Hours in all templates in the window, divided by the users of any of them."
    panel_info = PanelInfo(title="Hours per user over time", description=description, unit=units.HOURS)
    return time_series_panel(panel_info, [range_query(_hours_per_user(), "hours per user")], legend=False)
