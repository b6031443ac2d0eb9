"""What agents report every half minute: true histograms, sessions and traffic."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.catalogue.labels import ANY_TEMPLATE, ANY_USER, TEMPLATE, USER
from insights_exporter.metrics.family import PREFIX, Family, Kind

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
_NEEDS = "agent_stats.source"
_LATENCY, _APPS = "Latency by user", "App & IDE Usage"


def _family(  # noqa: PLR0913 - a family has that many columns.
    name: str,
    kind: Kind,
    text: str,
    labels: tuple[str, ...],
    summable: frozenset[str],
    *,
    unit: str = "",
    panel: str = "",
) -> Family:
    return Family(PREFIX + name, kind, text, labels, unit, summable, panel, _COLLECTOR, _NEEDS)


CONNECTION_LATENCY = _family(
    "connection_latency_seconds",
    Kind.HISTOGRAM,
    "Round trips that agents reported while a session was open, one observation per report.",
    (*TEMPLATE, *USER),
    ANY_USER,
    unit="seconds",
    panel=_LATENCY,
)
APP_CONNECTION_LATENCY = _family(
    "app_connection_latency_seconds",
    Kind.HISTOGRAM,
    "Round trips that agents reported while an app had a session, one observation per report and app.",
    (*TEMPLATE, "app"),
    ANY_TEMPLATE,
    unit="seconds",
    panel=_LATENCY,
)
USER_APP_SESSION = _family(
    "user_app_session_seconds_total",
    Kind.COUNTER,
    "Time in which a user had a session of an app open, from agent reports; apps overlap.",
    (*TEMPLATE, *USER, "app"),
    ANY_USER,
    unit="seconds",
    panel=_APPS,
)
SESSIONS = _family(
    "sessions",
    Kind.GAUGE,
    "Sessions of an app that are open now in workspaces of a template.",
    (*TEMPLATE, "app"),
    frozenset((*TEMPLATE, "app")),
    panel=_APPS,
)
CONNECTIONS = _family(
    "connections",
    Kind.GAUGE,
    "Connections to agents that are open now in workspaces of a template.",
    TEMPLATE,
    ANY_TEMPLATE,
)
RECEIVED_BYTES = _family(
    "agent_received_bytes_total",
    Kind.COUNTER,
    "Bytes that agents of a template received.",
    TEMPLATE,
    ANY_TEMPLATE,
    unit="bytes",
)
TRANSMITTED_BYTES = _family(
    "agent_transmitted_bytes_total",
    Kind.COUNTER,
    "Bytes that agents of a template sent.",
    TEMPLATE,
    ANY_TEMPLATE,
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
