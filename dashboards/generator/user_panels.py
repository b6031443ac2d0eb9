"""Tables of users: connection, low usage and preferred apps."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo
from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, SELECTED_USERS, inventory, latency, usage
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    CellStyle,
    Column,
    latency_column,
    p95_column,
    problem_column,
    share_column,
    table_panel,
)
from dashboards.generator.theme import ACCENT_STEPS, NO_USER_NAMES, NO_USER_REPORTS, nothing_found
from insights_exporter.bundle.promql import Expr, not_equal
from insights_exporter.metrics import catalogue

__all__ = ["connections", "low_usage", "preferred_apps", "users_without_activity"]

_SELECTION: Final = {**SELECTED_TEMPLATES, "username": SELECTED_USERS}
_USER_LABELS: Final = (*TEMPLATE_LABELS, "username")
_USER_COLUMN: Final = Column(source="username", title="User")
_LAST_SEEN_COLUMN: Final = Column(
    source="B", title="Last seen", unit=units.TIME_AGO, width=150, no_value="never"
)
_LAST_APP_RANGE: Final = "1d"


def connections() -> Panel:
    """Return one row per user and template: latency, since when it is slow, and what may explain it."""
    measured = latency.user_latency(catalogue.USER_LATENCY_P50, _SELECTION)
    by_app = QUERY.increase(catalogue.USER_APP_SESSION, _LAST_APP_RANGE, **_SELECTION).sum(
        *_USER_LABELS, "app"
    )
    users = ", ".join(_USER_LABELS)
    main_app = Expr(f"topk by ({users}) (1, {by_app} > 0)", by_app.labels, frozenset())
    hours = (
        QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, window="today", **_SELECTION)
        .max(*_USER_LABELS)
        .binary_op("/ 3600")
    )
    queries = [
        measured.binary_op("* 1000"),
        latency.user_latency(catalogue.USER_LATENCY_P95, _SELECTION).binary_op("* 1000"),
        latency.user_latency(catalogue.USER_LATENCY_P50, _SELECTION, "today").binary_op("* 1000"),
        latency.slow_since(_SELECTION),
        usage.with_app_names(main_app.and_on(measured, *_USER_LABELS)).binary_op("/ 3600"),
        hours.and_on(measured, *_USER_LABELS),
        _of_template(inventory.outdated_agents(SELECTED_TEMPLATES), measured),
        _of_template(inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED), measured),
    ]
    columns = [
        _USER_COLUMN,
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        latency_column("A", "p50", width=90),
        p95_column("B", "p95", width=90),
        latency_column("C", "p50 today", width=100),
        Column(source="D", title="Slow since", unit=units.TIME_AGO, width=130),
        Column(source="name", title="Main app, last day", width=150, no_value=""),
        Column(source="F", title="Hours today", unit=units.HOURS, width=100),
        problem_column("G", "Outdated agents", "agents", width=130),
        problem_column("H", "Disconnected agents", "agents", width=160),
    ]
    description = (
        "Each user and template, highest p50 first. Slow since: when the p50 of the day was last below 300 "
        "ms, within the range. Main app: from agent reports of the last day. Outdated and disconnected "
        "agents are those of the template. The median relay latency of the region is in the next row."
    )
    panel_info = PanelInfo(
        title="Connections by user", description=description, unit=units.MILLISECONDS, no_value=NO_USER_NAMES
    )
    return table_panel(panel_info, queries, columns, sort="p50")


def _of_template(agents: Expr, users: Expr) -> Expr:
    """Return a number of the template beside each of its users."""
    labels = ", ".join(TEMPLATE_LABELS)
    text = f"({users} * 0 + on ({labels}) group_left () {agents.sum(*TEMPLATE_LABELS)})"
    return Expr(text, users.labels, frozenset())


def _last_seen() -> Expr:
    last_seen = QUERY.latest(catalogue.USER_LAST_SEEN, username=SELECTED_USERS)
    return last_seen.max("username").binary_op("* 1000")


def _monthly_hours() -> Expr:
    """Return the hours of each user in 30 days; absent for users without any."""
    seconds = QUERY.latest(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d", username=SELECTED_USERS)
    return seconds.max("username").binary_op("/ 3600 > 0")


def users_without_activity() -> Panel:
    """Return active accounts without usage in 30 days."""
    active_accounts = QUERY.latest(catalogue.USER_INFO, status="active", username=SELECTED_USERS).max(
        "username"
    )
    idle = active_accounts.unless_on(_monthly_hours(), "username")
    description = (
        "Active accounts, each of which uses a seat, without usage of any template in the last 30 days, "
        "and when Coder last saw the user. The longest absent come first."
    )
    panel_info = PanelInfo(
        title="Users without activity",
        description=description,
        unit=units.USERS,
        no_value=nothing_found("No user without activity, or user names are switched off (privacy.users)"),
    )
    queries = [idle, _last_seen().and_on(idle, "username")]
    return table_panel(
        panel_info, queries, [_USER_COLUMN, _LAST_SEEN_COLUMN], sort="Last seen", descending=False
    )


def low_usage() -> Panel:
    """Return the users with the fewest hours."""
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
            title="Of median user",
            unit=units.SHARE,
            cell_style=CellStyle.GAUGE,
            steps=ACCENT_STEPS,
            max_value=1,
        ),
        Column(source="D", title="Templates", unit=units.count_of("templates"), width=95),
        _LAST_SEEN_COLUMN,
    ]
    description = (
        "Users of any template with the fewest hours in the last 30 days, as a share of the median user's "
        "hours. They may need onboarding."
    )
    panel_info = PanelInfo(
        title="Low usage, deployment", description=description, unit=units.HOURS, no_value=NO_USER_NAMES
    )
    return table_panel(panel_info, queries, columns, sort="Hours in 30 days", descending=False)


def preferred_apps() -> Panel:
    """Return the app with the longest session time of each user."""
    by_app = QUERY.increase(catalogue.USER_APP_SESSION, **_SELECTION).sum("username", "app")
    top_app = Expr(f"topk by (username) (1, {by_app} > 0)", by_app.labels, frozenset())
    total = f"sum by (username) ({by_app})"
    share = Expr(f"({top_app} / on (username) group_left () {total})", by_app.labels, frozenset())
    count = Expr(f"count by (username) ({by_app} > 0)", ("username",), frozenset())
    columns = [
        _USER_COLUMN,
        Column(source="name", title="Preferred app"),
        Column(source="A", title="Hours", unit=units.HOURS, width=110),
        share_column("B", "Share of sessions"),
        Column(source="C", title="Apps used", unit=units.count_of("apps"), width=110),
    ]
    description = (
        "The app with the longest session time of each user in the range of the dashboard, from agent "
        "reports: its hours, its share of the session time of all apps, and the number of apps."
    )
    panel_info = PanelInfo(
        title="Preferred apps", description=description, unit=units.HOURS, no_value=NO_USER_REPORTS
    )
    queries = [usage.with_app_names(top_app.binary_op("/ 3600")), share, count]
    return table_panel(panel_info, queries, columns, sort="Hours")
