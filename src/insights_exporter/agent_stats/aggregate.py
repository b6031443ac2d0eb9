"""Counts of what agents reported, by the label values under which they are served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import Struct

from insights_exporter.interpreter_tuning import yielding
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.packed_counts import BITS_PER_COUNT, unpack_counts
from insights_exporter.snapshot import TemplateKey

__all__ = [
    "BUCKET_COUNT",
    "NO_EXPONENTIAL_BUCKETS",
    "Aggregate",
    "AppKey",
    "HistogramCounts",
    "get_or_create_counts",
    "merge_histograms",
    "merge_sums",
    "zip_users",
]

BUCKET_COUNT = len(LATENCY_BUCKETS) + 1
"""Buckets of a histogram with the one above all bounds."""

NO_EXPONENTIAL_BUCKETS: Final[Mapping[int, int]] = MappingProxyType({})
"""No exponential buckets, one object for all that have none."""

AppKey = tuple[str, str, str]
"""An organization, a template and the family of an app."""

K = TypeVar("K")
P = TypeVar("P", bound=tuple[str, ...])
N = TypeVar("N")
V = TypeVar("V", int, float)


class HistogramCounts(Struct, gc=False):
    """Observations by bucket, none cumulative, and their sum in seconds.

    ``lanes`` has the buckets side by side; ``fine`` has the observations by exponential bucket once more,
    where that is wanted, and is None where there are none: thousands of empty ones would take time.
    """

    packed_counts: int = 0
    total: float = 0.0
    exponential_buckets: dict[int, int] | None = None

    @property
    def buckets(self) -> tuple[int, ...]:
        """The observations of each bucket."""
        return unpack_counts(self.packed_counts, BUCKET_COUNT)

    def observe(self, packed_counts: int, seconds: float, exponential_buckets: Mapping[int, int]) -> None:
        """Add observations, and the sum of them."""
        self.packed_counts += packed_counts
        self.total += seconds
        if exponential_buckets:
            if self.exponential_buckets is None:
                self.exponential_buckets = {}
            for index, count in exponential_buckets.items():
                self.exponential_buckets[index] = self.exponential_buckets.get(index, 0) + count

    def merge(self, other: HistogramCounts) -> HistogramCounts:
        """Return the observations of both."""
        return HistogramCounts(
            self.packed_counts + other.packed_counts,
            self.total + other.total,
            _merge_exponential_buckets(self.exponential_buckets, other.exponential_buckets),
        )


class Aggregate:
    """What was counted in a span of time; users appear as shown, and not at all where they are left out.

    Users stand by themselves within a template, and an app where one matters: so much is looked up by user
    that keys of several parts would cost more than all else.
    """

    __slots__ = ("app_latency", "latency", "received", "session_seconds", "transmitted")

    def __init__(self) -> None:
        self.latency: dict[tuple[str, str], dict[str, HistogramCounts]] = {}
        self.app_latency: dict[AppKey, HistogramCounts] = {}
        self.session_seconds: dict[AppKey, dict[str, float]] = {}
        self.received: dict[tuple[str, str], int] = {}
        self.transmitted: dict[tuple[str, str], int] = {}

    def observe(
        self,
        template: TemplateKey,
        user: str | None,
        apps: Iterable[str],
        *,
        bucket: int,
        seconds: float,
        exponential_bucket: int | None = None,
    ) -> None:
        """Add a report with open sessions of apps, and the latency that it has.

        ``bucket`` is the place of the first bound that is not below the latency, ``fine`` its exponential
        bucket.
        """
        packed_counts, exponential_buckets = (
            1 << BITS_PER_COUNT * bucket,
            {} if exponential_bucket is None else {exponential_bucket: 1},
        )
        for app in apps:
            get_or_create_counts(self.app_latency, (*template, app)).observe(
                packed_counts, seconds, exponential_buckets
            )
        if user is not None:
            users = self.latency.setdefault(template, {})
            get_or_create_counts(users, user).observe(packed_counts, seconds, exponential_buckets)

    def add_session_time(self, template: TemplateKey, user: str, app: str, *, seconds: float) -> None:
        """Count time with an open session."""
        users = self.session_seconds.setdefault((*template, app), {})
        users[user] = users.get(user, 0.0) + seconds

    def add_traffic(self, template: TemplateKey, *, received: int, transmitted: int) -> None:
        """Count bytes that agents received and sent."""
        self.received[template] = self.received.get(template, 0) + received
        self.transmitted[template] = self.transmitted.get(template, 0) + transmitted

    def merge(self, other: Aggregate) -> Aggregate:
        """Return what both counted, and leave both as they are."""
        result = Aggregate()
        result.latency = {
            key: dict(merge_histograms(left, right))
            for key, left, right in zip_users(self.latency, other.latency)
        }
        result.app_latency = dict(merge_histograms(self.app_latency, other.app_latency))
        result.session_seconds = {
            key: dict(merge_sums(left, right))
            for key, left, right in zip_users(self.session_seconds, other.session_seconds)
        }
        result.received = dict(merge_sums(self.received, other.received))
        result.transmitted = dict(merge_sums(self.transmitted, other.transmitted))
        return result


def get_or_create_counts(counts: dict[K, HistogramCounts], key: K) -> HistogramCounts:
    """Return the counts of a key, which begin empty."""
    histogram = counts.get(key)
    if histogram is None:
        histogram = counts[key] = HistogramCounts()
    return histogram


def zip_users(
    left: Mapping[P, Mapping[str, N]], right: Mapping[P, Mapping[str, N]]
) -> Iterator[tuple[P, Mapping[str, N], Mapping[str, N]]]:
    """Yield the users that both have in each place."""
    for key in {**left, **right}:
        yield key, left.get(key, {}), right.get(key, {})


def merge_histograms(
    left: Mapping[K, HistogramCounts], right: Mapping[K, HistogramCounts]
) -> Iterator[tuple[K, HistogramCounts]]:
    """Yield the counts of both, added up where both have some."""
    for key, counts in yielding(left.items()):
        right_counts = right.get(key)
        yield key, counts if right_counts is None else counts.merge(right_counts)
    for key, counts in right.items():
        if key not in left:
            yield key, counts


def merge_sums(left: Mapping[K, V], right: Mapping[K, V]) -> Iterator[tuple[K, V]]:
    """Yield the numbers of both, added up where both have one."""
    for key, value in yielding(left.items()):
        yield key, value + right.get(key, 0)
    for key, value in right.items():
        if key not in left:
            yield key, value


def _merge_exponential_buckets(
    left: dict[int, int] | None, right: dict[int, int] | None
) -> dict[int, int] | None:
    if not left or not right:
        return left or right
    result = dict(left)
    for index, count in right.items():
        result[index] = result.get(index, 0) + count
    return result
