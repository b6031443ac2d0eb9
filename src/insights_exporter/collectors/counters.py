"""Anchored totals: what was counted since a fixed day, served so that it never falls.

A total is the sum over all closed days since the anchor plus the open days so far. It depends on Coder's
numbers alone, so a restarted process and a replica serve the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Generic, TypeVar

from insights_exporter.collectors.names import Roll
from insights_exporter.collectors.parts import Activity, Report, add
from insights_exporter.snapshot import Totals

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
        """Take the totals found now; return how many of them have newly fallen."""
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
        missing = served.keys() - found.keys() if len(served) > len(found) else ()
        for key in missing:
            if served[key] > 0 and key not in self.held:
                self.held.add(key)
                fallen += 1
        return fallen


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

    def __post_init__(self) -> None:
        self.closed_through = self.anchor - timedelta(days=1)

    def close(self, through: date, report: Report, activity: Activity) -> None:
        """Add closed days up to and with ``through``."""
        add(self.apps, (((app.slug, app.type), app.seconds) for app in report.apps))
        add(self.users, activity.users.items())
        self.extensions.append((through, report.used))
        self.closed_through = through

    def total(
        self, open_days: Iterable[tuple[Report, Activity]], *, known_apps: Iterable[AppKey]
    ) -> tuple[Totals, int]:
        """Return the totals by user id, and how many have newly fallen."""
        apps = dict.fromkeys(known_apps, 0.0) | self.apps
        users = dict(self.users)
        for report, activity in open_days:
            add(apps, (((app.slug, app.type), app.seconds) for app in report.apps))
            add(users, activity.users.items())
        zero_first = self.primed or self.newborn
        fallen = (
            self.served_apps.serve(apps, zero_first=zero_first)
            + self.served_users.serve(users, zero_first=zero_first)
            + self.served_seconds.serve({"": sum(users.values())}, zero_first=zero_first)
        )
        self.primed = True
        totals = Totals(
            since=self.since,
            seconds=self.served_seconds.served[""],
            apps=dict(self.served_apps.served),
            users=self.served_users.served,
        )
        return totals, fallen

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
