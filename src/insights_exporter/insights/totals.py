"""Anchored totals: what was counted since a fixed day, served so that it never falls.

A total is the sum over all closed days since the anchor plus the open days so far. It depends on Coder's
numbers alone, so a restarted process and a replica serve the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Generic, TypeVar

from insights_exporter.collectors.moves import DeltaCache
from insights_exporter.insights.normalization import ActivityReport, UsageReport, accumulate
from insights_exporter.insights.usernames import ResolvedUsernames

__all__ = ["AnchoredTotals", "MonotonicTotals"]

K = TypeVar("K", bound=Hashable)

AppKey = tuple[str, str]


@dataclass(slots=True)
class MonotonicTotals(Generic[K]):
    """Totals as they were last served.

    A total that falls is held at its height. One that appears late is served as 0 once before its value, or
    Prometheus' ``increase`` would lose that value.
    """

    values: dict[K, float] = field(default_factory=dict)
    clamped: set[K] = field(default_factory=set)
    has_pending_zero: bool = False
    """Whether some total waits at 0 for its value."""

    def update(self, totals: Mapping[K, float], *, starts_at_zero: bool) -> int:
        """Take all totals found now; return how many of them have newly fallen."""
        values, decrease_count = self.values, self._update_values(totals, starts_at_zero=starts_at_zero)
        missing_keys = values.keys() - totals.keys() if len(values) > len(totals) else ()
        for key in missing_keys:
            if values[key] > 0 and key not in self.clamped:
                self.clamped.add(key)
                decrease_count += 1
        return decrease_count

    @property
    def is_exact(self) -> bool:
        """Whether what is served is what was found: nothing is held, and nothing waits."""
        return not self.clamped and not self.has_pending_zero

    def apply_deltas(self, deltas: Mapping[K, float], *, starts_at_zero: bool) -> tuple[dict[K, float], int]:
        """Take by how much some totals moved since they were found even.

        Return by how much what is served did, and how many have newly fallen.
        """
        values = self.values
        previous = {key: values.get(key, 0.0) for key in deltas}
        decrease_count = self._update_values(
            {key: previous[key] + deltas[key] for key in deltas}, starts_at_zero=starts_at_zero
        )
        return {key: values[key] - previous[key] for key in deltas}, decrease_count

    def _update_values(self, totals: Mapping[K, float], *, starts_at_zero: bool) -> int:
        values, decrease_count = self.values, 0
        self.has_pending_zero = False
        # Few totals move between two polls.
        rows = zip(totals, totals.values(), map(values.get, totals), strict=True)
        for key, value, previous in [row for row in rows if row[1] != row[2] or self.clamped]:
            if previous is None:
                is_pending = starts_at_zero and value > 0
                self.has_pending_zero |= is_pending
                values[key] = 0.0 if is_pending else value
            elif value >= previous:
                values[key] = value
                self.clamped.discard(key)
            elif key not in self.clamped:
                self.clamped.add(key)
                decrease_count += 1
        return decrease_count


@dataclass(frozen=True, slots=True)
class TotalsUpdate:
    """Totals as they are served now, how many have newly fallen, and by how much users moved where known."""

    seconds: float
    apps: dict[AppKey, float]
    decrease_count: int
    user_deltas: Mapping[str, float] | None


@dataclass(slots=True)
class AnchoredTotals:
    """The totals of one template, or of the deployment, since an anchor.

    ``newborn`` says that what it counts did not exist when the exporter began, so that even its first totals
    are preceded by 0. ``extensions`` are the closed parts in the order in which they came: up to which day,
    and which templates were used. ``roll`` names the users who have a total.
    """

    anchor: date
    since: datetime
    created_after_start: bool = False
    settled_through: date = field(init=False)
    settled_app_seconds: dict[AppKey, float] = field(default_factory=dict)
    settled_user_seconds: dict[str, float] = field(default_factory=dict)
    settled_template_ids: list[tuple[date, frozenset[str]]] = field(default_factory=list)
    app_totals: MonotonicTotals[AppKey] = field(default_factory=MonotonicTotals[AppKey])
    user_totals: MonotonicTotals[str] = field(default_factory=MonotonicTotals[str])
    total_seconds: MonotonicTotals[str] = field(default_factory=MonotonicTotals[str])
    resolved_usernames: ResolvedUsernames = field(default_factory=ResolvedUsernames)
    has_exported: bool = False
    last_activity: tuple[date, tuple[ActivityReport, ...]] | None = None
    """What the users' totals were last made of: closed days up to which, and open ones."""

    def __post_init__(self) -> None:
        self.settled_through = self.anchor - timedelta(days=1)

    def add_settled_days(self, last_day: date, report: UsageReport, activity: ActivityReport) -> None:
        """Add closed days up to and with ``through``."""
        accumulate(self.settled_app_seconds, (((app.slug, app.type), app.seconds) for app in report.apps))
        accumulate(self.settled_user_seconds, activity.seconds_by_user.items())
        self.settled_template_ids.append((last_day, report.active_template_ids))
        self.settled_through = last_day

    def update(
        self,
        unsettled_days: Iterable[tuple[UsageReport, ActivityReport]],
        *,
        known_apps: Iterable[AppKey],
        delta_cache: DeltaCache,
    ) -> TotalsUpdate:
        """Take the open days, and return what is served then."""
        apps, activities = dict.fromkeys(known_apps, 0.0) | self.settled_app_seconds, []
        for report, activity in unsettled_days:
            accumulate(apps, (((app.slug, app.type), app.seconds) for app in report.apps))
            activities.append(activity)
        app_decreases = self.app_totals.update(apps, starts_at_zero=self.starts_at_zero)
        user_deltas, user_decreases = self._update_users(tuple(activities), delta_cache)
        self.has_exported = True
        return TotalsUpdate(
            self.total_seconds.values[""],
            dict(self.app_totals.values),
            app_decreases + user_decreases,
            user_deltas,
        )

    def _update_users(
        self, activities: tuple[ActivityReport, ...], delta_cache: DeltaCache
    ) -> tuple[Mapping[str, float] | None, int]:
        """Take the users of the open days; return by how much they moved if known, and how many fell."""
        previous, self.last_activity = self.last_activity, (self.settled_through, activities)
        same_settled_days = previous is not None and previous[0] == self.settled_through
        is_exact = self.user_totals.is_exact and self.total_seconds.is_exact
        deltas = (
            delta_cache.delta(previous[1], activities)
            if previous is not None and same_settled_days and is_exact
            else None
        )
        if deltas is None:
            users = dict(self.settled_user_seconds)
            for activity in activities:
                accumulate(users, activity.seconds_by_user.items())
            decrease_count = self.user_totals.update(users, starts_at_zero=self.starts_at_zero)
            return None, decrease_count + self._update_seconds(sum(users.values()))
        user_deltas, decrease_count = self.user_totals.apply_deltas(
            deltas, starts_at_zero=self.starts_at_zero
        )
        return user_deltas, decrease_count + self._update_seconds(
            self.total_seconds.values[""] + sum(deltas.values())
        )

    def _update_seconds(self, seconds: float) -> int:
        return self.total_seconds.update({"": seconds}, starts_at_zero=self.starts_at_zero)

    @property
    def starts_at_zero(self) -> bool:
        """Whether a total that appears now did not exist before."""
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
        """Whether some total waits at 0 for its value."""
        return (
            self.app_totals.has_pending_zero
            or self.user_totals.has_pending_zero
            or self.total_seconds.has_pending_zero
        )
