"""Coder's answers to the three questions, brought into one form: each app, parameter and user once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from sys import intern
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from insights_exporter.coder import responses
from insights_exporter.collectors.names import Names, Roll
from insights_exporter.collectors.plan import Ask
from insights_exporter.snapshot import AppUse, Latency, ParameterOption, ParameterUse, UserLatency

__all__ = [
    "BUILTIN",
    "NO_ACTIVITY",
    "NO_LATENCY",
    "NO_REPORT",
    "Activity",
    "Part",
    "Report",
    "activity_part",
    "add",
    "by_name",
    "latency_part",
    "report_part",
]

K = TypeVar("K", bound=Hashable)

BUILTIN: Mapping[str, tuple[str, str]] = {
    "vscode": ("Visual Studio Code", "/icon/code.svg"),
    "jetbrains": ("JetBrains", "/icon/intellij.svg"),
    "reconnecting-pty": ("Web Terminal", "/icon/terminal.svg"),
    "ssh": ("SSH", "/icon/terminal.svg"),
    "sftp": ("SFTP", "/icon/terminal.svg"),
}
"""Name and icon of the apps that every template has."""


class Report(Struct, frozen=True):
    """Users, apps and parameters of a range.

    ``counts[n]`` are the active users ``n`` intervals ago. ``used`` are the templates with usage in the
    range; ``shown`` adds those that appear with parameters only.
    """

    active_users: int | None = 0
    apps: tuple[AppUse, ...] = ()
    parameters: tuple[ParameterUse, ...] = ()
    counts: tuple[int | None, ...] = ()
    used: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Activity:
    """Seconds by user id, which stays where a name may change, so that ranges can be added."""

    users: Mapping[str, float] = field(default_factory=dict)
    roll: Roll = field(default_factory=Roll, compare=False, repr=False)

    def by_name(self, names: Names) -> dict[str, float]:
        """Return the seconds by name."""
        return by_name(self.users, self.roll.call(self.users, names))


Part: TypeAlias = Report | Activity | Latency

NO_REPORT = Report()
NO_ACTIVITY = Activity()
NO_LATENCY = Latency()


# Reports --------------------------------------------------------------------------------------------------


def report_part(answer: responses.TemplateInsights, ask: Ask) -> Report:
    """Return the report of a range; what the question did not ask for is empty."""
    counts = _counts(answer.interval_reports, ask)
    in_intervals = [one for interval in answer.interval_reports for one in interval.template_ids]
    report = answer.report
    if report is None:
        ids = frozenset(in_intervals)
        return Report(active_users=None, counts=counts, used=ids, shown=ids)
    used = frozenset([*report.template_ids, *in_intervals])
    with_parameters = [one for usage in report.parameters_usage for one in usage.template_ids]
    return Report(
        active_users=report.active_users,
        apps=_apps(report.apps_usage),
        parameters=_parameters(report.parameters_usage),
        counts=counts,
        used=used,
        shown=used | frozenset(with_parameters),
    )


def _counts(intervals: Iterable[responses.IntervalReport], ask: Ask) -> tuple[int | None, ...]:
    counts: list[int | None] = [None] * ask.intervals
    step = timedelta(days=7 if ask.interval == "week" else 1)
    for interval in intervals:
        place = len(counts) - 1 - (interval.start_time - ask.window.start) // step
        if 0 <= place < len(counts):
            counts[place] = interval.active_users
    return tuple(counts)


def _apps(rows: Iterable[responses.AppUsage]) -> tuple[AppUse, ...]:
    """Return each app once: where a slug has two names, its times belong together."""
    found: dict[tuple[str, str], AppUse] = {}
    seen: set[tuple[str, str, str, str]] = set()
    # The row with most time gives name and icon; ties go by name, so that all replicas agree.
    for row in sorted(rows, key=lambda row: (-row.seconds, row.display_name, row.icon)):
        kind = row.type or ("builtin" if row.slug in BUILTIN else "app")
        # Coder tells apps apart by these; a row that comes twice is one row.
        if (same := (row.slug, kind, row.display_name, row.icon)) in seen:
            continue
        seen.add(same)
        known = found.get((row.slug, kind))
        if known is None:
            found[row.slug, kind] = AppUse(
                row.slug, kind, float(row.seconds), row.times_used, row.display_name, row.icon
            )
        else:
            opens = None if known.opens is None else known.opens + (row.times_used or 0)
            found[row.slug, kind] = msgspec.structs.replace(
                known, seconds=known.seconds + row.seconds, opens=opens
            )
    return tuple(found[key] for key in sorted(found))


def _parameters(rows: Iterable[responses.ParameterUsage]) -> tuple[ParameterUse, ...]:
    """Return each parameter once: template versions that declare it otherwise count together."""
    found: dict[tuple[str, str], ParameterUse] = {}
    # Coder tells declarations apart by these; a row that comes twice is one row.
    declared = {
        (row.name, row.type, row.display_name, row.description, tuple(row.options)): row for row in rows
    }
    for row in declared.values():
        options = {one.value: ParameterOption(one.value, one.name, one.icon) for one in row.options}
        known = found.get((row.name, row.type))
        values = {} if known is None else known.values
        for value, count in {one.value: one.count for one in row.values}.items():
            values[value] = values.get(value, 0) + count
        if known is not None:
            options = {one.value: one for one in known.options} | options
        found[row.name, row.type] = ParameterUse(
            row.name, row.type, row.display_name, values, tuple(options.values())
        )
    return tuple(found.values())


# Users ----------------------------------------------------------------------------------------------------


def activity_part(report: responses.UserActivityReport, *, before: Activity | None = None) -> Activity:
    """Return the time of each user; ``before`` is what the question gave the last time."""
    users = report.users
    ids = _once([user.user_id for user in users], (before or NO_ACTIVITY).users)
    return Activity({one: float(user.seconds) for one, user in zip(ids, users, strict=True)})


def latency_part(
    report: responses.LatencyReport,
    *,
    name_of: Callable[[str], str],
    admits: Callable[[str], bool] | None = None,
    before: Latency | None = None,
) -> Latency:
    """Return the round trips of each user, once by name; of two accounts of one name the slower counts.

    ``before`` is what the question gave the last time, and is returned where it says the same.
    """
    before = before or NO_LATENCY
    if admits is None and (names := _names_once(report, before.users)) is not None:
        # Of the same users most have the same numbers.
        p50, p95 = (before.p50, before.p95) if names is before.users else ({}, {})
        p50 = _seconds(names, [user.latency_ms.p50 for user in report.users], before=p50)
        p95 = _seconds(names, [user.latency_ms.p95 for user in report.users], before=p95)
        same = names is before.users and p50 is before.p50 and p95 is before.p95
        return before if same else Latency(names, p50, p95)
    found: dict[str, UserLatency] = {}
    for user in report.users:
        name = intern(user.username or name_of(user.user_id))
        if admits is None or admits(name):
            row, known = UserLatency(name, user.p50_seconds, user.p95_seconds), found.get(name)
            if known is None or (known.p50 or 0.0) < (row.p50 or 0.0):
                found[name] = row
    part = Latency.of(found.values())
    return before if part == before else part


def by_name(users: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    """Return the seconds of users under their names, which come in the same order."""
    named = dict(zip(names, users.values(), strict=True))
    if len(named) < len(names):
        # Two who have one name count together.
        named.clear()
        add(named, zip(names, users.values(), strict=True))
    return named


def add(sums: dict[K, float], more: Iterable[tuple[K, float]]) -> None:
    """Add numbers to those under the same keys."""
    for key, value in more:
        sums[key] = sums.get(key, 0.0) + value


def _names_once(report: responses.LatencyReport, before: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names where each user has one and nobody else has the same."""
    names = tuple([user.username for user in report.users])
    if names == before:
        return before
    names = tuple(map(intern, names))
    each = set(names)
    return names if "" not in each and len(each) == len(names) else None


def _seconds(
    names: tuple[str, ...], milliseconds: list[float], *, before: dict[str, float]
) -> dict[str, float]:
    """Return the times of those who have one; ``before`` are those of the same users the last time."""
    if min(milliseconds, default=0.0) <= 0.0:
        rows = zip(names, milliseconds, strict=True)
        found = {name: one / 1000.0 for name, one in rows if one > 0.0}
        return before if found == before else found
    seconds = [one / 1000.0 for one in milliseconds]
    if len(before) < len(seconds):
        return dict(zip(names, seconds, strict=True))
    both = zip(names, seconds, before.values(), strict=True)
    moved = {name: one for name, one, other in both if one != other}
    return before | moved if moved else before


def _once(texts: list[str], before: Iterable[str]) -> list[str]:
    """Return the texts as objects that are there once, as the same come in many answers.

    Mostly they are those of the answer before, which is quicker to see than to look up each.
    """
    known = list(before)
    return known if known == texts else list(map(intern, texts))
