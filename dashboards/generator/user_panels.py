"""Panels on people: who may need a hand, and with what."""

from __future__ import annotations

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, SELECTED_USERS, usage
from dashboards.generator.tables import CellStyle, Column, share_column, table_panel
from dashboards.generator.theme import ACCENT_STEPS, NO_USER_NAMES, NO_USER_REPORTS
from insights_exporter.bundle.promql import Expr, not_equal
from insights_exporter.metrics import catalogue

__all__ = ["inactive_users", "low_usage", "preferred_apps"]

_USER_COLUMN = Column(source="username", title="User")
_LAST_SEEN_COLUMN = Column(source="B", title="Last seen", unit=units.TIME_AGO, width=150, no_value="never")


def _last_seen() -> Expr:
    last_seen = QUERY.latest(catalogue.USER_LAST_SEEN, username=SELECTED_USERS)
    return last_seen.max("username").binary_op("* 1000")


def _monthly_hours() -> Expr:
    """Return the hours of each user in the last thirty days; nothing for those without any."""
    seconds = QUERY.latest(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d", username=SELECTED_USERS)
    return seconds.max("username").binary_op("/ 3600 > 0")


def inactive_users() -> Panel:
    """Return those who hold a seat and did not use it."""
    active_accounts = QUERY.latest(catalogue.USER_INFO, status="active", username=SELECTED_USERS).max(
        "username"
    )
    idle = active_accounts.unless_on(_monthly_hours(), "username")
    last_seen = _last_seen().and_on(idle, "username")
    description = (
        "Active accounts, each of which takes a seat, that used no workspace in the last 30 days, and when "
        "Coder last saw them. The longest away come first; some never came."
    )
    panel_info = PanelInfo(
        title="Users without activity", description=description, unit=units.USERS, no_value=NO_USER_NAMES
    )
    return table_panel(
        panel_info, [idle, last_seen], [_USER_COLUMN, _LAST_SEEN_COLUMN], sort="Last seen", descending=False
    )


def low_usage() -> Panel:
    """Return those who use little, in comparison with everybody."""
    monthly_hours = _monthly_hours()
    all_users = QUERY.latest(
        catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d", username=not_equal(catalogue.OTHER)
    )
    median_hours = f"scalar(quantile(0.5, {all_users.max('username').binary_op('/ 3600 > 0')}))"
    templates = usage.templates_per_user("30d").max("username")
    queries = [
        monthly_hours,
        _last_seen().and_on(monthly_hours, "username"),
        monthly_hours.binary_op(f"/ {median_hours}"),
        templates.and_on(monthly_hours, "username"),
    ]
    columns = [
        _USER_COLUMN,
        Column(source="A", title="Hours in 30 days", unit=units.HOURS, width=140),
        Column(
            source="C",
            title="Of the median user",
            unit=units.SHARE,
            cell_style=CellStyle.GAUGE,
            steps=ACCENT_STEPS,
            max_value=1,
        ),
        Column(source="D", title="Templates", unit=units.count_of("templates"), width=100),
        _LAST_SEEN_COLUMN,
    ]
    description = (
        "Users with the fewest hours in the last 30 days, as a share of what the median user spent: "
        "newcomers and those who may have got stuck."
    )
    panel_info = PanelInfo(
        title="Low usage", description=description, unit=units.HOURS, no_value=NO_USER_NAMES
    )
    return table_panel(panel_info, queries, columns, sort="Hours in 30 days", descending=False)


def preferred_apps() -> Panel:
    """Return the app in which each user spends most time."""
    selection = {**SELECTED_TEMPLATES, "username": SELECTED_USERS}
    by_app = QUERY.increase(catalogue.USER_APP_SESSION, **selection).sum("username", "app")
    top_app = Expr(f"topk by (username) (1, {by_app} > 0)", by_app.labels, frozenset())
    total = f"sum by (username) ({by_app})"
    share = Expr(f"({top_app} / on (username) group_left () {total})", by_app.labels, frozenset())
    count = Expr(f"count by (username) ({by_app} > 0)", ("username",), frozenset())
    columns = [
        _USER_COLUMN,
        Column(source="name", title="Preferred app"),
        Column(source="A", title="Hours in it", unit=units.HOURS, width=120),
        share_column("B", "Share of all sessions"),
        Column(source="C", title="Apps used", unit=units.count_of("apps"), width=110),
    ]
    description = (
        "The app that each user had open longest in the range that is shown, in hours and as a share of all "
        "apps' hours, and how many apps they used. Coder's API does not tell this, agents' reports do."
    )
    panel_info = PanelInfo(
        title="Preferred apps", description=description, unit=units.HOURS, no_value=NO_USER_REPORTS
    )
    return table_panel(
        panel_info,
        [usage.with_app_names(top_app.binary_op("/ 3600")), share, count],
        columns,
        sort="Hours in it",
    )
