"""Counts of what agents reported, by the label values under which they are served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import Struct

from insights_exporter.interpreter import in_turns
from insights_exporter.lanes import LANE, split
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.snapshot import TemplateKey

__all__ = ["NOTHING", "PLACES", "AppKey", "Counts", "Tally", "added", "counts_of", "merged", "paired"]

PLACES = len(LATENCY_BUCKETS) + 1
"""Buckets of a histogram with the one above all bounds."""

NOTHING: Final[Mapping[int, int]] = MappingProxyType({})
"""No exponential buckets, one object for all that have none."""

AppKey = tuple[str, str, str]
"""An organization, a template and the family of an app."""

K = TypeVar("K")
P = TypeVar("P", bound=tuple[str, ...])
N = TypeVar("N")
V = TypeVar("V", int, float)


class Counts(Struct, gc=False):
    """Observations by bucket, none cumulative, and their sum in seconds.

    ``lanes`` has the buckets side by side; ``fine`` has the observations by exponential bucket once more,
    where that is wanted, and is None where there are none: thousands of empty ones would take time.
    """

    lanes: int = 0
    total: float = 0.0
    fine: dict[int, int] | None = None

    @property
    def buckets(self) -> tuple[int, ...]:
        """The observations of each bucket."""
        return split(self.lanes, PLACES)

    def observe(self, lanes: int, seconds: float, fine: Mapping[int, int]) -> None:
        """Add observations, and the sum of them."""
        self.lanes += lanes
        self.total += seconds
        if fine:
            if self.fine is None:
                self.fine = {}
            for index, count in fine.items():
                self.fine[index] = self.fine.get(index, 0) + count

    def plus(self, other: Counts) -> Counts:
        """Return the observations of both."""
        return Counts(self.lanes + other.lanes, self.total + other.total, _both(self.fine, other.fine))


class Tally:
    """What was counted in a span of time; users appear as shown, and not at all where they are left out.

    Users stand by themselves within a template, and an app where one matters: so much is looked up by user
    that keys of several parts would cost more than all else.
    """

    __slots__ = ("app_latency", "latency", "received", "session_seconds", "transmitted")

    def __init__(self) -> None:
        self.latency: dict[tuple[str, str], dict[str, Counts]] = {}
        self.app_latency: dict[AppKey, Counts] = {}
        self.session_seconds: dict[AppKey, dict[str, float]] = {}
        self.received: dict[tuple[str, str], int] = {}
        self.transmitted: dict[tuple[str, str], int] = {}

    def observe(  # noqa: PLR0913 - an observation has that many sides.
        self,
        template: TemplateKey,
        user: str | None,
        apps: Iterable[str],
        *,
        bucket: int,
        seconds: float,
        fine: int | None = None,
    ) -> None:
        """Add a report with open sessions of apps, and the latency that it has.

        ``bucket`` is the place of the first bound that is not below the latency, ``fine`` its exponential
        bucket.
        """
        lanes, by_fine = 1 << LANE * bucket, {} if fine is None else {fine: 1}
        for app in apps:
            counts_of(self.app_latency, (*template, app)).observe(lanes, seconds, by_fine)
        if user is not None:
            users = self.latency.setdefault(template, {})
            counts_of(users, user).observe(lanes, seconds, by_fine)

    def session(self, template: TemplateKey, user: str, app: str, *, seconds: float) -> None:
        """Count time with an open session."""
        users = self.session_seconds.setdefault((*template, app), {})
        users[user] = users.get(user, 0.0) + seconds

    def traffic(self, template: TemplateKey, *, received: int, transmitted: int) -> None:
        """Count bytes that agents received and sent."""
        self.received[template] = self.received.get(template, 0) + received
        self.transmitted[template] = self.transmitted.get(template, 0) + transmitted

    def plus(self, other: Tally) -> Tally:
        """Return what both counted, and leave both as they are."""
        both = Tally()
        both.latency = {
            place: dict(merged(one, more)) for place, one, more in paired(self.latency, other.latency)
        }
        both.app_latency = dict(merged(self.app_latency, other.app_latency))
        both.session_seconds = {
            place: dict(added(one, more))
            for place, one, more in paired(self.session_seconds, other.session_seconds)
        }
        both.received = dict(added(self.received, other.received))
        both.transmitted = dict(added(self.transmitted, other.transmitted))
        return both


def counts_of(counts: dict[K, Counts], key: K) -> Counts:
    """Return the counts of a key, which begin empty."""
    found = counts.get(key)
    if found is None:
        found = counts[key] = Counts()
    return found


def paired(
    one: Mapping[P, Mapping[str, N]], other: Mapping[P, Mapping[str, N]]
) -> Iterator[tuple[P, Mapping[str, N], Mapping[str, N]]]:
    """Yield the users that both have in each place."""
    for place in {**one, **other}:
        yield place, one.get(place, {}), other.get(place, {})


def merged(one: Mapping[K, Counts], other: Mapping[K, Counts]) -> Iterator[tuple[K, Counts]]:
    """Yield the counts of both, added up where both have some."""
    for key, counts in in_turns(one.items()):
        more = other.get(key)
        yield key, counts if more is None else counts.plus(more)
    for key, counts in other.items():
        if key not in one:
            yield key, counts


def added(one: Mapping[K, V], other: Mapping[K, V]) -> Iterator[tuple[K, V]]:
    """Yield the numbers of both, added up where both have one."""
    for key, number in in_turns(one.items()):
        yield key, number + other.get(key, 0)
    for key, number in other.items():
        if key not in one:
            yield key, number


def _both(one: dict[int, int] | None, other: dict[int, int] | None) -> dict[int, int] | None:
    if not one or not other:
        return one or other
    found = dict(one)
    for index, count in other.items():
        found[index] = found.get(index, 0) + count
    return found
