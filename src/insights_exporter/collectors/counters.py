"""Anchored totals: what was counted since a fixed day, served so that it never falls.

A total is the sum over all closed days since the anchor plus the open days so far. It depends on Coder's
numbers alone, so a restarted process and a replica serve the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Generic, TypeVar

from insights_exporter.collectors.moves import Moves
from insights_exporter.collectors.names import Roll
from insights_exporter.collectors.parts import Activity, Report, add

__all__ = ["Counters", "Ledger"]

K = TypeVar("K", bound=Hashable)

AppKey = tuple[str, str]


@dataclass(slots=True)
class Counters(Generic[K]):
    """Totals as they were last served.

    A total that falls is held at its height. One that appears late is served as 0 once before its value, or
    Prometheus' ``increase`` would lose that value.
    """

    served: dict[K, float] = field(default_factory=dict)
    held: set[K] = field(default_factory=set)
    begun: bool = False
    """Whether some total waits at 0 for its value."""

    def serve(self, found: Mapping[K, float], *, zero_first: bool) -> int:
        """Take all totals found now; return how many of them have newly fallen."""
        served, fallen = self.served, self._take(found, zero_first=zero_first)
        missing = served.keys() - found.keys() if len(served) > len(found) else ()
        for key in missing:
            if served[key] > 0 and key not in self.held:
                self.held.add(key)
                fallen += 1
        return fallen

    @property
    def even(self) -> bool:
        """Whether what is served is what was found: nothing is held, and nothing waits."""
        return not self.held and not self.begun

    def advance(self, moved: Mapping[K, float], *, zero_first: bool) -> tuple[dict[K, float], int]:
        """Take by how much some totals moved since they were found even.

        Return by how much what is served did, and how many have newly fallen.
        """
        served = self.served
        before = {key: served.get(key, 0.0) for key in moved}
        fallen = self._take({key: before[key] + moved[key] for key in moved}, zero_first=zero_first)
        return {key: served[key] - before[key] for key in moved}, fallen

    def _take(self, found: Mapping[K, float], *, zero_first: bool) -> int:
        served, fallen = self.served, 0
        self.begun = False
        # Few totals move between two polls.
        rows = zip(found, found.values(), map(served.get, found), strict=True)
        for key, value, before in [row for row in rows if row[1] != row[2] or self.held]:
            if before is None:
                begins = zero_first and value > 0
                self.begun |= begins
                served[key] = 0.0 if begins else value
            elif value >= before:
                served[key] = value
                self.held.discard(key)
            elif key not in self.held:
                self.held.add(key)
                fallen += 1
        return fallen


@dataclass(frozen=True, slots=True)
class Found:
    """Totals as they are served now, how many have newly fallen, and by how much users moved where known."""

    seconds: float
    apps: dict[AppKey, float]
    fallen: int
    steps: Mapping[str, float] | None


@dataclass(slots=True)
class Ledger:
    """The totals of one template, or of the deployment, since an anchor.

    ``newborn`` says that what it counts did not exist when the exporter began, so that even its first totals
    are preceded by 0. ``extensions`` are the closed parts in the order in which they came: up to which day,
    and which templates were used. ``roll`` names the users who have a total.
    """

    anchor: date
    since: datetime
    newborn: bool = False
    closed_through: date = field(init=False)
    apps: dict[AppKey, float] = field(default_factory=dict)
    users: dict[str, float] = field(default_factory=dict)
    extensions: list[tuple[date, frozenset[str]]] = field(default_factory=list)
    served_apps: Counters[AppKey] = field(default_factory=Counters[AppKey])
    served_users: Counters[str] = field(default_factory=Counters[str])
    served_seconds: Counters[str] = field(default_factory=Counters[str])
    roll: Roll = field(default_factory=Roll)
    primed: bool = False
    counted: tuple[date, tuple[Activity, ...]] | None = None
    """What the users' totals were last made of: closed days up to which, and open ones."""

    def __post_init__(self) -> None:
        self.closed_through = self.anchor - timedelta(days=1)

    def close(self, through: date, report: Report, activity: Activity) -> None:
        """Add closed days up to and with ``through``."""
        add(self.apps, (((app.slug, app.type), app.seconds) for app in report.apps))
        add(self.users, activity.users.items())
        self.extensions.append((through, report.used))
        self.closed_through = through

    def total(
        self, open_days: Iterable[tuple[Report, Activity]], *, known_apps: Iterable[AppKey], moves: Moves
    ) -> Found:
        """Take the open days, and return what is served then."""
        apps, days = dict.fromkeys(known_apps, 0.0) | self.apps, []
        for report, activity in open_days:
            add(apps, (((app.slug, app.type), app.seconds) for app in report.apps))
            days.append(activity)
        fallen = self.served_apps.serve(apps, zero_first=self.zero_first)
        steps, fallen_users = self._serve_users(tuple(days), moves)
        self.primed = True
        return Found(
            self.served_seconds.served[""], dict(self.served_apps.served), fallen + fallen_users, steps
        )

    def _serve_users(
        self, days: tuple[Activity, ...], moves: Moves
    ) -> tuple[Mapping[str, float] | None, int]:
        """Take the users of the open days; return by how much they moved if known, and how many fell."""
        before, self.counted = self.counted, (self.closed_through, days)
        same = before is not None and before[0] == self.closed_through
        even = self.served_users.even and self.served_seconds.even
        moved = moves.between(before[1], days) if before is not None and same and even else None
        if moved is None:
            users = dict(self.users)
            for day in days:
                add(users, day.users.items())
            fallen = self.served_users.serve(users, zero_first=self.zero_first)
            return None, fallen + self._serve_seconds(sum(users.values()))
        steps, fallen = self.served_users.advance(moved, zero_first=self.zero_first)
        return steps, fallen + self._serve_seconds(self.served_seconds.served[""] + sum(moved.values()))

    def _serve_seconds(self, seconds: float) -> int:
        return self.served_seconds.serve({"": seconds}, zero_first=self.zero_first)

    @property
    def zero_first(self) -> bool:
        """Whether a total that appears now did not exist before."""
        return self.primed or self.newborn

    def used_apps(self) -> Iterator[AppKey]:
        """Yield the apps that have a total."""
        yield from self.apps
        yield from (
            key for key, seconds in self.served_apps.served.items() if seconds and key not in self.apps
        )

    @property
    def begun(self) -> bool:
        """Whether some total waits at 0 for its value."""
        return self.served_apps.begun or self.served_users.begun or self.served_seconds.begun
