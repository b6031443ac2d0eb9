"""User Support: slow connections and their causes, low usage, agents and apps."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import onboarding_panels, units, user_panels
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.deployment_overview import no_users_in_window
from dashboards.generator.panels import (
    AGENT_COLORS,
    Panel,
    PanelInfo,
    bar_gauge_panel,
    fixed_color,
    time_series_panel,
)
from dashboards.generator.queries import (
    QUERY,
    SELECTED_TEMPLATES,
    SELECTED_USERS,
    inventory,
    latency,
    usage,
)
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.status import status_row
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    p95_column,
    problem_column,
    share_column,
    table_panel,
)
from dashboards.generator.targets import histogram_query, range_query
from dashboards.generator.theme import (
    AMBER_LINE,
    GREEN_LINE,
    LATENCY_BANDS,
    LATENCY_SECONDS_STEPS,
    NO_AGENT_REPORTS,
    NO_USER_NAMES,
    PROBLEM_COUNT_STEPS,
    RED_LINE,
    SLOW_SHARE_STEPS,
)
from dashboards.generator.variables import user_variables
from insights_exporter.bundle.promql import regex
from insights_exporter.bundle.registry import USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_TEMPLATE_LEGEND: Final = "{{organization_name}} / {{template_name}}"
_REPORT_STEP: Final = "10m"
"""Minimum step of rates of agent reports, which arrive every few minutes."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    connections = [
        GridRow(4, [(8, panel) for panel in (_slow_users(), _measured(), _problems())]),
        GridRow(12, [(24, user_panels.connections())]),
        GridRow(9, [(12, _user_latency_over_time()), (12, _latency_distribution())]),
    ]
    breakdown = [
        GridRow(9, [(24, _latency_by_template())]),
        GridRow(9, [(8, _relayed_connections()), (8, _relay_latency()), (8, _latency_by_app())]),
    ]
    low_usage = [
        GridRow(10, [(10, user_panels.users_without_activity()), (14, user_panels.low_usage())]),
        GridRow(10, [(10, onboarding_panels.inactive_users()), (14, user_panels.preferred_apps())]),
    ]
    agents = [
        GridRow(9, [(8, _agents_by_status()), (8, _outdated_agents()), (8, _app_health())]),
        GridRow(9, [(24, _agents_by_template())]),
    ]
    rows = [
        status_row(no_users_in_window()),
        Row("Slow connections", connections),
        Row("Latency by template, relay and app", breakdown),
        Row("Low usage and preferred apps", low_usage),
        Row("Agents and apps", agents),
    ]
    return dashboard_json(USER_SUPPORT, user_variables(), rows)


def _slow_users() -> Panel:
    stats = [
        Stat(
            name="Slow users",
            query=latency.slow_users(SELECTED_TEMPLATES),
            unit=units.USERS,
            description=f"once per template. {latency.SLOW_USER}",
            steps=PROBLEM_COUNT_STEPS,
            no_value="Not measured",
        ),
        Stat(
            name="Share",
            query=latency.slow_share(SELECTED_TEMPLATES),
            unit=units.SHARE,
            description="slow users as a share of the measured users",
            steps=SLOW_SHARE_STEPS,
            no_value="Not measured",
        ),
    ]
    return stat_panel("Slow users, selected templates", stats)


def _measured() -> Panel:
    stats = [
        Stat(
            name="Median user",
            query=latency.quantile("0.5", "p50", SELECTED_TEMPLATES).binary_op("* 1000"),
            unit=units.MILLISECONDS,
            description="median over users of their p50 in the window",
            no_value="Not measured",
        ),
        Stat(
            name="Not measured",
            query=latency.users_without_latency(SELECTED_TEMPLATES).max(*TEMPLATE_LABELS).max(),
            unit=units.USERS,
            description="users without a measured latency, in the template that has most of them",
        ),
    ]
    return stat_panel("Latency, selected templates", stats)


def _problems() -> Panel:
    stats = [
        Stat(
            name="Disconnected agents",
            query=inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED).sum(),
            unit=units.count_of("agents"),
            description="agents of running workspaces that are disconnected or never connected",
            steps=PROBLEM_COUNT_STEPS,
        ),
        Stat(
            name="Unhealthy apps",
            query=inventory.unhealthy_apps(SELECTED_TEMPLATES).sum(),
            unit=units.count_of("apps"),
            description="apps in running workspaces whose health check fails",
            steps=PROBLEM_COUNT_STEPS,
        ),
    ]
    return stat_panel("Problems, selected templates", stats)


def _latency_distribution() -> Panel:
    description = "Users by the p50 of the window, each bar up to a bound. Contains no names."
    bound_overrides = [
        (str(bound), {"displayName": f"up to {_format_bound(bound)}"} | fixed_color(_bound_color(bound)))
        for bound in latency.SHOWN_BOUNDS
    ]
    infinity = f"over {_format_bound(latency.SHOWN_BOUNDS[-1])}"
    return bar_gauge_panel(
        PanelInfo(title="Users by p50", description=description, unit=units.USERS),
        [histogram_query(latency.latency_buckets(SELECTED_TEMPLATES))],
        overrides=[*bound_overrides, ("+Inf", {"displayName": infinity} | fixed_color(RED_LINE))],
    )


def _format_bound(bound: float) -> str:
    return f"{bound:g} s" if bound >= 1 else f"{bound * 1000:g} ms"


def _bound_color(bound: float) -> str:
    (_, (warning, _), (critical, _)) = LATENCY_SECONDS_STEPS
    if warning is None or critical is None:
        raise ValueError("expected bounds of the latency colours")
    return GREEN_LINE if bound <= warning else AMBER_LINE if bound <= critical else RED_LINE


def _user_latency_over_time() -> Panel:
    current = latency.current_user_latency("0.5", SELECTED_TEMPLATES, SELECTED_USERS)
    slowest = latency.slowest_users(10, SELECTED_TEMPLATES, SELECTED_USERS)
    description = (
        "p50 of each selected user: from agent reports, or of the day so far without them. At most the ten "
        "users with the highest p50 in the range. Dashed: 150 and 300 ms."
    )
    panel_info = PanelInfo(
        title="Latency of selected users", description=description, unit=units.SECONDS, no_value=NO_USER_NAMES
    )
    return time_series_panel(
        panel_info,
        [range_query(f"{current} and on (username) {slowest}", "{{username}}", interval=_REPORT_STEP)],
        steps=LATENCY_SECONDS_STEPS,
        fill_opacity=0,
        connect_nulls=True,
    )


def _latency_by_template() -> Panel:
    bands = latency.users_by_latency_band(SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    queries = [
        latency.slow_share(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
        latency.quantile("0.5", "p50", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        latency.quantile("0.5", "p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        latency.quantile("0.95", "p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        *(bands[band] for band, _, _ in LATENCY_BANDS),
        latency.users_without_latency(SELECTED_TEMPLATES).max(*TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        share_column("A", "Slow users", SLOW_SHARE_STEPS),
        p95_column("B", "Median user, p50", width=140),
        p95_column("C", "Median user, p95", width=140),
        p95_column("D", "p95, 95th percentile of users", width=220),
        Column(source="E", title="Fast", unit=units.USERS, width=70),
        Column(source="F", title="Fair", unit=units.USERS, width=70),
        Column(source="G", title="Slow", unit=units.USERS, width=70),
        Column(source="H", title="Not measured", unit=units.USERS, width=115),
    ]
    description = (
        "p50 and p95 of the median user and of the 95th percentile of users in the window. Fast, fair and "
        "slow: users whose p50 is below 150 ms, below 300 ms, and 300 ms or more."
    )
    unit = units.count_of("milliseconds and users")
    return table_panel(
        PanelInfo(title="Latency by template", description=description, unit=unit),
        queries,
        columns,
        sort="Slow users",
    )


def _relayed_connections() -> Panel:
    relayed, connections = (
        QUERY.latest(catalogue.PEER_CONNECTIONS, **matchers, **SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
        for matchers in ({"connection_type": "derp"}, {})
    )
    panel_info = PanelInfo(
        title="Relayed connections",
        description="Share of the open connections of each template that use a relay (DERP), because a "
        "direct connection is not possible; mean of the hour before. The cause is often a firewall or a VPN "
        "that blocks UDP.",
        unit=units.SHARE,
        no_value="No data: agent_stats.source is not coderd_metrics, or no connection was open",
    )
    hourly_mean = f"avg_over_time({usage.ratio(relayed, connections)}[1h:5m])"
    return time_series_panel(
        panel_info,
        [range_query(hourly_mean, _TEMPLATE_LEGEND, interval="1h")],
        max_value=1,
        fill_opacity=0,
        connect_nulls=True,
    )


def _relay_latency() -> Panel:
    targets = [range_query(latency.relay_quantile("0.95"), "{{derp_region}}")]
    description = (
        "p95 over the agents of the whole deployment of the latency to their preferred relay. It limits "
        "connections that are not direct."
    )
    panel_info = PanelInfo(title="Relay latency by region", description=description, unit=units.SECONDS)
    return time_series_panel(panel_info, targets, fill_opacity=0)


def _latency_by_app() -> Panel:
    median = latency.reported_quantile("0.5", catalogue.APP_CONNECTION_LATENCY, SELECTED_TEMPLATES, "app")
    panel_info = PanelInfo(
        title="Latency by app",
        description="p50 over the agent reports with a session of the app.",
        unit=units.SECONDS,
        no_value=NO_AGENT_REPORTS,
    )
    return time_series_panel(
        panel_info,
        [range_query(usage.with_app_names(median), "{{name}}", interval=_REPORT_STEP)],
        fill_opacity=0,
        connect_nulls=True,
    )


def _agents_by_status() -> Panel:
    return time_series_panel(
        PanelInfo(
            title="Agents",
            description="Agents in running workspaces by connection status.",
            unit=units.count_of("agents"),
        ),
        [range_query(inventory.agents(SELECTED_TEMPLATES).sum("status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=AGENT_COLORS,
    )


def _outdated_agents() -> Panel:
    outdated = inventory.outdated_agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    description = (
        "Connected agents whose version differs from the server's. A restart of the workspace updates them."
    )
    return time_series_panel(
        PanelInfo(title="Outdated agents", description=description, unit=units.count_of("agents")),
        [range_query(outdated, _TEMPLATE_LEGEND)],
        stacked=True,
        fill_opacity=30,
    )


def _app_health() -> Panel:
    health = QUERY.latest(catalogue.APP_HEALTH, health=regex("unhealthy|initializing"), **SELECTED_TEMPLATES)
    description = "Apps in running workspaces whose health check fails or has not succeeded yet."
    panel_info = PanelInfo(title="App health", description=description, unit=units.count_of("apps"))
    return time_series_panel(
        panel_info, [range_query(health.sum("app", "health"), "{{app}}, {{health}}")], stacked=True
    )


def _agents_by_template() -> Panel:
    agents, outdated = (
        inventory.agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
        inventory.outdated_agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
    )
    connected = inventory.connected_agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    disconnected = inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED).sum(*TEMPLATE_LABELS)
    queries = [
        connected,
        disconnected,
        usage.ratio(disconnected, agents),
        outdated,
        usage.ratio(outdated, connected),
        inventory.unhealthy_apps(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Connected", unit=units.count_of("agents"), width=95),
        problem_column("B", "Disconnected", "agents", width=115),
        share_column("C", "Share disconnected", SLOW_SHARE_STEPS),
        problem_column("D", "Outdated", "agents", width=90),
        share_column("E", "Share outdated", SLOW_SHARE_STEPS),
        problem_column("F", "Unhealthy apps", "apps", width=130),
    ]
    description = "Agents and apps in running workspaces. Disconnected includes agents that never connected."
    panel_info = PanelInfo(
        title="Agents by template", description=description, unit=units.count_of("agents and apps")
    )
    return table_panel(panel_info, queries, columns, sort="Share disconnected")
