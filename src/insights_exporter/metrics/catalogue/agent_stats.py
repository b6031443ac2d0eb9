"""Families of agent statistics: latency histograms, sessions and traffic, reported every 30 seconds.

They are experimental: Coder documents neither the table nor the metrics that they come from.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from insights_exporter.metrics.family import (
    SUM_OVER_TEMPLATES,
    SUM_OVER_USERS,
    TEMPLATE_LABELS,
    USER_LABELS,
    FamilyGroup,
    MetricType,
    Stability,
)

_group = FamilyGroup("agent_stats", required_setting="agent_stats.source", stability=Stability.EXPERIMENTAL)
_gauge = partial(_group.declare, MetricType.GAUGE)
_counter = partial(_group.declare, MetricType.COUNTER)
_latency_histogram = partial(_group.declare, MetricType.HISTOGRAM, unit="seconds", panel="Latency by user")

CONNECTION_LATENCY = _latency_histogram(
    "connection_latency_seconds",
    "Round-trip seconds that agents reported during a session of the user; one observation per report.",
    (*TEMPLATE_LABELS, *USER_LABELS),
    summable=SUM_OVER_USERS,
)
APP_CONNECTION_LATENCY = _latency_histogram(
    "app_connection_latency_seconds",
    "Round-trip seconds that agents reported during a session of the app; one observation per report.",
    (*TEMPLATE_LABELS, "app"),
    summable=SUM_OVER_TEMPLATES,
)
USER_APP_SESSION = _counter(
    "user_app_session_seconds_total",
    "Seconds the user had a session of the app open; concurrent apps count separately.",
    (*TEMPLATE_LABELS, *USER_LABELS, "app"),
    unit="seconds",
    summable=SUM_OVER_USERS,
    panel="App & IDE Usage",
)
SESSIONS = _gauge(
    "sessions",
    "Open sessions of the app in workspaces of the template.",
    (*TEMPLATE_LABELS, "app"),
    summable=frozenset((*TEMPLATE_LABELS, "app")),
    panel="App & IDE Usage",
)
CONNECTIONS = _gauge(
    "connections",
    "Connections to agents of the template with traffic since the last agent report, not all open ones.",
    TEMPLATE_LABELS,
    summable=SUM_OVER_TEMPLATES,
)
PEER_CONNECTIONS = _gauge(
    "peer_connections",
    "Connections between clients and agents of the template by type: p2p is direct, derp through a relay."
    " Only with the source coderd_metrics, and only of agents that are connected to the scraped replica.",
    (*TEMPLATE_LABELS, "connection_type"),
    summable=frozenset((*TEMPLATE_LABELS, "connection_type")),
)
USER_PEER_CONNECTIONS = _gauge(
    "user_peer_connections",
    "Connections between clients and agents of the user by type: p2p is direct, derp through a relay."
    " Absent without connections.",
    (*TEMPLATE_LABELS, *USER_LABELS, "connection_type"),
    summable=frozenset((*TEMPLATE_LABELS, *USER_LABELS, "connection_type")),
)
RECEIVED_BYTES = _counter(
    "agent_received_bytes_total",
    "Bytes that agents of the template received.",
    TEMPLATE_LABELS,
    unit="bytes",
    summable=SUM_OVER_TEMPLATES,
)
TRANSMITTED_BYTES = _counter(
    "agent_transmitted_bytes_total",
    "Bytes that agents of the template sent.",
    TEMPLATE_LABELS,
    unit="bytes",
    summable=SUM_OVER_TEMPLATES,
)

AGENT_STATS_FAMILIES: Final = _group.families
