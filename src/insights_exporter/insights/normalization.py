"""Coder's answers to the three questions, brought into one form: each app, parameter and user once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from sys import intern
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from insights_exporter.coder import models
from insights_exporter.insights.query_plan import Query
from insights_exporter.insights.usernames import ResolvedUsernames, UsernameIndex
from insights_exporter.snapshot import AppUsage, Latency, ParameterOption, ParameterUsage, UserLatency

__all__ = [
    "BUILTIN_APPS",
    "EMPTY_ACTIVITY",
    "EMPTY_LATENCY",
    "EMPTY_REPORT",
    "ActivityReport",
    "NormalizedResponse",
    "UsageReport",
    "accumulate",
    "normalize_activity",
    "normalize_latency",
    "normalize_report",
    "sum_by_username",
]

K = TypeVar("K", bound=Hashable)

BUILTIN_APPS: Mapping[str, tuple[str, str]] = {
    "vscode": ("Visual Studio Code", "/icon/code.svg"),
    "jetbrains": ("JetBrains", "/icon/intellij.svg"),
    "reconnecting-pty": ("Web Terminal", "/icon/terminal.svg"),
    "ssh": ("SSH", "/icon/terminal.svg"),
    "sftp": ("SFTP", "/icon/terminal.svg"),
}
"""Name and icon of the apps that every template has."""


class UsageReport(Struct, frozen=True):
    """Users, apps and parameters of a range.

    ``counts[n]`` are the active users ``n`` intervals ago. ``used`` are the templates with usage in the
    range; ``shown`` adds those that appear with parameters only.
    """

    active_users: int | None = 0
    apps: tuple[AppUsage, ...] = ()
    parameters: tuple[ParameterUsage, ...] = ()
    interval_active_users: tuple[int | None, ...] = ()
    active_template_ids: frozenset[str] = frozenset()
    mentioned_template_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """Seconds by user id, which stays where a name may change, so that ranges can be added."""

    seconds_by_user: Mapping[str, float] = field(default_factory=dict)
    resolved_usernames: ResolvedUsernames = field(
        default_factory=ResolvedUsernames, compare=False, repr=False
    )

    def by_username(self, index: UsernameIndex) -> dict[str, float]:
        """Return the seconds by name."""
        return sum_by_username(
            self.seconds_by_user, self.resolved_usernames.resolve(self.seconds_by_user, index)
        )


NormalizedResponse: TypeAlias = UsageReport | ActivityReport | Latency

EMPTY_REPORT = UsageReport()
EMPTY_ACTIVITY = ActivityReport()
EMPTY_LATENCY = Latency()


# Reports --------------------------------------------------------------------------------------------------


def normalize_report(response: models.TemplateInsights, query: Query) -> UsageReport:
    """Return the report of a range; what the question did not ask for is empty."""
    interval_active_users = _interval_active_users(response.interval_reports, query)
    interval_template_ids = [
        template_id for interval in response.interval_reports for template_id in interval.template_ids
    ]
    report = response.report
    if report is None:
        template_ids = frozenset(interval_template_ids)
        return UsageReport(
            active_users=None,
            interval_active_users=interval_active_users,
            active_template_ids=template_ids,
            mentioned_template_ids=template_ids,
        )
    active_template_ids = frozenset([*report.template_ids, *interval_template_ids])
    parameter_template_ids = [
        template_id for usage in report.parameters_usage for template_id in usage.template_ids
    ]
    return UsageReport(
        active_users=report.active_users,
        apps=_merge_apps(report.apps_usage),
        parameters=_merge_parameters(report.parameters_usage),
        interval_active_users=interval_active_users,
        active_template_ids=active_template_ids,
        mentioned_template_ids=active_template_ids | frozenset(parameter_template_ids),
    )


def _interval_active_users(
    intervals: Iterable[models.IntervalReport], query: Query
) -> tuple[int | None, ...]:
    counts: list[int | None] = [None] * query.interval_count
    step = timedelta(days=7 if query.interval == "week" else 1)
    for interval in intervals:
        index = len(counts) - 1 - (interval.start_time - query.window.start) // step
        if 0 <= index < len(counts):
            counts[index] = interval.active_users
    return tuple(counts)


def _merge_apps(rows: Iterable[models.AppUsage]) -> tuple[AppUsage, ...]:
    """Return each app once: where a slug has two names, its times belong together."""
    apps: dict[tuple[str, str], AppUsage] = {}
    seen_rows: set[tuple[str, str, str, str]] = set()
    # The row with most time gives name and icon; ties go by name, so that all replicas agree.
    for row in sorted(rows, key=lambda row: (-row.seconds, row.display_name, row.icon)):
        app_type = row.type or ("builtin" if row.slug in BUILTIN_APPS else "app")
        # Coder tells apps apart by these; a row that comes twice is one row.
        if (row_key := (row.slug, app_type, row.display_name, row.icon)) in seen_rows:
            continue
        seen_rows.add(row_key)
        existing = apps.get((row.slug, app_type))
        if existing is None:
            apps[row.slug, app_type] = AppUsage(
                row.slug, app_type, float(row.seconds), row.times_used, row.display_name, row.icon
            )
        else:
            opens = None if existing.opens is None else existing.opens + (row.times_used or 0)
            apps[row.slug, app_type] = msgspec.structs.replace(
                existing, seconds=existing.seconds + row.seconds, opens=opens
            )
    return tuple(apps[key] for key in sorted(apps))


def _merge_parameters(rows: Iterable[models.ParameterUsage]) -> tuple[ParameterUsage, ...]:
    """Return each parameter once: template versions that declare it otherwise count together."""
    parameters: dict[tuple[str, str], ParameterUsage] = {}
    # Coder tells declarations apart by these; a row that comes twice is one row.
    distinct_rows = {
        (row.name, row.type, row.display_name, row.description, tuple(row.options)): row for row in rows
    }
    for row in distinct_rows.values():
        options = {item.value: ParameterOption(item.value, item.name, item.icon) for item in row.options}
        existing = parameters.get((row.name, row.type))
        values = {} if existing is None else existing.values
        for value, count in {item.value: item.count for item in row.values}.items():
            values[value] = values.get(value, 0) + count
        if existing is not None:
            options = {item.value: item for item in existing.options} | options
        parameters[row.name, row.type] = ParameterUsage(
            row.name, row.type, row.display_name, values, tuple(options.values())
        )
    return tuple(parameters.values())


# Users ----------------------------------------------------------------------------------------------------


def normalize_activity(
    report: models.UserActivityReport, *, previous: ActivityReport | None = None
) -> ActivityReport:
    """Return the time of each user; ``before`` is what the question gave the last time."""
    users = report.users
    user_ids = _intern_all([user.user_id for user in users], (previous or EMPTY_ACTIVITY).seconds_by_user)
    return ActivityReport(
        {user_id: float(user.seconds) for user_id, user in zip(user_ids, users, strict=True)}
    )


def normalize_latency(
    report: models.UserLatencyReport,
    *,
    username_of: Callable[[str], str],
    user_filter: Callable[[str], bool] | None = None,
    previous: Latency | None = None,
) -> Latency:
    """Return the round trips of each user, once by name; of two accounts of one name the slower counts.

    ``before`` is what the question gave the last time, and is returned where it says the same.
    """
    previous = previous or EMPTY_LATENCY
    if user_filter is None and (usernames := _unique_usernames(report, previous.users)) is not None:
        # Of the same users most have the same numbers.
        p50, p95 = (previous.p50, previous.p95) if usernames is previous.users else ({}, {})
        p50 = _to_seconds(usernames, [user.latency_ms.p50 for user in report.users], previous=p50)
        p95 = _to_seconds(usernames, [user.latency_ms.p95 for user in report.users], previous=p95)
        unchanged = usernames is previous.users and p50 is previous.p50 and p95 is previous.p95
        return previous if unchanged else Latency(usernames, p50, p95)
    by_username: dict[str, UserLatency] = {}
    for user in report.users:
        username = intern(user.username or username_of(user.user_id))
        if user_filter is None or user_filter(username):
            row, existing = (
                UserLatency(username, user.p50_seconds, user.p95_seconds),
                by_username.get(username),
            )
            if existing is None or (existing.p50 or 0.0) < (row.p50 or 0.0):
                by_username[username] = row
    latency = Latency.from_rows(by_username.values())
    return previous if latency == previous else latency


def sum_by_username(seconds_by_user: Mapping[str, float], usernames: Collection[str]) -> dict[str, float]:
    """Return the seconds of users under their names, which come in the same order."""
    sums = dict(zip(usernames, seconds_by_user.values(), strict=True))
    if len(sums) < len(usernames):
        # Two who have one name count together.
        sums.clear()
        accumulate(sums, zip(usernames, seconds_by_user.values(), strict=True))
    return sums


def accumulate(sums: dict[K, float], items: Iterable[tuple[K, float]]) -> None:
    """Add numbers to those under the same keys."""
    for key, value in items:
        sums[key] = sums.get(key, 0.0) + value


def _unique_usernames(report: models.UserLatencyReport, previous: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names where each user has one and nobody else has the same."""
    usernames = tuple([user.username for user in report.users])
    if usernames == previous:
        return previous
    usernames = tuple(map(intern, usernames))
    distinct = set(usernames)
    return usernames if "" not in distinct and len(distinct) == len(usernames) else None


def _to_seconds(
    usernames: tuple[str, ...], milliseconds: list[float], *, previous: dict[str, float]
) -> dict[str, float]:
    """Return the times of those who have one; ``before`` are those of the same users the last time."""
    if min(milliseconds, default=0.0) <= 0.0:
        rows = zip(usernames, milliseconds, strict=True)
        positive = {username: value / 1000.0 for username, value in rows if value > 0.0}
        return previous if positive == previous else positive
    seconds = [value / 1000.0 for value in milliseconds]
    if len(previous) < len(seconds):
        return dict(zip(usernames, seconds, strict=True))
    pairs = zip(usernames, seconds, previous.values(), strict=True)
    changed = {username: value for username, value, previous_value in pairs if value != previous_value}
    return previous | changed if changed else previous


def _intern_all(strings: list[str], previous: Iterable[str]) -> list[str]:
    """Return the texts as objects that are there once, as the same come in many answers.

    Mostly they are those of the answer before, which is quicker to see than to look up each.
    """
    interned = list(previous)
    return interned if interned == strings else list(map(intern, strings))
