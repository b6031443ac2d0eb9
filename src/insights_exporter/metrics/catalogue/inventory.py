"""What the deployment holds: templates, workspaces, agents, users, and names to show for them."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.catalogue.labels import (
    APP_LABELS,
    SUM_OVER_TEMPLATES,
    TEMPLATE_LABELS,
    USER_LABELS,
)
from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = [
    "AGENTS",
    "AGENTS_OUTDATED",
    "AGENT_RELAY_LATENCY",
    "APP_HEALTH",
    "APP_INFO",
    "FAMILIES",
    "PARAMETER_INFO",
    "TEMPLATE_BUILD_P50",
    "TEMPLATE_BUILD_P95",
    "TEMPLATE_CREATED",
    "TEMPLATE_INFO",
    "USER_INFO",
    "USER_LAST_SEEN",
    "WORKSPACES",
]

_COLLECTOR = "inventory"


def _gauge(
    name: str, help_text: str, labels: tuple[str, ...], unit: str = "", summable: frozenset[str] = frozenset()
) -> Family:
    return Family(PREFIX + name, MetricType.GAUGE, help_text, labels, unit, summable, collector=_COLLECTOR)


def _info(name: str, help_text: str, labels: tuple[str, ...]) -> Family:
    return Family(PREFIX + name, MetricType.INFO, help_text, labels, collector=_COLLECTOR)


WORKSPACES = _gauge(
    "workspaces",
    "Workspaces of a template by the status of their newest build; dormant ones count as dormant.",
    (*TEMPLATE_LABELS, "status"),
    summable=frozenset((*TEMPLATE_LABELS, "status")),
)
AGENTS = _gauge(
    "agents",
    "Agents in running workspaces of a template by connection status.",
    (*TEMPLATE_LABELS, "status"),
    summable=frozenset((*TEMPLATE_LABELS, "status")),
)
AGENTS_OUTDATED = _gauge(
    "agents_outdated",
    "Connected agents of a template that run another version than the server.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
APP_HEALTH = _gauge(
    "app_health",
    "Apps in running workspaces of a template by health.",
    (*TEMPLATE_LABELS, "app", "health"),
    summable=frozenset((*TEMPLATE_LABELS, "app", "health")),
)
AGENT_RELAY_LATENCY = Family(
    PREFIX + "agent_relay_latency_seconds",
    MetricType.GAUGE_HISTOGRAM,
    "How many connected agents have a round trip to their preferred relay up to a bound, by relay region.",
    ("derp_region",),
    "seconds",
    frozenset(("derp_region",)),
    collector=_COLLECTOR,
)
TEMPLATE_BUILD_P50 = _gauge(
    "template_build_p50_seconds",
    "Median duration of a template's latest builds by transition; absent without builds.",
    (*TEMPLATE_LABELS, "transition"),
    "seconds",
)
TEMPLATE_BUILD_P95 = _gauge(
    "template_build_p95_seconds",
    "95th percentile of the duration of a template's latest builds by transition; absent without builds.",
    (*TEMPLATE_LABELS, "transition"),
    "seconds",
)
USER_LAST_SEEN = _gauge(
    "user_last_seen_timestamp_seconds",
    "When Coder last saw a user, in seconds since 1970; absent for users who never came.",
    USER_LABELS,
    "seconds",
)
TEMPLATE_INFO = _info(
    "template_info",
    "Names, icon, id and deprecation of a template; always 1.",
    (*TEMPLATE_LABELS, "template_id", "display_name", "icon", "deprecated"),
)
TEMPLATE_CREATED = _gauge(
    "template_created_timestamp_seconds",
    "When a template was created, in seconds since 1970.",
    TEMPLATE_LABELS,
    "seconds",
)
APP_INFO = _info(
    "app_info", "Name and icon to show for an app; always 1.", (*APP_LABELS, "display_name", "icon")
)
USER_INFO = _info(
    "user_info",
    "Name and avatar to show for a user, and the account's status; always 1.",
    (*USER_LABELS, "user_id", "display_name", "avatar_url", "status"),
)
PARAMETER_INFO = _info(
    "parameter_info",
    "Names to show for a value of a parameter, and whether it is declared or the default; always 1.",
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

FAMILIES: Final = (
    WORKSPACES,
    AGENTS,
    AGENTS_OUTDATED,
    APP_HEALTH,
    AGENT_RELAY_LATENCY,
    TEMPLATE_BUILD_P50,
    TEMPLATE_BUILD_P95,
    USER_LAST_SEEN,
    TEMPLATE_INFO,
    TEMPLATE_CREATED,
    APP_INFO,
    USER_INFO,
    PARAMETER_INFO,
)
"""All families of this room, in the order in which they are served."""
