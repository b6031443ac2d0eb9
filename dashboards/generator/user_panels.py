"""Tables of users: connection, low usage and preferred apps."""

from __future__ import annotations

from typing import Final

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo
from dashboards.generator.queries import (
    QUERY,
    SELECTED_TEMPLATES,
    SELECTED_USERS,
    latency,
    usage,
    user_agents,
)
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
from dashboards.generator.theme import (
    ACCENT_STEPS,
    AMBER,
    NO_USER_NAMES,
    NO_USER_REPORTS,
    TRANSPARENT,
    ThresholdSteps,
    nothing_found,
)
from insights_exporter.bundle.promql import Expr, not_equal
from insights_exporter.metrics import catalogue

__all__ = [
    "LAST_SEEN_COLUMN",
    "USER_COLUMN",
    "connections",
    "last_seen",
    "low_usage",
    "preferred_apps",
    "users_without_activity",
]

_SELECTION: Final = {**SELECTED_TEMPLATES, "username": SELECTED_USERS}
_USER_LABELS: Final = (*TEMPLATE_LABELS, "username")
_RELAYED_STEPS: Final[ThresholdSteps] = ((None, TRANSPARENT), (0.5, AMBER))
USER_COLUMN: Final = Column(source="username", title="User", min_width=100)
LAST_SEEN_COLUMN: Final = Column(
    source="B", title="Last seen", unit=units.TIME_AGO, width=150, no_value="never"
)


def connections() -> Panel:
    """Return one row per user: latency, since when it is slow, and what may explain it."""
    measured = latency.user_latency(catalogue.USER_LATENCY_P50, _SELECTION)
    slowest = measured.largest("username")
    p95 = latency.user_latency(catalogue.USER_LATENCY_P95, _SELECTION)
    today = latency.user_latency(catalogue.USER_LATENCY_P50, _SELECTION, "today")
    hours = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, window="today", **_SELECTION).sum("username")
    users = measured.max("username")
    queries = [
        slowest.binary_op("* 1000"),
        p95.and_on(slowest, *_USER_LABELS).max("username").binary_op("* 1000"),
        today.max("username").and_on(users, "username").binary_op("* 1000"),
        latency.slow_since(_SELECTION),
        user_agents.relayed_share().and_on(users, "username"),
        user_agents.relay_latency().and_on(users, "username").binary_op("* 1000"),
        user_agents.agent_versions().and_on(users, "username"),
        user_agents.outdated_agents().and_on(users, "username"),
        usage.with_app_names(user_agents.last_apps().and_on(users, "username")).binary_op("/ 3600"),
        hours.and_on(users, "username").binary_op("/ 3600"),
        user_agents.relay_regions().and_on(users, "username"),
    ]
    description = (
        "Each user in the template with the highest p50, slowest first. Slow since: the last time at which "
        "the p50 of a day was below 300 ms, or the beginning of the range. Relayed: share of the user's "
        "connections that use a relay, from coderd's metrics. Relay: the preferred relay of the user's "
        "agents, and the highest latency to it. Relayed, relay and version: the last known of seven days. "
        "Last app: that of the longest session in the last hour, or in the last day."
    )
    panel_info = PanelInfo(
        title="Connections by user", description=description, unit=units.MILLISECONDS, no_value=NO_USER_NAMES
    )
    return table_panel(
        panel_info,
        queries,
        _connection_columns(),
        sort="p50",
        base=users,
        tied=(
            *("template_name", "organization_name", "derp_region", "version"),
            *("name", "app", "display_name"),
        ),
    )


def _connection_columns() -> list[Column]:
    return [
        USER_COLUMN,
        latency_column("A", "p50", width=85),
        p95_column("B", "p95", width=85),
        latency_column("C", "p50 today", width=100),
        Column(source="D", title="Slow since", unit=units.TIME_AGO, width=125),
        Column(
            source="E",
            title="Relayed",
            unit=units.SHARE,
            cell_style=CellStyle.COLORED_BACKGROUND,
            steps=_RELAYED_STEPS,
            width=95,
            no_value="unknown",
            value_mappings={"0": "direct", "1": "relayed"},
        ),
        Column(source="derp_region", title="Relay", width=120, no_value=""),
        Column(source="F", title="Relay latency", unit=units.MILLISECONDS, width=115),
        Column(source="name", title="Last app", width=140, no_value=""),
        Column(source="J", title="Hours today", unit=units.HOURS, width=110),
        Column(source="version", title="Agent version", width=140, no_value=""),
        problem_column("H", "Outdated", "agents", width=95),
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
    ]


def last_seen() -> Expr:
    """Return when Coder last saw each user, in milliseconds."""
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
    queries = [idle, last_seen().and_on(idle, "username")]
    return table_panel(
        panel_info, queries, [USER_COLUMN, LAST_SEEN_COLUMN], sort="Last seen", descending=False
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
        last_seen().and_on(monthly_hours, "username"),
        monthly_hours.binary_op(f"/ {median_hours}"),
        templates.and_on(monthly_hours, "username"),
    ]
    columns = [
        USER_COLUMN,
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
        LAST_SEEN_COLUMN,
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
    top_app = by_app.binary_op("> 0").largest("username")
    total = f"sum by (username) ({by_app})"
    share = Expr(f"({top_app.max('username')} / {total})", ("username",), frozenset())
    count = Expr(f"count by (username) ({by_app} > 0)", ("username",), frozenset())
    columns = [
        USER_COLUMN,
        Column(source="name", title="Preferred app", min_width=150),
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
    return table_panel(panel_info, queries, columns, sort="Hours", tied=("name", "app", "display_name"))
