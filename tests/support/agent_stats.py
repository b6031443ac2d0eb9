"""What agents reported, by all labels at once as the families have them."""

from __future__ import annotations

from insights_exporter.snapshot import AgentStats, Distribution

__all__ = ["user_latency", "user_seconds"]


def user_latency(stats: AgentStats) -> dict[tuple[str, str, str], Distribution]:
    """Return the round trips by organization, template and user."""
    return {(*place, user): seen for place, users in stats.latency.items() for user, seen in users.items()}


def user_seconds(stats: AgentStats) -> dict[tuple[str, str, str, str], float]:
    """Return the time with an open session by organization, template, user and app."""
    return {
        (organization, template, user, app): seconds
        for (organization, template, app), users in stats.session_seconds.items()
        for user, seconds in users.items()
    }
