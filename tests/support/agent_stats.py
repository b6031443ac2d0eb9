"""Agent statistics by label values, for assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import AgentStats, LatencyHistogram, Snapshot

K = TypeVar("K")
V = TypeVar("V")

__all__ = ["user_latency", "user_seconds", "with_pseudonymized_agent_stats"]


def user_latency(stats: AgentStats) -> dict[tuple[str, str, str], LatencyHistogram]:
    """Return the latency histograms by organization, template and user."""
    return {
        (*template_labels, user): distribution
        for template_labels, users in stats.latency.items()
        for user, distribution in users.items()
    }


def user_seconds(stats: AgentStats) -> dict[tuple[str, str, str, str], float]:
    """Return the session seconds by organization, template, user and app."""
    return {
        (organization, template, user, app): seconds
        for (organization, template, app), users in stats.session_seconds.items()
        for user, seconds in users.items()
    }


def with_pseudonymized_agent_stats(snapshot: Snapshot, username_policy: UsernamePolicy) -> Snapshot:
    """Return the snapshot with the users of its agent statistics pseudonymized, as the collector does it."""
    if snapshot.agent_stats is None:
        return snapshot
    stats = snapshot.agent_stats.value

    def pseudonymized(values_by_key: Mapping[K, Mapping[str, V]]) -> dict[K, dict[str, V]]:
        pseudonymize = username_policy.pseudonymize
        return {
            key: {name: item for user, item in users.items() if (name := pseudonymize(user)) is not None}
            for key, users in values_by_key.items()
        }

    stats = replace(
        stats,
        latency=pseudonymized(stats.latency),
        session_seconds=pseudonymized(stats.session_seconds),
        user_peer_connections=pseudonymized(stats.user_peer_connections),
    )
    return replace(snapshot, agent_stats=replace(snapshot.agent_stats, value=stats))
