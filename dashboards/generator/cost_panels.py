"""Panels of the cost of workspaces, in units of Coder's quota and in money."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.panels import WORKSPACE_COLORS, Panel, PanelInfo, time_series_panel
from dashboards.generator.queries import SELECTED_TEMPLATES, cost, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    share_column,
    table_panel,
)
from dashboards.generator.targets import range_query
from dashboards.generator.theme import SLOW_SHARE_STEPS
from dashboards.generator.units import Unit
from insights_exporter.bundle.promql import share

__all__ = [
    "COST",
    "MONEY",
    "NO_COST",
    "NO_PRICE",
    "cost_by_status",
    "cost_by_template",
    "cost_stats",
    "idle_cost_stats",
]

COST: Final = Unit("none", "units of cost", 1)
MONEY: Final = Unit("none", "money in the configured currency", 2)

NO_COST: Final = (
    "No costs: templates declare none (daily_cost in coder_metadata), or no template is selected, or see Data"
    " status at the top"
)
_NO_COST_SHORT: Final = "No costs declared"
NO_PRICE: Final = "No price set"


def _monthly(daily_cost: str) -> str:
    return f"{daily_cost} * {cost.DAYS_PER_MONTH}"


def cost_stats() -> Panel:
    """Return the daily cost of all workspaces, in units and in money."""
    total = cost.daily_cost(SELECTED_TEMPLATES)
    stats = [
        Stat(
            name="Cost per day",
            query=total,
            unit=COST,
            description="daily cost of all workspaces in units of Coder's quota",
            no_value=_NO_COST_SHORT,
        ),
        Stat(
            name="Money in 30 days",
            query=_monthly(str(cost.money(cost.daily_cost(SELECTED_TEMPLATES, "job")).max())),
            unit=MONEY,
            description="today's daily cost times 30, in the configured currency (cost.price_per_unit)",
            no_value=NO_PRICE,
        ),
    ]
    return stat_panel("Cost, selected templates", stats)


def idle_cost_stats() -> Panel:
    """Return the part of the cost that idle workspaces cause, as a share and in money."""
    total, idle = cost.daily_cost(SELECTED_TEMPLATES), cost.idle_daily_cost(SELECTED_TEMPLATES)
    stats = [
        Stat(
            name="Share of the cost",
            query=share(idle, total),
            unit=units.SHARE,
            description="share that running workspaces without use for seven days or more cause",
            steps=SLOW_SHARE_STEPS,
            no_value=_NO_COST_SHORT,
        ),
        Stat(
            name="Money in 30 days",
            query=_monthly(str(cost.money(cost.idle_daily_cost(SELECTED_TEMPLATES, "job")).max())),
            unit=MONEY,
            description="today's daily cost of these workspaces times 30, in the configured currency",
            no_value=NO_PRICE,
        ),
    ]
    return stat_panel("Cost of idle workspaces", stats)


def cost_by_template() -> Panel:
    """Return cost, cost of idle workspaces, hours per unit and money of each template."""
    total = cost.daily_cost(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    running = cost.daily_cost(SELECTED_TEMPLATES, *TEMPLATE_LABELS, status="running")
    idle = cost.idle_daily_cost(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    monthly_hours = usage.hours(SELECTED_TEMPLATES, *TEMPLATE_LABELS, window="30d")
    monthly_cost = running.binary_op(f"* {cost.DAYS_PER_MONTH}")
    money = cost.money(cost.daily_cost(SELECTED_TEMPLATES, "job", *TEMPLATE_LABELS))
    queries = [
        total,
        running,
        idle,
        usage.ratio(idle, total),
        usage.ratio(monthly_hours, monthly_cost),
        money.binary_op(f"* {cost.DAYS_PER_MONTH}"),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Cost per day", unit=COST, width=120),
        Column(source="B", title="Of running", unit=COST, width=110),
        Column(source="C", title="Of idle, 7 days", unit=COST, width=130),
        share_column("D", "Idle share", SLOW_SHARE_STEPS),
        Column(source="E", title="Use per unit", unit=units.HOURS, width=130),
        Column(source="F", title="Money in 30 days", unit=MONEY, width=150, no_value=NO_PRICE),
        Column(source="currency", title="Currency", width=95, no_value=""),
    ]
    description = (
        "Daily cost in units of Coder's quota of all workspaces, of running ones, and of running ones "
        "without use for seven days or more. Use per unit: hours of 30 days, divided by 30 times today's "
        "daily cost of running workspaces. Money: 30 times today's daily cost, while cost.price_per_unit is "
        "set."
    )
    panel_info = PanelInfo(
        title="Cost by template",
        description=description,
        unit=units.count_of("units of cost, hours and money"),
        no_value=NO_COST,
    )
    return table_panel(panel_info, queries, columns, sort="Cost per day")


def cost_by_status() -> Panel:
    """Return the daily cost over time by status of the workspaces."""
    panel_info = PanelInfo(
        title="Cost per day by status",
        description="Daily cost of workspaces by status; stopped workspaces keep their disks.",
        unit=COST,
        no_value=NO_COST,
    )
    return time_series_panel(
        panel_info,
        [range_query(cost.daily_cost(SELECTED_TEMPLATES, "status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=WORKSPACE_COLORS,
    )
