"""Totals since the anchor, served as monotonic counters.

A total is the sum over the settled days since the anchor plus the unsettled days. It depends on Coder's data
alone. Therefore a restarted process and a replica serve the same value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, Generic, TypeVar

from insights_exporter.insights.normalization import ActivityReport, UsageReport, accumulate
from insights_exporter.insights.usernames import ResolvedUsernames

__all__ = ["AnchoredTotals", "DeltaCache", "MonotonicTotals"]

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
        values, decrease_count = self.values, self._update_values(totals, starts_at_zero=starts_at_zero)
        missing_keys = values.keys() - totals.keys() if len(values) > len(totals) else ()
        for key in missing_keys:
            if values[key] == 0:
                del values[key]
            elif key not in self.clamped:
                self.clamped.add(key)
                decrease_count += 1
        return decrease_count

    @property
    def is_exact(self) -> bool:
        """Whether every exported value equals Coder's."""
        return not self.clamped and not self.has_pending_zero

    def apply_deltas(self, deltas: Mapping[K, float], *, starts_at_zero: bool) -> tuple[dict[K, float], int]:
        """Add changes to exact totals; return the changes of the exported values, and how many decreased."""
        values = self.values
        previous = {key: values.get(key, 0.0) for key in deltas}
        decrease_count = self._update_values(
            {key: previous[key] + deltas[key] for key in deltas}, starts_at_zero=starts_at_zero
        )
        return {key: values[key] - previous[key] for key in deltas}, decrease_count

    def _update_values(self, totals: Mapping[K, float], *, starts_at_zero: bool) -> int:
        values, decrease_count = self.values, 0
        self.has_pending_zero = False
        # Most totals are unchanged between two polls.
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
    """The exported totals, how many newly decreased, and the changes by user if known."""

    seconds: float
    apps: dict[AppKey, float]
    decrease_count: int
    user_deltas: Mapping[str, float] | None


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
    resolved_usernames: ResolvedUsernames = field(default_factory=ResolvedUsernames)
    has_exported: bool = False
    last_activity: tuple[object, tuple[ActivityReport, ...]] | None = None
    """The inputs of the last user totals: the settled part and the activity of each unsettled day."""

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
        self,
        unsettled_days: Iterable[tuple[UsageReport, ActivityReport]],
        *,
        known_apps: Iterable[AppKey],
        delta_cache: DeltaCache,
    ) -> TotalsUpdate:
        """Take the responses for the unsettled days, and return the totals to export."""
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
        """Update the user totals; return their changes if known, and how many decreased."""
        settled = self.settled_user_seconds
        previous, self.last_activity = self.last_activity, (settled, activities)
        is_exact = self.user_totals.is_exact and self.total_seconds.is_exact
        deltas = (
            delta_cache.delta(previous[1], activities)
            if previous is not None and previous[0] is settled and is_exact
            else None
        )
        if deltas is None:
            users = dict(settled)
            for activity in activities:
                accumulate(users, activity.seconds_by_user.items())
            count_before = len(self.user_totals.values.keys() | users.keys())
            decrease_count = self.user_totals.update(users, starts_at_zero=self.starts_at_zero)
            if len(self.user_totals.values) < count_before:
                # A user was removed; resolved names are aligned with the users that remain.
                self.resolved_usernames = ResolvedUsernames()
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


class DeltaCache:
    """Caches the change between two activity responses, because several windows share a response."""

    def __init__(self) -> None:
        self._cache: dict[
            tuple[int, int], tuple[ActivityReport, ActivityReport, Mapping[str, float] | None]
        ] = {}

    def delta(
        self, previous: Sequence[ActivityReport], current: Sequence[ActivityReport]
    ) -> Mapping[str, float] | None:
        """Return the change of each user's sum, by user id; a new user is included even with 0.

        Return None if a user disappeared or the number of ranges changed. Then the sums must be computed
        anew.
        """
        if len(previous) != len(current):
            return None
        total: Mapping[str, float] = {}
        for old, new in zip(previous, current, strict=True):
            delta = {} if old is new else self._cached_delta(old, new)
            if delta is None:
                return None
            total = _add_deltas(total, delta)
        return total

    def _cached_delta(self, old: ActivityReport, new: ActivityReport) -> Mapping[str, float] | None:
        key = id(old), id(new)
        if key not in self._cache:
            # Keep references: after garbage collection, other objects could have the same ids.
            self._cache[key] = old, new, _compute_delta(old.seconds_by_user, new.seconds_by_user)
        return self._cache[key][2]


def _compute_delta(old: Mapping[str, float], new: Mapping[str, float]) -> Mapping[str, float] | None:
    if not old.keys() <= new.keys():
        return None
    rows = zip(new, new.values(), map(old.get, new), strict=True)
    return {
        user_id: seconds - (previous or 0.0) for user_id, seconds, previous in rows if seconds != previous
    }


def _add_deltas(left: Mapping[str, float], right: Mapping[str, float]) -> Mapping[str, float]:
    if not left or not right:
        return left or right
    total = dict(left)
    accumulate(total, right.items())
    return total
