"""Every metric family, once. Nothing else spells out a name."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.catalogue import agent_stats, deployment, exporter, insights, inventory
from insights_exporter.metrics.catalogue.agent_stats import (
    APP_CONNECTION_LATENCY,
    CONNECTION_LATENCY,
    CONNECTIONS,
    RECEIVED_BYTES,
    SESSIONS,
    TRANSMITTED_BYTES,
    USER_APP_SESSION,
)
from insights_exporter.metrics.catalogue.deployment import DEPLOYMENT_INFO, LICENSE_USER_LIMIT, USERS
from insights_exporter.metrics.catalogue.exporter import (
    AGENT_STATS_LAG,
    AGENT_STATS_ROWS,
    API_REQUEST_DURATION,
    API_REQUESTS,
    API_RETRIES,
    BUILD_INFO,
    COLLECTOR_DURATION,
    COLLECTOR_ERRORS,
    COLLECTOR_SUCCESS,
    CONFIG_LAST_RELOAD_SUCCESSFUL,
    CONFIG_LAST_RELOAD_TIMESTAMP,
    COUNTER_CORRECTIONS,
    DURATION_BUCKETS,
    EXPOSITION_BYTES,
    LAST_SUCCESS,
    OTLP_EXPORTS,
    PERMISSION,
    POLL_DURATION,
    POLL_INTERVAL,
    POLLS,
    RATE_LIMIT_WAIT,
    ROWS_DROPPED,
    SCRAPE_DURATION,
    SCRAPES,
    SERIES,
    SERIES_FOLDED,
    TOKEN_EXPIRY,
)
from insights_exporter.metrics.catalogue.insights import (
    COLLECTION_ENABLED,
    DEPLOYMENT_ACTIVE_USERS,
    DEPLOYMENT_APP_USAGE,
    DEPLOYMENT_APP_USAGE_WINDOW,
    DEPLOYMENT_UNIQUE_USERS,
    DEPLOYMENT_USER_ACTIVITY_WINDOW,
    TEMPLATE_ACTIVE_USERS,
    TEMPLATE_APP_OPENS,
    TEMPLATE_APP_USAGE,
    TEMPLATE_APP_USAGE_WINDOW,
    TEMPLATE_PARAMETER_WORKSPACES,
    TEMPLATE_UNIQUE_USERS,
    TEMPLATE_USAGE,
    TEMPLATE_USAGE_WINDOW,
    TEMPLATE_USER_LATENCY,
    TEMPLATE_USERS_WITHOUT_LATENCY,
    USER_ACTIVITY,
    USER_ACTIVITY_WINDOW,
    USER_LATENCY_P50,
    USER_LATENCY_P95,
)
from insights_exporter.metrics.catalogue.inventory import (
    AGENT_RELAY_LATENCY,
    AGENTS,
    AGENTS_OUTDATED,
    APP_HEALTH,
    APP_INFO,
    PARAMETER_INFO,
    TEMPLATE_BUILD_P50,
    TEMPLATE_BUILD_P95,
    TEMPLATE_CREATED,
    TEMPLATE_INFO,
    USER_INFO,
    USER_LAST_SEEN,
    WORKSPACES,
)
from insights_exporter.metrics.catalogue.labels import OTHER
from insights_exporter.metrics.family import Family

__all__ = [
    "AGENTS",
    "AGENTS_OUTDATED",
    "AGENT_RELAY_LATENCY",
    "AGENT_STATS_LAG",
    "AGENT_STATS_ROWS",
    "API_REQUESTS",
    "API_REQUEST_DURATION",
    "API_RETRIES",
    "APP_CONNECTION_LATENCY",
    "APP_HEALTH",
    "APP_INFO",
    "BUILD_INFO",
    "CODER_FAMILIES",
    "COLLECTION_ENABLED",
    "COLLECTOR_DURATION",
    "COLLECTOR_ERRORS",
    "COLLECTOR_SUCCESS",
    "CONFIG_LAST_RELOAD_SUCCESSFUL",
    "CONFIG_LAST_RELOAD_TIMESTAMP",
    "CONNECTIONS",
    "CONNECTION_LATENCY",
    "COUNTER_CORRECTIONS",
    "DEPLOYMENT_ACTIVE_USERS",
    "DEPLOYMENT_APP_USAGE",
    "DEPLOYMENT_APP_USAGE_WINDOW",
    "DEPLOYMENT_INFO",
    "DEPLOYMENT_UNIQUE_USERS",
    "DEPLOYMENT_USER_ACTIVITY_WINDOW",
    "DURATION_BUCKETS",
    "EXPORTER_FAMILIES",
    "EXPOSITION_BYTES",
    "FAMILIES",
    "LAST_SUCCESS",
    "LATENCY_BUCKETS",
    "LATENCY_SCALE",
    "LICENSE_USER_LIMIT",
    "OTHER",
    "OTLP_EXPORTS",
    "PARAMETER_INFO",
    "PERMISSION",
    "POLLS",
    "POLL_DURATION",
    "POLL_INTERVAL",
    "RATE_LIMIT_WAIT",
    "RECEIVED_BYTES",
    "ROWS_DROPPED",
    "SCRAPES",
    "SCRAPE_DURATION",
    "SERIES",
    "SERIES_FOLDED",
    "SESSIONS",
    "TEMPLATE_ACTIVE_USERS",
    "TEMPLATE_APP_OPENS",
    "TEMPLATE_APP_USAGE",
    "TEMPLATE_APP_USAGE_WINDOW",
    "TEMPLATE_BUILD_P50",
    "TEMPLATE_BUILD_P95",
    "TEMPLATE_CREATED",
    "TEMPLATE_INFO",
    "TEMPLATE_PARAMETER_WORKSPACES",
    "TEMPLATE_UNIQUE_USERS",
    "TEMPLATE_USAGE",
    "TEMPLATE_USAGE_WINDOW",
    "TEMPLATE_USERS_WITHOUT_LATENCY",
    "TEMPLATE_USER_LATENCY",
    "TOKEN_EXPIRY",
    "TRANSMITTED_BYTES",
    "USERS",
    "USER_ACTIVITY",
    "USER_ACTIVITY_WINDOW",
    "USER_APP_SESSION",
    "USER_INFO",
    "USER_LAST_SEEN",
    "USER_LATENCY_P50",
    "USER_LATENCY_P95",
    "WORKSPACES",
    "get_family",
]

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0)
"""Upper bounds in seconds, for ever the same; 0.15 and 0.3 are where Coder's page changes colour."""

LATENCY_SCALE: Final = 3
"""Of exponential buckets, where they are counted, a doubling has 2 to the power of this: a width of 9 %."""

CODER_FAMILIES: Final = (
    *insights.FAMILIES,
    *inventory.FAMILIES,
    *deployment.FAMILIES,
    *agent_stats.FAMILIES,
)
"""What is known of Coder, rendered once per poll, in the order in which it is served."""

EXPORTER_FAMILIES: Final = exporter.FAMILIES
"""What is known of the exporter itself, appended live to each scrape."""

FAMILIES: Final = (*CODER_FAMILIES, *EXPORTER_FAMILIES)

_BY_NAME = {family.name: family for family in FAMILIES}


def get_family(name: str) -> Family:
    """Return the family of that name; raise KeyError for a name that does not exist."""
    return _BY_NAME[name]
