"""Who has a slow connection and since when, who may need a hand, and which agents are ill."""

from __future__ import annotations

from typing import Any, Final

from dashboards.generator import units, user_panels
from dashboards.generator.dashboard import GridRow, Row, dashboard_json
from dashboards.generator.panels import (
    AGENT_COLORS,
    Panel,
    PanelInfo,
    bar_gauge_panel,
    fixed_color,
    heatmap_panel,
    stat_panel,
    time_series_panel,
)
from dashboards.generator.queries import (
    QUERY,
    SELECTED_TEMPLATES,
    SELECTED_USERS,
    WINDOW,
    inventory,
    latency,
    usage,
)
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from dashboards.generator.tables import (
    ORGANIZATION_COLUMN,
    TEMPLATE_COLUMN,
    Column,
    latency_column,
    problem_column,
    share_column,
    table_panel,
)
from dashboards.generator.targets import heatmap_query, histogram_query, instant_query, range_query
from dashboards.generator.theme import (
    AMBER,
    GREEN,
    LATENCY_BANDS,
    LATENCY_SECONDS_STEPS,
    NO_AGENT_REPORTS,
    NO_USER_NAMES,
    PROBLEM_COUNT_STEPS,
    RED,
    SLOW_SHARE_STEPS,
    TEXT_STEPS,
)
from dashboards.generator.variables import user_variables
from insights_exporter.bundle.promql import regex
from insights_exporter.bundle.registry import USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["build"]

_TEMPLATE_LEGEND: Final = "{{organization_name}} / {{template_name}}"
_REPORT_STEP: Final = "10m"
"""Agents report every half minute and the exporter reads that every few, so a shorter rate has gaps."""


def build() -> dict[str, Any]:
    """Return the dashboard."""
    connections = [
        GridRow(4, [(4, panel) for panel in _stat_panels()]),
        GridRow(13, [(16, _latency_by_user()), (8, _latency_distribution())]),
        GridRow(9, [(12, _user_latency_over_time()), (12, _latency_heatmap())]),
    ]
    breakdown = [
        GridRow(10, [(24, _latency_by_template())]),
        GridRow(9, [(8, _relay_latency()), (8, _agents_by_relay()), (8, _latency_by_app())]),
    ]
    inactive = [
        GridRow(10, [(10, user_panels.inactive_users()), (14, user_panels.low_usage())]),
        GridRow(10, [(24, user_panels.preferred_apps())]),
    ]
    agents = [
        GridRow(9, [(8, _agents_by_status()), (8, _outdated_agents()), (8, _app_health())]),
        GridRow(9, [(24, _agents_by_template())]),
    ]
    rows = [
        Row("Slow connections", connections),
        Row("Where they are slow", breakdown),
        Row("Who may need a hand", inactive),
        Row("Agents and apps", agents),
    ]
    return dashboard_json(USER_SUPPORT, user_variables(), rows)


def _stat_panels() -> list[Panel]:
    return [*_latency_stats(), *_agent_stats()]


def _latency_stats() -> list[Panel]:
    unmeasured = latency.users_without_latency(SELECTED_TEMPLATES).max(*TEMPLATE_LABELS)
    return [
        stat_panel(
            PanelInfo(
                title="Slow users",
                description="Users whose 95th percentile in the window lies at 300 ms or above, once per template.",
                unit=units.USERS,
            ),
            range_query(latency.slow_users(SELECTED_TEMPLATES)),
            steps=PROBLEM_COUNT_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Share of slow users",
                description="The same as a share of the users whose round trips were measured.",
                unit=units.SHARE,
            ),
            range_query(latency.slow_share(SELECTED_TEMPLATES)),
            steps=SLOW_SHARE_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Typical latency",
                description="The round trip that half of the users stay below, each by their median in the window.",
                unit=units.SECONDS,
            ),
            range_query(latency.quantile("0.5", "p50", SELECTED_TEMPLATES)),
            steps=LATENCY_SECONDS_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Never measured",
                description="Users in the window without a single measured round trip, in the template with most.",
                unit=units.USERS,
            ),
            range_query(unmeasured.max()),
            steps=TEXT_STEPS,
        ),
    ]


def _agent_stats() -> list[Panel]:
    disconnected = inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED).sum()
    return [
        stat_panel(
            PanelInfo(
                title="Agents away",
                description="Agents of running workspaces that are disconnected or never came.",
                unit=units.count_of("agents"),
                no_value="0",
            ),
            range_query(disconnected),
            steps=PROBLEM_COUNT_STEPS,
        ),
        stat_panel(
            PanelInfo(
                title="Unhealthy apps",
                description="Apps in running workspaces whose health check fails.",
                unit=units.count_of("apps"),
                no_value="0",
            ),
            range_query(inventory.unhealthy_apps(SELECTED_TEMPLATES).sum()),
            steps=PROBLEM_COUNT_STEPS,
        ),
    ]


def _latency_by_user() -> Panel:
    matchers = {**SELECTED_TEMPLATES, "username": SELECTED_USERS}
    queries = [
        latency.user_latency(catalogue.USER_LATENCY_P95, matchers).binary_op("* 1000"),
        latency.user_latency(catalogue.USER_LATENCY_P50, matchers).binary_op("* 1000"),
        latency.user_latency(catalogue.USER_LATENCY_P95, matchers, "today").binary_op("* 1000"),
        latency.last_below_threshold(matchers),
    ]
    columns = [
        Column(source="username", title="User"),
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        latency_column("A", "p95", width=100),
        latency_column("B", "p50", width=90),
        latency_column("C", "p95 today", width=130),
        Column(source="D", title="Last below 300 ms", unit=units.TIME_AGO, width=150),
    ]
    description = (
        "Round trips of each user and template in the window, slowest first, and so far today. For those who "
        "are slow today: when they last were not, within the range that is shown."
    )
    panel_info = PanelInfo(
        title="Latency by user", description=description, unit=units.MILLISECONDS, no_value=NO_USER_NAMES
    )
    return table_panel(panel_info, queries, columns, sort="p95 (ms)")


def _latency_distribution() -> Panel:
    description = (
        "Users by the 95th percentile of their round trips in the window, each bar up to the bound named."
    )
    panel_info = PanelInfo(title="Distribution of latency", description=description, unit=units.USERS)
    bound_overrides = [
        (str(bound), {"displayName": _format_bound(bound)} | fixed_color(_bound_color(bound)))
        for bound in catalogue.LATENCY_BUCKETS
    ]
    # Grafana gives all names the room of the longest one.
    infinity_override = (
        "+Inf",
        {"displayName": f"over {_format_bound(catalogue.LATENCY_BUCKETS[-1])}"} | fixed_color(RED),
    )
    return bar_gauge_panel(
        panel_info,
        [histogram_query(latency.latency_buckets("p95", SELECTED_TEMPLATES))],
        overrides=[*bound_overrides, infinity_override],
    )


def _format_bound(bound: float) -> str:
    return f"{bound:g} s" if bound >= 1 else f"{bound * 1000:g} ms"


def _bound_color(bound: float) -> str:
    return GREEN if bound <= 0.15 else AMBER if bound <= 0.3 else RED


def _user_latency_over_time() -> Panel:
    current = latency.current_user_latency("0.95", SELECTED_TEMPLATES, SELECTED_USERS)
    query = f"{current} and on (username) {latency.slowest_users(10, SELECTED_TEMPLATES, SELECTED_USERS)}"
    description = (
        "The 95th percentile of each selected user's round trips from minute to minute, or of the day so far "
        "where no agent reports are read. At most ten users, those slowest in the range."
    )
    panel_info = PanelInfo(
        title="Latency of a user", description=description, unit=units.SECONDS, no_value=NO_USER_NAMES
    )
    return time_series_panel(
        panel_info,
        [range_query(query, "{{username}}", interval=_REPORT_STEP)],
        steps=LATENCY_SECONDS_STEPS,
        fill_opacity=0,
        connect_nulls=True,
    )


def _latency_heatmap() -> Panel:
    counted = QUERY.buckets(
        catalogue.TEMPLATE_USER_LATENCY, statistic="p95", **SELECTED_TEMPLATES, **WINDOW
    ).sum("le")
    description = (
        "How many users had the 95th percentile of their round trips in each band, as it stood then."
    )
    return heatmap_panel(
        PanelInfo(title="Latency over time", description=description, unit=units.SECONDS),
        heatmap_query(counted),
    )


def _latency_by_template() -> Panel:
    bands = latency.users_by_latency_band("p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS)
    queries = [
        latency.quantile("0.5", "p50", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        latency.quantile("0.5", "p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        latency.quantile("0.95", "p95", SELECTED_TEMPLATES, *TEMPLATE_LABELS).binary_op("* 1000"),
        *(bands[band] for band, _, _ in LATENCY_BANDS),
        latency.users_without_latency(SELECTED_TEMPLATES).max(*TEMPLATE_LABELS),
        latency.slow_share(SELECTED_TEMPLATES, *TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        latency_column("A", "Median user, p50"),
        latency_column("B", "Median user, p95"),
        latency_column("C", "95 of 100 users, p95"),
        Column(source="D", title="Fast", unit=units.USERS, width=80),
        Column(source="E", title="Fair", unit=units.USERS, width=80),
        Column(source="F", title="Slow", unit=units.USERS, width=80),
        Column(source="G", title="Not measured", unit=units.USERS, width=110),
        share_column("H", "Share slow", SLOW_SHARE_STEPS),
    ]
    description = (
        "Template against template in the window: the round trip that half or 95 of 100 users stay below, "
        "and how many users lie below 150 ms, below 300 ms and above by their 95th percentile."
    )
    panel_info = PanelInfo(
        title="Latency by template", description=description, unit=units.count_of("milliseconds and users")
    )
    return table_panel(panel_info, queries, columns, sort="Share slow")


def _relay_latency() -> Panel:
    targets = [range_query(latency.relay_quantile("0.95"), "{{derp_region}}")]
    description = "The round trip between agents and the relay they prefer that 95 of 100 agents stay below."
    panel_info = PanelInfo(title="Relay latency by region", description=description, unit=units.SECONDS)
    return time_series_panel(panel_info, targets, steps=LATENCY_SECONDS_STEPS, fill_opacity=0)


def _agents_by_relay() -> Panel:
    agents = QUERY.buckets(catalogue.AGENT_RELAY_LATENCY, le="+Inf").sum("derp_region")
    description = "How many connected agents prefer each relay."
    panel_info = PanelInfo(title="Agents by relay", description=description, unit=units.count_of("agents"))
    return bar_gauge_panel(panel_info, [instant_query(agents, "{{derp_region}}")])


def _latency_by_app() -> Panel:
    p95 = usage.with_app_names(
        latency.reported_quantile("0.95", catalogue.APP_CONNECTION_LATENCY, SELECTED_TEMPLATES, "app")
    )
    description = "The round trip that 95 of 100 agent reports stay below while a session of the app is open."
    panel_info = PanelInfo(
        title="Latency by app", description=description, unit=units.SECONDS, no_value=NO_AGENT_REPORTS
    )
    return time_series_panel(
        panel_info,
        [range_query(p95, "{{name}}", interval=_REPORT_STEP)],
        steps=LATENCY_SECONDS_STEPS,
        fill_opacity=0,
        connect_nulls=True,
    )


def _agents_by_status() -> Panel:
    description = "Agents in running workspaces by connection status."
    return time_series_panel(
        PanelInfo(title="Agents", description=description, unit=units.count_of("agents")),
        [range_query(inventory.agents(SELECTED_TEMPLATES).sum("status"), "{{status}}")],
        stacked=True,
        fill_opacity=30,
        overrides=AGENT_COLORS,
    )


def _outdated_agents() -> Panel:
    outdated = inventory.outdated_agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS)
    description = (
        "Connected agents that run another version than the server; a restart of the workspace heals that."
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
    panel_info = PanelInfo(
        title="App health",
        description=description,
        unit=units.count_of("apps"),
        no_value="All apps are healthy",
    )
    return time_series_panel(
        panel_info, [range_query(health.sum("app", "health"), "{{app}}, {{health}}")], stacked=True, color=RED
    )


def _agents_by_template() -> Panel:
    agents, outdated = (
        inventory.agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
        inventory.outdated_agents(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
    )
    connected = inventory.agents(SELECTED_TEMPLATES, "connected").sum(*TEMPLATE_LABELS)
    queries = [
        connected,
        inventory.agents(SELECTED_TEMPLATES, "disconnected").sum(*TEMPLATE_LABELS),
        inventory.agents(SELECTED_TEMPLATES, "timeout").sum(*TEMPLATE_LABELS),
        usage.ratio(
            inventory.agents(SELECTED_TEMPLATES, inventory.DISCONNECTED).sum(*TEMPLATE_LABELS), agents
        ),
        outdated,
        usage.ratio(outdated, connected),
        inventory.unhealthy_apps(SELECTED_TEMPLATES).sum(*TEMPLATE_LABELS),
    ]
    columns = [
        ORGANIZATION_COLUMN,
        TEMPLATE_COLUMN,
        Column(source="A", title="Connected", unit=units.count_of("agents")),
        problem_column("B", "Disconnected", "agents"),
        problem_column("C", "Timed out", "agents"),
        share_column("D", "Share away", SLOW_SHARE_STEPS),
        problem_column("E", "Outdated", "agents"),
        share_column("F", "Share outdated", SLOW_SHARE_STEPS),
        problem_column("G", "Unhealthy apps", "apps"),
    ]
    description = (
        "Agents in running workspaces by template: who lost contact, who runs an old version, ill apps."
    )
    panel_info = PanelInfo(
        title="Agents by template", description=description, unit=units.count_of("agents and apps")
    )
    return table_panel(panel_info, queries, columns, sort="Share away")
