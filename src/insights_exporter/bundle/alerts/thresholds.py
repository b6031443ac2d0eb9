"""The thresholds of all alerts, each with the reason for its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.catalogue import IDLE_BUCKETS, LATENCY_BUCKETS, LATENCY_FAIR, LATENCY_SLOW

__all__ = ["Thresholds", "format_threshold", "threshold_rows"]


def _threshold(default: float, unit: str, rationale: str, *, bounds: tuple[float, ...] = ()) -> Any:
    return field(default=default, metadata={"unit": unit, "because": rationale, "bounds": bounds})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The limits that alerts compare with.

    A threshold with ``bounds`` must be one of these bucket bounds, because users or workspaces are counted
    between them.
    """

    latency_warning: float = _threshold(
        LATENCY_FAIR, "seconds", "Coder's Insights page turns yellow here.", bounds=LATENCY_BUCKETS
    )
    latency_critical: float = _threshold(
        LATENCY_SLOW,
        "seconds",
        "Coder's Insights page turns red here; typing is noticeably delayed.",
        bounds=LATENCY_BUCKETS,
    )
    latency_increase_factor: float = _threshold(
        2,
        "times",
        "Distant users are always slow, and at night they may be the only ones at work; twice the usual"
        " latency is an incident.",
    )
    slow_users_share: float = _threshold(
        0.25, "share", "A quarter of a template's users points to one cause; fewer may share a bad Wi-Fi."
    )
    slow_users: float = _threshold(3, "users", "Two users can share a bad connection; three rarely do.")
    slow_agents: float = _threshold(3, "agents", "One slow workspace host does not make a slow relay.")
    objective: float = _threshold(
        0.95, "share", "One user in twenty may have a bad connection without a reaction."
    )
    objective_latency: float = _threshold(
        LATENCY_SLOW, "seconds", "Users report connections above it as broken.", bounds=LATENCY_BUCKETS
    )
    burn_page_short: float = _threshold(
        14.4, "times", "It burns 2% of a month's budget in an hour: the budget lasts two days."
    )
    burn_page_long: float = _threshold(
        6, "times", "It burns 5% of a month's budget in six hours: the budget lasts five days."
    )
    burn_ticket_short: float = _threshold(
        3, "times", "It burns 10% of a month's budget in a day: the budget lasts ten days."
    )
    burn_ticket_long: float = _threshold(
        1, "times", "It burns 10% of a month's budget in three days: the budget lasts exactly a month."
    )
    drop_share: float = _threshold(
        0.5, "share", "A loss of half of the users exceeds what leave and meetings explain."
    )
    drop_users: float = _threshold(5, "users", "In a small team, half of the users can be on leave.")
    seats_share: float = _threshold(
        0.9, "share", "The last tenth of the seats covers the time that a purchase takes."
    )
    seats_days: float = _threshold(14, "days", "A purchase order takes about two weeks.")
    license_share: float = _threshold(
        0.9, "share", "The last tenth of a licensed quota covers the time that a purchase takes."
    )
    app_days: float = _threshold(4, "days", "A week has five working days, less one holiday.")
    app_seconds: float = _threshold(
        86400,
        "seconds",
        "One user who stays connected reaches at most a day within a day; more means several users.",
    )
    app_users: float = _threshold(
        4, "users", "Two or three users are on leave at the same time every week; four rarely are."
    )
    workday_share: float = _threshold(
        0.5, "share", "With fewer than half of the usual users, today is a day off and not an incident."
    )
    unhealthy_share: float = _threshold(
        0.25, "share", "A quarter of all workspaces points to the template and not to one workspace."
    )
    unhealthy_apps: float = _threshold(3, "apps", "The owners can fix one or two broken workspaces.")
    failed_workspaces_share: float = _threshold(
        0.25, "share", "A quarter of the latest builds points to the template and not to one workspace."
    )
    failed_workspaces: float = _threshold(
        3, "workspaces", "One or two failed builds can be a mistake of their owners."
    )
    idle_seconds: float = _threshold(
        604800,
        "seconds",
        "A workspace without use for a week has no user who returns tomorrow.",
        bounds=IDLE_BUCKETS,
    )
    idle_workspaces_share: float = _threshold(
        0.25, "share", "A quarter of all running workspaces is worth a change of the schedules."
    )
    idle_workspaces: float = _threshold(
        5, "workspaces", "Fewer idle workspaces cost less than the search for their owners."
    )
    idle_workspaces_growth: float = _threshold(
        1.1, "times", "A share that grew by a tenth within a week is a trend; a stable share is a known cost."
    )
    members_at_budget: float = _threshold(
        3, "users", "One or two members can have too many workspaces; three point to the allowance."
    )
    unused_days: float = _threshold(
        30, "days", "It is the longest exported window, and it is longer than leave and release cycles."
    )
    unused_users: float = _threshold(5, "users", "With fewer users, an unused app says little about the app.")
    idle_seats_share: float = _threshold(
        0.1, "share", "A tenth of the seats is worth a review before the next renewal."
    )
    idle_seats: float = _threshold(5, "users", "Fewer idle seats cost less than the review.")
    parameter_workspaces: float = _threshold(
        10, "workspaces", "With fewer workspaces, an unused option can be chance."
    )
    lost_agents_share: float = _threshold(
        0.25, "share", "A quarter of a template's agents does not disconnect by chance."
    )
    lost_agents: float = _threshold(3, "agents", "One or two can be machines that their owners switched off.")
    outdated_agents_share: float = _threshold(
        0.25, "share", "Agents are upgraded when workspaces restart; a remaining quarter is a backlog."
    )
    outdated_agents: float = _threshold(3, "agents", "A few workspaces that never restart are acceptable.")
    stalled_agents: float = _threshold(
        3, "agents", "With fewer connected agents, usage can stay constant without a fault."
    )
    stalled_sessions: float = _threshold(
        3, "sessions", "With three open sessions, usage grows every five minutes."
    )
    stalled_users: float = _threshold(
        5, "users", "Without session data, five users seen within an hour imply use."
    )
    stalled_growth: float = _threshold(
        3600, "seconds", "One hour of use per hour a week ago means that users work at this time of the week."
    )
    token_warning: float = _threshold(604800, "seconds", "A week covers a weekend and a change window.")
    token_critical: float = _threshold(86400, "seconds", "A day is the last chance during working hours.")
    stale_intervals: float = _threshold(
        3, "intervals", "One poll can fail and the next can be late; three missed polls are a fault."
    )
    stale_seconds: float = _threshold(
        3600,
        "seconds",
        "After an hour the exporter has dropped the data, and other alerts lack their series.",
    )
    rate_limit_share: float = _threshold(
        0.05, "share", "Above 5% of the time, the rate limit determines how long polls take."
    )
    api_time_excess: float = _threshold(
        1.5, "times", "The budget stops before it; half more means that all data that can wait is waiting."
    )
    poll_share: float = _threshold(0.75, "share", "The default deadline stops a poll at 80% of the interval.")

    def __post_init__(self) -> None:
        """Raise ConfigError for values from which no rule can be built."""
        for threshold in fields(self):
            name, value, bounds = threshold.name, getattr(self, threshold.name), threshold.metadata["bounds"]
            if value <= 0:
                raise ConfigError(f"--threshold {name}: expected a number above 0, got {value:g}")
            if threshold.metadata["unit"] == "share" and value > 1:
                raise ConfigError(f"--threshold {name}: expected a share of at most 1, got {value:g}")
            if bounds and value not in bounds:
                expected = ", ".join(f"{bound:.10g}" for bound in bounds)
                raise ConfigError(f"--threshold {name}: expected one of {expected}, got {value:g}")
        if self.objective == 1:
            raise ConfigError("--threshold objective: expected a share below 1, got 1; no budget remains")

    def replaced(self, overrides: Mapping[str, float]) -> Thresholds:
        """Return a copy with other values; raise ConfigError for unknown names and invalid values."""
        known = {threshold.name for threshold in fields(self)}
        if unknown := sorted(set(overrides) - known):
            raise ConfigError(f"--threshold: expected a name from docs/alerts.md, got {', '.join(unknown)}")
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


def format_threshold(value: float, unit: str) -> str:
    """Return a threshold with its unit; seconds in the largest unit that keeps the number whole."""
    if unit == "share":
        return f"{100 * value:g}%"
    if unit != "seconds":
        return f"{value:g} {unit}"
    if value < 1:
        return f"{1000 * value:g} ms"
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        count = value / length
        if count >= 1 and count == int(count):
            return f"{count:g} {name if count > 1 else name[:-1]}"
    return f"{value:g} s"
