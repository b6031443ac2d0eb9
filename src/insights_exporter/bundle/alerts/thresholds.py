"""Every threshold of the alerts, once, each with the reason for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS

__all__ = ["Thresholds", "threshold_rows"]


def _threshold(default: float, unit: str, rationale: str, *, is_bucket_bound: bool = False) -> Any:
    return field(default=default, metadata={"unit": unit, "because": rationale, "bucket": is_bucket_bound})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What counts as too much, too little or too long."""

    latency_warning: float = _threshold(
        0.15, "seconds", "Coder's own page turns from green to yellow here.", is_bucket_bound=True
    )
    latency_critical: float = _threshold(
        0.3,
        "seconds",
        "Coder's own page turns red here; typing starts to feel delayed.",
        is_bucket_bound=True,
    )
    latency_increase_factor: float = _threshold(
        2,
        "times",
        "Who is far away is always slow, and at night alone at work; twice the usual is an incident.",
    )
    slow_users_share: float = _threshold(
        0.25, "share", "A quarter of a template's users share a cause; fewer may share a bad café."
    )
    slow_users: float = _threshold(3, "users", "Two people can be on the same train; three rarely are.")
    slow_agents: float = _threshold(
        3, "agents", "One workspace host in trouble should not be told as a relay in trouble."
    )
    objective: float = _threshold(
        0.95, "share", "One user in twenty may be on a bad line without anybody having to act."
    )
    objective_latency: float = _threshold(
        0.3, "seconds", "The objective is about connections that people call broken.", is_bucket_bound=True
    )
    burn_page_short: float = _threshold(
        14.4, "times", "Two percent of a month's budget in an hour: it is gone in two days."
    )
    burn_page_long: float = _threshold(
        6, "times", "Five percent of a month's budget in six hours: it is gone in five days."
    )
    burn_ticket_short: float = _threshold(
        3, "times", "Ten percent of a month's budget in a day: it is gone in ten days."
    )
    burn_ticket_long: float = _threshold(
        1, "times", "Ten percent of a month's budget in three days: it is gone when the month is."
    )
    drop_share: float = _threshold(
        0.5, "share", "Half of the users of the same weekday is beyond what leave and meetings explain."
    )
    drop_users: float = _threshold(5, "users", "In a small team half may simply be on leave.")
    seats_share: float = _threshold(
        0.9, "share", "The last tenth of the seats is the time that buying more of them takes."
    )
    seats_days: float = _threshold(14, "days", "A purchase order needs about two weeks.")
    app_days: float = _threshold(4, "days", "Five working days in seven, less one for a holiday.")
    app_seconds: float = _threshold(
        86400,
        "seconds",
        "More than a day within a day is never one person's, not even of one who stays connected.",
    )
    app_users: float = _threshold(
        4, "users", "That two or three people are all on leave happens every week; four rarely are."
    )
    workday_share: float = _threshold(
        0.5, "share", "With fewer than half of the usual users today is a day off, not an incident."
    )
    unhealthy_share: float = _threshold(
        0.25, "share", "A quarter of all workspaces points to the template and not to one workspace."
    )
    unhealthy_apps: float = _threshold(3, "apps", "One or two broken workspaces are their owners' affair.")
    unused_days: float = _threshold(
        30, "days", "The longest window that is exported; it outlasts leave and releases."
    )
    unused_users: float = _threshold(
        5, "users", "With fewer users an app that nobody opened says little about the app."
    )
    idle_seats_share: float = _threshold(
        0.1, "share", "A tenth of the seats is worth a conversation before the next renewal."
    )
    idle_seats: float = _threshold(5, "users", "A handful of idle seats costs less than asking around.")
    parameter_workspaces: float = _threshold(
        10, "workspaces", "With fewer workspaces an option may just not have had its turn."
    )
    lost_agents_share: float = _threshold(
        0.25, "share", "A quarter of a template's agents does not lose contact by chance."
    )
    lost_agents: float = _threshold(3, "agents", "One or two may be machines that somebody switched off.")
    outdated_agents_share: float = _threshold(
        0.25, "share", "After an upgrade agents catch up as workspaces restart; a quarter left is a backlog."
    )
    outdated_agents: float = _threshold(3, "agents", "A few workspaces that nobody restarts do not matter.")
    stalled_agents: float = _threshold(
        3, "agents", "With fewer agents connected nobody may be at work, and nothing need grow."
    )
    stalled_sessions: float = _threshold(
        3, "sessions", "With three sessions open, usage must grow every five minutes."
    )
    stalled_users: float = _threshold(
        5, "users", "Where sessions are unknown, five people seen within the hour stand for them."
    )
    stalled_growth: float = _threshold(
        3600, "seconds", "An hour of use within an hour, a week ago: somebody works at this time of the week."
    )
    token_warning: float = _threshold(
        604800, "seconds", "A week leaves room for a weekend and a change window."
    )
    token_critical: float = _threshold(86400, "seconds", "A day is the last chance to act in working hours.")
    stale_intervals: float = _threshold(
        3, "intervals", "One poll may fail and one may be late; three in a row are no accident."
    )
    stale_seconds: float = _threshold(
        3600, "seconds", "By then the exporter has stopped serving what it knew, and no other alert can see."
    )
    rate_limit_share: float = _threshold(
        0.05, "share", "Waiting a twentieth of the time means that the limit shapes the polls."
    )
    poll_share: float = _threshold(
        0.75,
        "share",
        "At four fifths of the interval the default deadline cuts a poll off.",
    )

    def __post_init__(self) -> None:
        """Refuse values that no rule could be built from."""
        for threshold in fields(self):
            value = getattr(self, threshold.name)
            if value <= 0 or (threshold.metadata["unit"] == "share" and value > 1):
                raise ConfigError(
                    f"Expected {threshold.name} above 0, and no share above 1, found {value:g}."
                )
            if threshold.metadata["bucket"] and value not in LATENCY_BUCKETS:
                bounds = ", ".join(f"{bound:g}" for bound in LATENCY_BUCKETS)
                raise ConfigError(f"Expected {threshold.name} to be one of {bounds}, found {value:g}.")
        if self.objective == 1:
            raise ConfigError("Expected objective below 1: without a budget nothing can be burnt.")

    def replaced(self, overrides: Mapping[str, float]) -> Thresholds:
        """Return a copy with some values replaced; raise ConfigError for a name that does not exist."""
        if unknown := set(overrides) - {threshold.name for threshold in fields(self)}:
            raise ConfigError(f"Expected names of thresholds, found {', '.join(sorted(unknown))}.")
        return replace(self, **overrides)


def threshold_rows(thresholds: Thresholds) -> list[tuple[str, float, str, str]]:
    """Return name, value, unit and reason of each threshold."""
    return [
        (
            threshold.name,
            getattr(thresholds, threshold.name),
            threshold.metadata["unit"],
            threshold.metadata["because"],
        )
        for threshold in fields(thresholds)
    ]
