"""Families of the inventory collector: templates, workspaces, agents, users, and their display names."""

from __future__ import annotations

from functools import partial
from typing import Final

from insights_exporter.metrics.family import (
    APP_LABELS,
    SUM_OVER_TEMPLATES,
    TEMPLATE_LABELS,
    USER_LABELS,
    FamilyGroup,
    MetricType,
)

_group = FamilyGroup("inventory")
_gauge = partial(_group.declare, MetricType.GAUGE)
_seconds_gauge = partial(_gauge, unit="seconds")
_info = partial(_group.declare, MetricType.INFO)

_STATUS_LABELS: Final = (*TEMPLATE_LABELS, "status")

IDLE_BUCKETS: Final = (3600.0, 28_800.0, 86_400.0, 259_200.0, 604_800.0, 2_592_000.0)
"""Upper bounds in seconds of the idle time of workspaces: 1 and 8 hours, 1, 3, 7 and 30 days."""

IDLE_COST_BOUNDS: Final = {"1d": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0}
"""Values of the label ``idle`` and their seconds; each is a bound of the idle time, too."""

WORKSPACES = _gauge(
    "workspaces",
    "Workspaces of the template by status of the latest build; without prebuilt ones.",
    _STATUS_LABELS,
    summable=frozenset(_STATUS_LABELS),
)
LATEST_BUILDS = _gauge(
    "workspace_latest_builds",
    "Workspaces of the template by transition of the latest build (start, stop, delete) and by status of its"
    " job, such as succeeded or failed.",
    (*TEMPLATE_LABELS, "transition", "status"),
    summable=frozenset((*TEMPLATE_LABELS, "transition", "status")),
)
WORKSPACES_DORMANT = _gauge(
    "workspaces_dormant",
    "Dormant workspaces of the template; some of them may still run.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
WORKSPACES_PENDING_DELETION = _gauge(
    "workspaces_pending_deletion",
    "Dormant workspaces of the template that Coder deletes within seven days.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
WORKSPACES_OUTDATED = _gauge(
    "workspaces_outdated",
    "Workspaces of the template whose latest build uses an older template version.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
WORKSPACES_WITHOUT_AUTOSTOP = _gauge(
    "workspaces_without_autostop",
    "Running workspaces of the template without a deadline for autostop.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
WORKSPACE_IDLE = _group.declare(
    MetricType.GAUGE_HISTOGRAM,
    "workspace_idle_seconds",
    "Running workspaces of the template by time since last use (gauge histogram; do not apply rate()).",
    TEMPLATE_LABELS,
    unit="seconds",
    summable=SUM_OVER_TEMPLATES,
)
WORKSPACE_DAILY_COST = _gauge(
    "workspace_daily_cost",
    "Daily cost of the template's workspaces by status in units of Coder's quota; absent without costs.",
    _STATUS_LABELS,
    summable=frozenset(_STATUS_LABELS),
)
WORKSPACE_IDLE_DAILY_COST = _gauge(
    "workspace_idle_daily_cost",
    "Daily cost of the template's running workspaces without use for the time `idle` or longer, in units of"
    " Coder's quota; absent without costs.",
    (*TEMPLATE_LABELS, "idle"),
    summable=SUM_OVER_TEMPLATES,
)
COST_UNIT_PRICE = _gauge(
    "cost_unit_price",
    "Price of one unit of Coder's quota in the currency, as configured.",
    ("currency",),
    required_setting="cost.price_per_unit",
)
PREBUILT_WORKSPACES = _gauge(
    "prebuilt_workspaces",
    "Prebuilt workspaces of the template by status of the latest build; no other family counts them.",
    _STATUS_LABELS,
    summable=frozenset(_STATUS_LABELS),
)
AGENTS = _gauge(
    "agents",
    "Agents in running workspaces of the template by connection status; without prebuilt workspaces.",
    (*TEMPLATE_LABELS, "status"),
    summable=frozenset((*TEMPLATE_LABELS, "status")),
)
AGENTS_OUTDATED = _gauge(
    "agents_outdated",
    "Connected agents of the template whose version differs from the server's.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
APP_HEALTH = _gauge(
    "app_health",
    "Apps in running workspaces of the template by health; without external apps and prebuilt workspaces.",
    (*TEMPLATE_LABELS, "app", "health"),
    summable=frozenset((*TEMPLATE_LABELS, "app", "health")),
)
AGENT_RELAY_LATENCY = _group.declare(
    MetricType.GAUGE_HISTOGRAM,
    "agent_relay_latency_seconds",
    "Connected agents by latency to their preferred relay (gauge histogram; do not apply rate()).",
    ("derp_region",),
    unit="seconds",
    summable=frozenset(("derp_region",)),
)
USER_AGENTS = _gauge(
    "user_agents",
    "Connected agents in running workspaces of the user by preferred relay and version; outdated is true if"
    " the version differs from the server's.",
    (*USER_LABELS, "derp_region", "version", "outdated"),
    summable=frozenset((*USER_LABELS, "derp_region", "version", "outdated")),
)
USER_AGENT_RELAY_LATENCY = _seconds_gauge(
    "user_agent_relay_latency_seconds",
    "Seconds to the preferred relay from the user's slowest connected agent that prefers it.",
    (*USER_LABELS, "derp_region"),
)
TEMPLATE_BUILD_P50 = _seconds_gauge(
    "template_build_p50_seconds",
    "Median seconds of the template's latest builds by transition; absent without builds.",
    (*TEMPLATE_LABELS, "transition"),
)
TEMPLATE_BUILD_P95 = _seconds_gauge(
    "template_build_p95_seconds",
    "95th percentile of seconds of the template's latest builds by transition; absent without builds.",
    (*TEMPLATE_LABELS, "transition"),
)
USER_LAST_SEEN = _seconds_gauge(
    "user_last_seen_timestamp_seconds",
    "Unix time of the user's last request to Coder; absent before the first.",
    USER_LABELS,
)
TEMPLATE_INFO = _info(
    "template_info",
    "Display name, icon, id and deprecation of the template; always 1.",
    (*TEMPLATE_LABELS, "template_id", "display_name", "icon", "deprecated"),
)
TEMPLATE_CREATED = _seconds_gauge(
    "template_created_timestamp_seconds", "Unix time at which the template was created.", TEMPLATE_LABELS
)
APP_INFO = _info(
    "app_info",
    "Display name, icon and family of the app; always 1. Client programs of one kind share a family, such as"
    " vscode; apps of templates have the family workspace_app.",
    (*APP_LABELS, "display_name", "icon", "family"),
)
USER_INFO = _info(
    "user_info",
    "Display name, avatar and account status of the user; always 1.",
    (*USER_LABELS, "user_id", "display_name", "avatar_url", "status"),
)
PARAMETER_INFO = _info(
    "parameter_info",
    "Display names of the parameter value, and whether it is declared or the default; always 1.",
    (
        *TEMPLATE_LABELS,
        "parameter_name",
        "parameter_type",
        "parameter_value",
        "display_name",
        "option_name",
        "icon",
        "declared",
        "is_default",
    ),
)

INVENTORY_FAMILIES: Final = _group.families
