"""Agent statistics by label values, for assertions."""

from __future__ import annotations

from insights_exporter.snapshot import AgentStats, LatencyHistogram

__all__ = ["user_latency", "user_seconds"]


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
