"""Normalized insights responses: each app, parameter and user occurs once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from insights_exporter.coder import models
from insights_exporter.collectors.base import merge_options
from insights_exporter.insights.usernames import ResolvedUsernames, UsernameIndex
from insights_exporter.snapshot import AppUsage, Latency, ParameterUsage, UserLatency

__all__ = [
    "BUILTIN_APPS",
    "EMPTY_ACTIVITY",
    "EMPTY_LATENCY",
    "EMPTY_REPORT",
    "ActivityReport",
    "LatencyReport",
    "NormalizedResponse",
    "UsageReport",
    "accumulate",
    "normalize_activity",
    "normalize_latency",
    "normalize_report",
    "sum_by_username",
]

K = TypeVar("K", bound=Hashable)

BUILTIN_APPS: Final[Mapping[str, tuple[str, str]]] = {
    "vscode": ("Visual Studio Code", "/icon/code.svg"),
    "jetbrains": ("JetBrains", "/icon/intellij.svg"),
    "reconnecting-pty": ("Web Terminal", "/icon/terminal.svg"),
    "ssh": ("SSH", "/icon/terminal.svg"),
    "sftp": ("SFTP", "/icon/terminal.svg"),
}
"""Display name and icon of the apps of every template, by slug."""


class UsageReport(Struct, frozen=True):
    """Apps and parameters of a range; ``mentioned_template_ids`` are templates with use or parameters."""

    apps: tuple[AppUsage, ...] = ()
    parameters: tuple[ParameterUsage, ...] = ()
    mentioned_template_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """Seconds by user id. User ids are stable, so that ranges can be added although usernames change.

    ``users_by_template`` and ``multi_template_users`` are known for deployment-wide responses only.
    """

    seconds_by_user: Mapping[str, float] = field(default_factory=dict)
    users_by_template: Mapping[str, frozenset[str]] = field(default_factory=dict)
    multi_template_users: frozenset[str] = frozenset()
    resolved_usernames: ResolvedUsernames = field(
        default_factory=ResolvedUsernames, compare=False, repr=False
    )

    def by_username(self, index: UsernameIndex) -> dict[str, float]:
        """Return the seconds by username."""
        return sum_by_username(
            self.seconds_by_user, self.resolved_usernames.resolve(self.seconds_by_user, index)
        )


@dataclass(slots=True, eq=False)
class LatencyReport:
    """The latency of users; ``user_ids`` are in the order of ``latency.users``.

    ``rows`` keeps the response if users share a name or are filtered, so that it can be resolved anew.
    """

    user_ids: tuple[str, ...] = ()
    latency: Latency = field(default_factory=Latency)
    rows: tuple[models.UserLatency, ...] | None = None
    version: object = None
    """The version of the username index that ``latency`` was resolved with."""

    def by_username(self, index: UsernameIndex, user_filter: Callable[[str], bool] | None) -> Latency:
        """Return the latency under current usernames; the same object while these are unchanged."""
        if self.version is index.version:
            return self.latency
        self.version = index.version
        if self.rows is not None:
            self.latency = _merge_latency(self.rows, index, user_filter, self.latency)
        elif self.user_ids and not index.matches(self.user_ids, list(self.latency.users)):
            self.latency = _rename_latency(self.user_ids, self.latency, index)
        return self.latency


NormalizedResponse: TypeAlias = UsageReport | ActivityReport | LatencyReport

EMPTY_REPORT: Final = UsageReport()
EMPTY_ACTIVITY: Final = ActivityReport()
EMPTY_LATENCY: Final = LatencyReport()


# Reports --------------------------------------------------------------------------------------------------


def normalize_report(response: models.TemplateInsights) -> UsageReport:
    """Return the report of a range."""
    report = response.report or models.TemplateReport()
    parameter_template_ids = [
        template_id for usage in report.parameters_usage for template_id in usage.template_ids
    ]
    return UsageReport(
        apps=_merge_apps(report.apps_usage),
        parameters=_merge_parameters(report.parameters_usage),
        mentioned_template_ids=frozenset([*report.template_ids, *parameter_template_ids]),
    )


def _merge_apps(rows: Iterable[models.AppUsage]) -> tuple[AppUsage, ...]:
    """Return each app once; rows of one slug with different names are added."""
    apps: dict[tuple[str, str], AppUsage] = {}
    seen_rows: set[tuple[str, str, str, str]] = set()
    # The row with the most seconds determines name and icon. The rest of the sort key makes replicas agree.
    for row in sorted(rows, key=lambda row: (-row.seconds, row.display_name, row.icon)):
        app_type = row.type or ("builtin" if row.slug in BUILTIN_APPS else "app")
        # These fields identify a row in Coder; a repeated row is counted once.
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
    """Return each parameter once; rows of different declarations are added."""
    parameters: dict[tuple[str, str], ParameterUsage] = {}
    # These fields identify a row in Coder; a repeated row is counted once.
    distinct_rows = {
        (row.name, row.type, row.display_name, row.description, tuple(row.options)): row for row in rows
    }
    for row in distinct_rows.values():
        existing = parameters.get((row.name, row.type))
        values = {} if existing is None else existing.values
        for value, count in {item.value: item.count for item in row.values}.items():
            values[value] = values.get(value, 0) + count
        options = merge_options(() if existing is None else existing.options, row.options)
        parameters[row.name, row.type] = ParameterUsage(row.name, row.type, row.display_name, values, options)
    return tuple(parameters.values())


# Users ----------------------------------------------------------------------------------------------------


def normalize_activity(
    report: models.UserActivityReport, *, previous: ActivityReport | None = None, by_template: bool = False
) -> ActivityReport:
    """Return the seconds of each user; ``by_template`` adds the users of each template.

    ``previous`` is the last response to the same query. Its user ids are reused as objects.
    """
    users = report.users
    user_ids = _intern_all([user.user_id for user in users], (previous or EMPTY_ACTIVITY).seconds_by_user)
    seconds = {user_id: float(user.seconds) for user_id, user in zip(user_ids, users, strict=True)}
    if not by_template:
        return ActivityReport(seconds)
    users_by_template: dict[str, set[str]] = {}
    multi_template_users = set()
    for user_id, user in zip(user_ids, users, strict=True):
        for template_id in user.template_ids:
            users_by_template.setdefault(template_id, set()).add(user_id)
        if len(user.template_ids) > 1:
            multi_template_users.add(user_id)
    return ActivityReport(
        seconds,
        {template_id: frozenset(ids) for template_id, ids in users_by_template.items()},
        frozenset(multi_template_users),
    )


def normalize_latency(
    report: models.UserLatencyReport,
    *,
    index: UsernameIndex,
    user_filter: Callable[[str], bool] | None = None,
    previous: LatencyReport | None = None,
) -> LatencyReport:
    """Return the latency by username; of two accounts with one name, the slower counts.

    ``previous`` is the last response to the same query, and is returned if it is equal.
    """
    previous = previous or EMPTY_LATENCY
    usernames = _unique_usernames(report, previous.latency.users) if user_filter is None else None
    if usernames is None:
        rows = tuple(report.users)
        latency = _merge_latency(rows, index, user_filter, previous.latency)
        if previous.rows == rows and latency is previous.latency:
            return previous
        return LatencyReport((), latency, rows)
    last = previous.latency
    # Of the same users, most have unchanged values.
    p50, p95 = (last.p50, last.p95) if usernames is last.users else ({}, {})
    p50 = _to_seconds(usernames, [user.latency_ms.p50 for user in report.users], previous=p50)
    p95 = _to_seconds(usernames, [user.latency_ms.p95 for user in report.users], previous=p95)
    user_ids = tuple(_intern_all([user.user_id for user in report.users], previous.user_ids))
    if user_ids == previous.user_ids and usernames is last.users and p50 is last.p50 and p95 is last.p95:
        return previous
    return LatencyReport(user_ids, Latency(usernames, p50, p95))


def _merge_latency(
    rows: Iterable[models.UserLatency],
    index: UsernameIndex,
    user_filter: Callable[[str], bool] | None,
    previous: Latency,
) -> Latency:
    """Return the latency of admitted users; ``previous`` if it is equal."""
    by_username: dict[str, UserLatency] = {}
    for user in rows:
        username = index.username(user.user_id)
        if user_filter is None or user_filter(username):
            _keep_slower(by_username, UserLatency(username, user.p50_seconds, user.p95_seconds))
    latency = Latency.from_rows(by_username.values())
    return previous if latency == previous else latency


def _rename_latency(user_ids: Iterable[str], latency: Latency, index: UsernameIndex) -> Latency:
    by_username: dict[str, UserLatency] = {}
    for user_id, old in zip(user_ids, latency.users, strict=True):
        _keep_slower(
            by_username, UserLatency(index.username(user_id), latency.p50.get(old), latency.p95.get(old))
        )
    return Latency.from_rows(by_username.values())


def _keep_slower(by_username: dict[str, UserLatency], row: UserLatency) -> None:
    existing = by_username.get(row.username)
    if existing is None or (existing.p50 or 0.0) < (row.p50 or 0.0):
        by_username[row.username] = row


def sum_by_username(seconds_by_user: Mapping[str, float], usernames: Collection[str]) -> dict[str, float]:
    """Return the seconds by username; ``usernames`` are in the order of the users."""
    sums = dict(zip(usernames, seconds_by_user.values(), strict=True))
    if len(sums) < len(usernames):
        # Two accounts have the same name.
        sums.clear()
        accumulate(sums, zip(usernames, seconds_by_user.values(), strict=True))
    return sums


def accumulate(sums: dict[K, float], items: Iterable[tuple[K, float]]) -> None:
    """Add each number to the sum of its key."""
    for key, value in items:
        sums[key] = sums.get(key, 0.0) + value


def _unique_usernames(report: models.UserLatencyReport, previous: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the usernames if each user has a name of its own; None otherwise."""
    usernames = tuple([user.username for user in report.users])
    if usernames == previous:
        return previous
    usernames = tuple(map(intern, usernames))
    distinct = set(usernames)
    return usernames if "" not in distinct and len(distinct) == len(usernames) else None


def _to_seconds(
    usernames: tuple[str, ...], milliseconds: list[float], *, previous: dict[str, float]
) -> dict[str, float]:
    """Return the measured values in seconds; ``previous`` are the last values of the same users."""
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
    """Return interned strings, because many responses contain the same ones.

    Comparing with those of the previous response is faster than interning each.
    """
    interned = list(previous)
    return interned if interned == strings else list(map(intern, strings))
