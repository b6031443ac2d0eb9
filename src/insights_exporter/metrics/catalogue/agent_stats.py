"""What agents report every half minute: true histograms, sessions and traffic."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.catalogue.labels import (
    SUM_OVER_TEMPLATES,
    SUM_OVER_USERS,
    TEMPLATE_LABELS,
    USER_LABELS,
)
from insights_exporter.metrics.family import PREFIX, Family, MetricType

__all__ = [
    "APP_CONNECTION_LATENCY",
    "CONNECTIONS",
    "CONNECTION_LATENCY",
    "FAMILIES",
    "RECEIVED_BYTES",
    "SESSIONS",
    "TRANSMITTED_BYTES",
    "USER_APP_SESSION",
]

_COLLECTOR = "agent_stats"
_REQUIRED_SETTING = "agent_stats.source"
_LATENCY_PANEL, _APPS_PANEL = "Latency by user", "App & IDE Usage"


def _family(
    name: str,
    metric_type: MetricType,
    help_text: str,
    labels: tuple[str, ...],
    summable: frozenset[str],
    *,
    unit: str = "",
    panel: str = "",
) -> Family:
    return Family(
        PREFIX + name, metric_type, help_text, labels, unit, summable, panel, _COLLECTOR, _REQUIRED_SETTING
    )


CONNECTION_LATENCY = _family(
    "connection_latency_seconds",
    MetricType.HISTOGRAM,
    "Round trips that agents reported while a session was open, one observation per report.",
    (*TEMPLATE_LABELS, *USER_LABELS),
    SUM_OVER_USERS,
    unit="seconds",
    panel=_LATENCY_PANEL,
)
APP_CONNECTION_LATENCY = _family(
    "app_connection_latency_seconds",
    MetricType.HISTOGRAM,
    "Round trips that agents reported while an app had a session, one observation per report and app.",
    (*TEMPLATE_LABELS, "app"),
    SUM_OVER_TEMPLATES,
    unit="seconds",
    panel=_LATENCY_PANEL,
)
USER_APP_SESSION = _family(
    "user_app_session_seconds_total",
    MetricType.COUNTER,
    "Time in which a user had a session of an app open, from agent reports; apps overlap.",
    (*TEMPLATE_LABELS, *USER_LABELS, "app"),
    SUM_OVER_USERS,
    unit="seconds",
    panel=_APPS_PANEL,
)
SESSIONS = _family(
    "sessions",
    MetricType.GAUGE,
    "Sessions of an app that are open now in workspaces of a template.",
    (*TEMPLATE_LABELS, "app"),
    frozenset((*TEMPLATE_LABELS, "app")),
    panel=_APPS_PANEL,
)
CONNECTIONS = _family(
    "connections",
    MetricType.GAUGE,
    "Connections to agents that are open now in workspaces of a template.",
    TEMPLATE_LABELS,
    SUM_OVER_TEMPLATES,
)
RECEIVED_BYTES = _family(
    "agent_received_bytes_total",
    MetricType.COUNTER,
    "Bytes that agents of a template received.",
    TEMPLATE_LABELS,
    SUM_OVER_TEMPLATES,
    unit="bytes",
)
TRANSMITTED_BYTES = _family(
    "agent_transmitted_bytes_total",
    MetricType.COUNTER,
    "Bytes that agents of a template sent.",
    TEMPLATE_LABELS,
    SUM_OVER_TEMPLATES,
    unit="bytes",
)

FAMILIES: Final = (
    CONNECTION_LATENCY,
    APP_CONNECTION_LATENCY,
    USER_APP_SESSION,
    SESSIONS,
    CONNECTIONS,
    RECEIVED_BYTES,
    TRANSMITTED_BYTES,
)
"""All families of this room, in the order in which they are served."""
