"""Agent statistics by label values, for assertions."""

from __future__ import annotations

from dataclasses import replace

from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import AgentStats, LatencyHistogram, Snapshot

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
    pseudonymize = username_policy.pseudonymize
    stats = replace(
        stats,
        latency={
            key: {name: item for user, item in users.items() if (name := pseudonymize(user)) is not None}
            for key, users in stats.latency.items()
        },
        session_seconds={
            key: {name: item for user, item in users.items() if (name := pseudonymize(user)) is not None}
            for key, users in stats.session_seconds.items()
        },
    )
    return replace(snapshot, agent_stats=replace(snapshot.agent_stats, value=stats))
