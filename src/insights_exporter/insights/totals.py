"""Totals since the anchor, served as monotonic counters.

A total is the sum over the settled days since the anchor plus the unsettled days. It depends on Coder's data
alone. Therefore a restarted process and a replica serve the same value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, Generic, TypeVar

from insights_exporter.insights.reports import UsageReport
from insights_exporter.insights.users import ActivityReport, accumulate

__all__ = ["AnchoredTotals", "MonotonicTotals"]

K = TypeVar("K", bound=Hashable)

AppKey = tuple[str, str]

DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class MonotonicTotals(Generic[K]):
    """Monotonic counters as last exported.

    A total that decreases in Coder is held at its highest value. A total that appears late is exported as 0
    once, because ``increase()`` ignores the first sample of a series. A total of 0 that Coder no longer
    reports is removed, because a restarted process would not export it either.
    """

    values: dict[K, float] = field(default_factory=dict)
    clamped: set[K] = field(default_factory=set)
    has_pending_zero: bool = False
    """Whether a total was exported as 0 in place of its value."""

    def update(self, totals: Mapping[K, float], *, starts_at_zero: bool) -> int:
        """Take all current totals; return how many of them newly decreased."""
        values, clamped, count_before = self.values, self.clamped, len(self.clamped)
        recovered = 0
        self.has_pending_zero = False
        for key, value in totals.items():
            previous = values.get(key)
            if previous is None:
                is_pending = starts_at_zero and value > 0
                self.has_pending_zero |= is_pending
                values[key] = 0.0 if is_pending else value
            elif value < previous:
                clamped.add(key)
            else:
                values[key] = value
                if key in clamped:
                    clamped.discard(key)
                    recovered += 1
        for key in values.keys() - totals.keys():
            if values[key] == 0:
                del values[key]
            else:
                clamped.add(key)
        return len(clamped) - count_before + recovered


@dataclass(frozen=True, slots=True)
class TotalsUpdate:
    """The exported totals, and how many newly decreased."""

    seconds: float
    apps: dict[AppKey, float]
    decrease_count: int


@dataclass(slots=True)
class AnchoredTotals:
    """The totals of one template, or of the deployment, since an anchor.

    ``created_after_start`` marks a template that did not exist when the exporter started. Its first totals
    are preceded by 0.
    """

    anchor: date
    since: datetime
    created_after_start: bool = False
    settled_through: date = field(init=False)
    settled_app_seconds: dict[AppKey, float] = field(default_factory=dict)
    settled_user_seconds: dict[str, float] = field(default_factory=dict)
    history_template_ids: frozenset[str] = frozenset()
    """The templates used from the anchor to the last reading of all settled days."""
    added_template_ids: list[tuple[date, date, frozenset[str]]] = field(default_factory=list)
    """The ranges added since: the day before the range, its last day, and its templates."""
    app_totals: MonotonicTotals[AppKey] = field(default_factory=MonotonicTotals[AppKey])
    user_totals: MonotonicTotals[str] = field(default_factory=MonotonicTotals[str])
    total_seconds: MonotonicTotals[str] = field(default_factory=MonotonicTotals[str])
    has_exported: bool = False

    def __post_init__(self) -> None:
        self.settled_through = self.anchor - DAY

    def add_settled_days(self, last_day: date, report: UsageReport, activity: ActivityReport) -> None:
        """Add the days after the settled ones up to and including ``last_day``."""
        if self.settled_through < self.anchor:
            self.replace_settled_days(last_day, report, activity)
            return
        app_seconds, user_seconds = dict(self.settled_app_seconds), dict(self.settled_user_seconds)
        accumulate(app_seconds, (((app.slug, app.type), app.seconds) for app in report.apps))
        accumulate(user_seconds, activity.seconds_by_user.items())
        self.settled_app_seconds, self.settled_user_seconds = app_seconds, user_seconds
        self.added_template_ids.append(
            (self.settled_through, last_day, frozenset(activity.users_by_template))
        )
        self.settled_through = last_day

    def replace_settled_days(self, last_day: date, report: UsageReport, activity: ActivityReport) -> None:
        """Take a reading of all days from the anchor to ``last_day``."""
        app_seconds: dict[AppKey, float] = {}
        accumulate(app_seconds, (((app.slug, app.type), app.seconds) for app in report.apps))
        if app_seconds != self.settled_app_seconds:
            self.settled_app_seconds = app_seconds
        if activity.seconds_by_user != self.settled_user_seconds:
            self.settled_user_seconds = dict(activity.seconds_by_user)
        self.history_template_ids = frozenset(activity.users_by_template)
        if last_day > self.settled_through:
            # The added ranges no longer reach the last settled day.
            self.added_template_ids.clear()
            self.settled_through = last_day

    def template_ids_since(self, day: date) -> frozenset[str]:
        """Return the templates used on the settled days after ``day``, or more if these are unknown."""
        if day >= self.settled_through:
            return frozenset()
        added = [one for one in self.added_template_ids if one[1] > day]
        template_ids = frozenset[str]().union(*(ids for _, _, ids in added))
        is_covered = bool(added) and added[0][0] <= day
        return template_ids if is_covered else template_ids | self.history_template_ids

    def update(
        self, unsettled_days: Iterable[tuple[UsageReport, ActivityReport]], *, known_apps: Iterable[AppKey]
    ) -> TotalsUpdate:
        """Take the responses for the unsettled days, and return the totals to export."""
        apps, users = (
            dict.fromkeys(known_apps, 0.0) | self.settled_app_seconds,
            dict(self.settled_user_seconds),
        )
        for report, activity in unsettled_days:
            accumulate(apps, (((app.slug, app.type), app.seconds) for app in report.apps))
            accumulate(users, activity.seconds_by_user.items())
        starts_at_zero = self.starts_at_zero
        decrease_count = (
            self.app_totals.update(apps, starts_at_zero=starts_at_zero)
            + self.user_totals.update(users, starts_at_zero=starts_at_zero)
            + self.total_seconds.update({"": sum(users.values())}, starts_at_zero=starts_at_zero)
        )
        self.has_exported = True
        return TotalsUpdate(self.total_seconds.values[""], dict(self.app_totals.values), decrease_count)

    @property
    def starts_at_zero(self) -> bool:
        """Whether a total that appears now did not exist at the previous poll."""
        return self.has_exported or self.created_after_start

    def used_apps(self) -> Iterator[AppKey]:
        """Yield the apps that have a total."""
        yield from self.settled_app_seconds
        yield from (
            key
            for key, seconds in self.app_totals.values.items()
            if seconds and key not in self.settled_app_seconds
        )

    @property
    def has_pending_zero(self) -> bool:
        """Whether a total was exported as 0 in place of its value."""
        return (
            self.app_totals.has_pending_zero
            or self.user_totals.has_pending_zero
            or self.total_seconds.has_pending_zero
        )
