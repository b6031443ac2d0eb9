"""Relay, version and app of each user's agents: now, or when they were last seen.

A user who reports a slow connection may have no workspace running. The last known values therefore count.
"""

from __future__ import annotations

from typing import Final

from dashboards.generator.queries import QUERY, SELECTED_TEMPLATES, SELECTED_USERS, usage
from insights_exporter.bundle.promql import Expr
from insights_exporter.metrics import catalogue

__all__ = [
    "agent_versions",
    "last_apps",
    "outdated_agents",
    "relay_latency",
    "relay_regions",
    "relayed_share",
]

_LAST_SEEN: Final = "[7d:10m]"
"""Range and step in which the last value is searched."""


def _last(values: Expr) -> Expr:
    return Expr(f"last_over_time({values}{_LAST_SEEN})", values.labels, frozenset())


def _latest_by_user(values: Expr) -> Expr:
    """Return the series that each user had last, with their time; several if they existed together."""
    seen = Expr(f"max_over_time(({values} * 0 + time()){_LAST_SEEN})", values.labels, frozenset())
    return seen.largest("username")


def _or_zero(counts: Expr, everyone: Expr) -> Expr:
    """Return counts, and 0 for the other users."""
    return Expr(f"({counts} or {everyone} * 0)", counts.labels, frozenset())


def relayed_share() -> Expr:
    """Return the share of each user's last open connections that used a relay."""
    relayed, connections = (
        QUERY.latest(
            catalogue.USER_PEER_CONNECTIONS, username=SELECTED_USERS, **SELECTED_TEMPLATES, **matchers
        ).sum("username")
        for matchers in ({"connection_type": "derp"}, {})
    )
    return _last(usage.ratio(_or_zero(relayed, connections), connections))


def relay_regions() -> Expr:
    """Return the regions of the relays that the agents of each user last preferred."""
    latencies = QUERY.latest(catalogue.USER_AGENT_RELAY_LATENCY, username=SELECTED_USERS)
    return _latest_by_user(latencies.max("username", "derp_region"))


def relay_latency() -> Expr:
    """Return the highest latency between an agent of each user and its relay."""
    return _last(QUERY.latest(catalogue.USER_AGENT_RELAY_LATENCY, username=SELECTED_USERS).max("username"))


def agent_versions() -> Expr:
    """Return the versions of the last agents of each user."""
    agents = QUERY.latest(catalogue.USER_AGENTS, username=SELECTED_USERS)
    return _latest_by_user(agents.max("username", "version"))


def outdated_agents() -> Expr:
    """Return the number of each user's last agents whose version differs from the server's."""
    outdated, agents = (
        QUERY.latest(catalogue.USER_AGENTS, username=SELECTED_USERS, **matchers).sum("username")
        for matchers in ({"outdated": "true"}, {})
    )
    return _last(_or_zero(outdated, agents))


def last_apps() -> Expr:
    """Return the seconds of each user in the app that was used last; several apps in a tie.

    It is the app with the longest session time of the last hour, or of the last day without one.
    """
    last_hour, last_day = (
        QUERY.increase(catalogue.USER_APP_SESSION, range_, username=SELECTED_USERS, **SELECTED_TEMPLATES)
        .sum("username", "app")
        .binary_op("> 0")
        .largest("username")
        for range_ in ("1h", "1d")
    )
    return Expr(f"({last_hour} or {last_day.unless_on(last_hour, 'username')})", last_day.labels, frozenset())
