"""Small groups in agent statistics, whose users are unknown with ``privacy.users: off``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import TypeVar

from insights_exporter.snapshot import AgentStats, Insights

__all__ = ["suppress_agent_stats"]

K = TypeVar("K", bound=tuple[str, ...])
V = TypeVar("V")


def suppress_agent_stats(stats: AgentStats, published: Insights | None, withheld: Counter[str]) -> AgentStats:
    """Return the counters that certainly describe enough people, without gauges and users.

    Agent reports are counted without users. But if published insights show that enough people used an app of
    a template in a window after the counters started, the counters include these people. Sessions and
    connections that are open now can be of one person, so they are withheld.
    """
    templates: set[tuple[str, ...]] = set()
    apps: set[tuple[str, ...]] = set()
    for usage in published.templates if published else ():
        for window in usage.windows:
            if usage.key is not None and window.start >= stats.since and window.active_users:
                templates.add(usage.key)
                apps |= {(*usage.key, app.slug) for app in window.apps if app.seconds > 0}
    kept = replace(
        stats,
        latency={},
        app_latency=_select(stats.app_latency, apps),
        session_seconds={},
        sessions={},
        connections={},
        peer_connections={},
        user_peer_connections={},
        received_bytes=_select(stats.received_bytes, templates),
        transmitted_bytes=_select(stats.transmitted_bytes, templates),
    )
    withheld["agent_stats"] += _size(stats) - _size(kept)
    return kept


def _select(values: Mapping[K, V], keys: Collection[tuple[str, ...]]) -> dict[K, V]:
    return {key: value for key, value in values.items() if key in keys}


def _size(stats: AgentStats) -> int:
    """Return the number of label sets, those of users not counted."""
    values = (getattr(stats, field.name) for field in fields(stats))
    return sum(len(value) for value in values if isinstance(value, Mapping))
