"""Aggregates: counts of agent reports by the labels of the exported series, and how to merge them.

The ``app`` label holds an app family. Newer agents report the client, such as ``cursor``, older ones only its
family, so both sources count by family. A family is named by its app slug in Coder's insights API.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec import Struct

from insights_exporter.interpreter_tuning import yielding
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS, LATENCY_SCALE
from insights_exporter.metrics.packed_counts import BITS_PER_COUNT, unpack_counts
from insights_exporter.snapshot import TemplateKey

__all__ = [
    "APP_FAMILIES",
    "BOUND_TOLERANCE",
    "BUCKETS_PER_DOUBLING",
    "BUCKET_COUNT",
    "NO_EXPONENTIAL_BUCKETS",
    "SESSION_COUNT_COLUMNS",
    "Aggregate",
    "AppKey",
    "HistogramCounts",
    "bucket_index",
    "bucket_number",
    "get_or_create_counts",
    "merge_histograms",
    "merge_sums",
    "rename_users",
    "sum_sessions",
    "zip_users",
]

BUCKET_COUNT: Final = len(LATENCY_BUCKETS) + 1
"""Buckets of a latency histogram, with the one for ``+Inf``."""

BUCKETS_PER_DOUBLING: Final = 2**LATENCY_SCALE
"""Exponential buckets per factor of two.

Bucket ``i`` holds (2^(i/8), 2^((i+1)/8)] seconds, as OpenTelemetry defines scale 3.
"""

BOUND_TOLERANCE: Final = 1e-9
"""Tolerance in bucket widths: a logarithm is inexact, and 125 ms must fall on its bound."""

NO_EXPONENTIAL_BUCKETS: Final[Mapping[int, int]] = MappingProxyType({})
"""Shared by all histograms without exponential buckets."""

AppKey = tuple[str, str, str]
"""Organization, template and app family."""

K = TypeVar("K")
P = TypeVar("P", bound=tuple[str, ...])
N = TypeVar("N")
V = TypeVar("V", int, float)


class HistogramCounts(Struct, gc=False):
    """Observations by bucket, not cumulative, and their sum in seconds.

    ``packed_counts`` holds the explicit buckets. ``exponential_buckets`` holds the same observations by
    exponential bucket, if these are counted; None instead of thousands of empty dictionaries saves time.
    """

    packed_counts: int = 0
    total: float = 0.0
    exponential_buckets: dict[int, int] | None = None

    @property
    def buckets(self) -> tuple[int, ...]:
        """The observations of each explicit bucket."""
        return unpack_counts(self.packed_counts, BUCKET_COUNT)

    def observe(self, packed_counts: int, seconds: float, exponential_buckets: Mapping[int, int]) -> None:
        """Add observations; ``seconds`` is their sum."""
        self.packed_counts += packed_counts
        self.total += seconds
        if exponential_buckets:
            if self.exponential_buckets is None:
                self.exponential_buckets = {}
            for index, count in exponential_buckets.items():
                self.exponential_buckets[index] = self.exponential_buckets.get(index, 0) + count

    def merge(self, other: HistogramCounts) -> HistogramCounts:
        """Return the sum of both histograms."""
        return HistogramCounts(
            self.packed_counts + other.packed_counts,
            self.total + other.total,
            _merge_exponential_buckets(self.exponential_buckets, other.exponential_buckets),
        )


class Aggregate:
    """Counts of the reports of a time span; users are keyed by display name.

    Counts by user are nested mappings: most lookups are by user, and tuple keys with the user would dominate
    the CPU time.
    """

    __slots__ = ("app_latency", "latency", "received", "session_seconds", "transmitted")

    def __init__(self) -> None:
        self.latency: dict[tuple[str, str], dict[str, HistogramCounts]] = {}
        self.app_latency: dict[AppKey, HistogramCounts] = {}
        self.session_seconds: dict[AppKey, dict[str, float]] = {}
        self.received: dict[tuple[str, str], int] = {}
        self.transmitted: dict[tuple[str, str], int] = {}

    def observe(  # noqa: PLR0913  # Each parameter is a column of the report.
        self,
        template: TemplateKey,
        user: str | None,
        apps: Iterable[str],
        *,
        bucket: int,
        seconds: float,
        exponential_bucket: int | None = None,
    ) -> None:
        """Add the latency of a report with open sessions of ``apps``.

        ``bucket`` is the result of ``bucket_number``, ``exponential_bucket`` that of ``bucket_index``.
        """
        packed_counts = 1 << BITS_PER_COUNT * bucket
        exponential_buckets = {} if exponential_bucket is None else {exponential_bucket: 1}
        for app in apps:
            get_or_create_counts(self.app_latency, (*template, app)).observe(
                packed_counts, seconds, exponential_buckets
            )
        if user is not None:
            users = self.latency.setdefault(template, {})
            get_or_create_counts(users, user).observe(packed_counts, seconds, exponential_buckets)

    def add_session_time(self, template: TemplateKey, user: str, app: str, *, seconds: float) -> None:
        """Add time with an open session."""
        users = self.session_seconds.setdefault((*template, app), {})
        users[user] = users.get(user, 0.0) + seconds

    def add_traffic(self, template: TemplateKey, *, received: int, transmitted: int) -> None:
        """Add bytes that agents received and transmitted."""
        self.received[template] = self.received.get(template, 0) + received
        self.transmitted[template] = self.transmitted.get(template, 0) + transmitted

    def merge(self, other: Aggregate) -> Aggregate:
        """Return the sum of both aggregates as a new object."""
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

    def rename_users(self, renames: Mapping[str, str | None]) -> None:
        """Move the counts of users to their new names; drop users whose new name is None."""
        self.latency = rename_users(self.latency, renames, HistogramCounts.merge)
        self.session_seconds = rename_users(self.session_seconds, renames, add)


def get_or_create_counts(counts: dict[K, HistogramCounts], key: K) -> HistogramCounts:
    """Return the counts of a key; new counts are 0."""
    histogram = counts.get(key)
    if histogram is None:
        histogram = counts[key] = HistogramCounts()
    return histogram


def zip_users(
    left: Mapping[P, Mapping[str, N]], right: Mapping[P, Mapping[str, N]]
) -> Iterator[tuple[P, Mapping[str, N], Mapping[str, N]]]:
    """Yield each key with the values by user of both mappings."""
    for key in {**left, **right}:
        yield key, left.get(key, {}), right.get(key, {})


def rename_users(
    values_by_key: Mapping[P, Mapping[str, N]],
    renames: Mapping[str, str | None],
    merge: Callable[[N, N], N],
) -> dict[P, dict[str, N]]:
    """Return new mappings with users under their new names; ``merge`` combines values of the same name."""
    result: dict[P, dict[str, N]] = {}
    for key, values in values_by_key.items():
        users = result[key] = {}
        for user, value in values.items():
            name = renames.get(user, user)
            if name is not None:
                users[name] = merge(users[name], value) if name in users else value
    return result


def merge_histograms(
    left: Mapping[K, HistogramCounts], right: Mapping[K, HistogramCounts]
) -> Iterator[tuple[K, HistogramCounts]]:
    """Yield the histograms of both mappings, summed by key."""
    for key, counts in yielding(left.items()):
        right_counts = right.get(key)
        yield key, counts if right_counts is None else counts.merge(right_counts)
    for key, counts in right.items():
        if key not in left:
            yield key, counts


def merge_sums(left: Mapping[K, V], right: Mapping[K, V]) -> Iterator[tuple[K, V]]:
    """Yield the numbers of both mappings, summed by key."""
    for key, value in yielding(left.items()):
        yield key, value + right.get(key, 0)
    for key, value in right.items():
        if key not in left:
            yield key, value


def bucket_number(seconds: float) -> int:
    """Return the index of the explicit bucket of a latency; bounds are inclusive."""
    return bisect_left(LATENCY_BUCKETS, seconds)


def bucket_index(seconds: float) -> int:
    """Return the index of the exponential bucket of a latency above 0."""
    return math.ceil(math.log2(seconds) * BUCKETS_PER_DOUBLING - BOUND_TOLERANCE) - 1


def _merge_exponential_buckets(
    left: dict[int, int] | None, right: dict[int, int] | None
) -> dict[int, int] | None:
    if not left or not right:
        return left or right
    result = dict(left)
    for index, count in right.items():
        result[index] = result.get(index, 0) + count
    return result


APP_FAMILIES: Final = ("vscode", "jetbrains", "reconnecting-pty", "ssh")
"""The families that every agent reports; their series are 0 without sessions."""

SESSION_COUNT_COLUMNS: Final = (
    "session_count_vscode",
    "session_count_jetbrains",
    "session_count_reconnecting_pty",
    "session_count_ssh",
)
"""Columns of the older table schema, in the order of ``APP_FAMILIES``."""


def sum_sessions(counts: Iterable[tuple[str, int]], app_of: Callable[[str], str]) -> dict[str, int]:
    """Return the open sessions by app, without apps that have none; ``app_of`` maps a client to its app."""
    sessions: dict[str, int] = {}
    for client, count in counts:
        if count > 0:
            app = app_of(client)
            sessions[app] = sessions.get(app, 0) + count
    return sessions
