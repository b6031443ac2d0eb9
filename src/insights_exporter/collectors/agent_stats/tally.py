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

__all__ = ["NOTHING", "PLACES", "Counts", "Tally", "UserKey", "added", "counts_of", "merged"]

PLACES = len(LATENCY_BUCKETS) + 1
"""Buckets of a histogram with the one above all bounds."""

NOTHING: Final[Mapping[int, int]] = MappingProxyType({})
"""No exponential buckets, one object for all that have none."""

UserKey = tuple[str, str, str]
"""An organization, a template and a user as shown."""

K = TypeVar("K", bound=tuple[str, ...])
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
    """What was counted in a span of time; users appear as shown, and not at all where they are left out."""

    __slots__ = ("app_latency", "latency", "received", "session_seconds", "transmitted")

    def __init__(self) -> None:
        self.latency: dict[UserKey, Counts] = {}
        self.app_latency: dict[tuple[str, str, str], Counts] = {}
        self.session_seconds: dict[tuple[str, str, str, str], float] = {}
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
            counts_of(self.latency, (*template, user)).observe(lanes, seconds, by_fine)

    def session(self, template: TemplateKey, user: str, app: str, *, seconds: float) -> None:
        """Count time with an open session."""
        key = (*template, user, app)
        self.session_seconds[key] = self.session_seconds.get(key, 0.0) + seconds

    def traffic(self, template: TemplateKey, *, received: int, transmitted: int) -> None:
        """Count bytes that agents received and sent."""
        self.received[template] = self.received.get(template, 0) + received
        self.transmitted[template] = self.transmitted.get(template, 0) + transmitted

    def plus(self, other: Tally) -> Tally:
        """Return what both counted, and leave both as they are."""
        both = Tally()
        both.latency = dict(merged(self.latency, other.latency))
        both.app_latency = dict(merged(self.app_latency, other.app_latency))
        both.session_seconds = dict(added(self.session_seconds, other.session_seconds))
        both.received = dict(added(self.received, other.received))
        both.transmitted = dict(added(self.transmitted, other.transmitted))
        return both


def counts_of(counts: dict[K, Counts], key: K) -> Counts:
    """Return the counts of a key, which begin empty."""
    found = counts.get(key)
    if found is None:
        found = counts[key] = Counts()
    return found


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
