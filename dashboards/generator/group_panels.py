"""Tables of groups: usage and cost of teams, and budgets of Coder's quota."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.cost_panels import COST, MONEY, NO_PRICE
from dashboards.generator.panels import Panel, PanelInfo
from dashboards.generator.queries import cost, groups, usage
from dashboards.generator.tables import ORGANIZATION_COLUMN, Column, problem_column, share_column, table_panel
from dashboards.generator.theme import SEATS_USED_STEPS, SLOW_SHARE_STEPS
from insights_exporter.metrics import catalogue

__all__ = ["budgets", "teams"]

_GROUP_COLUMN: Final = Column(source="group", title="Group")
_NO_GROUPS: Final = (
    "No groups: Coder has none without a Premium licence, and teams.file is not set, or see Data status at"
    " the top"
)
_NO_BUDGETS: Final = (
    "No budgets: no group has a quota allowance, or Coder has no groups without a Premium licence, or see"
    " Data status at the top"
)


def teams() -> Panel:
    """Return members, usage, latency and cost of each group and team."""
    members, active, hours = groups.latest(catalogue.GROUP_MEMBERS), groups.active_users(), groups.hours()
    daily_cost = groups.latest(catalogue.GROUP_DAILY_COST)
    money = cost.money(groups.latest(catalogue.GROUP_DAILY_COST, "job"))
    queries = [
        members,
        active,
        usage.ratio(active, members),
        hours,
        usage.ratio(hours, active),
        groups.slow_share(),
        daily_cost,
        money.binary_op(f"* {cost.DAYS_PER_MONTH}"),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        _GROUP_COLUMN,
        Column(source="A", title="Members", unit=units.USERS, width=90),
        Column(source="B", title="Active users", unit=units.USERS, width=105),
        share_column("C", "Active share"),
        Column(source="D", title="Hours", unit=units.HOURS, width=100),
        Column(source="E", title="Hours per user", unit=units.HOURS, width=125),
        share_column("F", "Slow users", SLOW_SHARE_STEPS),
        Column(source="G", title="Cost per day", unit=COST, width=110, no_value="unknown"),
        Column(source="H", title="Money in 30 days", unit=MONEY, width=145, no_value=NO_PRICE),
        Column(source="currency", title="Currency", width=90, no_value=""),
    ]
    description = (
        "Groups of Coder and teams of the teams file: members who used any template in the window, their "
        "hours, slow users among the measured ones, and the daily cost of the workspaces that members own. A "
        "user of several groups counts in each, so do not add groups."
    )
    panel_info = PanelInfo(
        title="Groups and teams",
        description=description,
        unit=units.count_of("users, hours, shares and cost"),
        no_value=_NO_GROUPS,
    )
    return table_panel(panel_info, queries, columns, sort="Hours")


def budgets() -> Panel:
    """Return the budgets of each group's members and the cost of their workspaces."""
    budget = groups.latest(catalogue.GROUP_QUOTA_BUDGET)
    daily_cost = groups.latest(catalogue.GROUP_DAILY_COST).and_on(budget, *groups.GROUP_LABELS)
    queries = [
        budget,
        groups.latest(catalogue.GROUP_QUOTA_ALLOWANCE),
        groups.latest(catalogue.GROUP_MEMBERS).and_on(budget, *groups.GROUP_LABELS),
        daily_cost,
        usage.ratio(daily_cost, budget),
        groups.latest(catalogue.GROUP_MEMBERS_AT_BUDGET),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        _GROUP_COLUMN,
        Column(source="C", title="Members", unit=units.USERS, width=90),
        Column(source="B", title="Allowance per member", unit=COST, width=175),
        Column(source="A", title="Budget of all members", unit=COST, width=175),
        Column(source="D", title="Used per day", unit=COST, width=115),
        share_column("E", "Budget used", SEATS_USED_STEPS),
        problem_column("F", "Members at budget", "users", width=150),
    ]
    description = (
        "Coder's quota: each group allows each member a daily cost, and a member's budget is the sum over "
        "the groups of the organization. Members at budget cannot start further workspaces."
    )
    panel_info = PanelInfo(
        title="Budgets of groups",
        description=description,
        unit=units.count_of("units of cost and users"),
        no_value=_NO_BUDGETS,
    )
    return table_panel(panel_info, queries, columns, sort="Members at budget")
