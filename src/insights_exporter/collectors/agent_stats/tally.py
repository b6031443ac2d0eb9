"""Counts of what agents reported, by the label values under which they are served."""

from __future__ import annotations

from collections.abc import Iterable

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.snapshot import TemplateKey

__all__ = ["PLACES", "Counts", "Tally", "UserKey"]

PLACES = len(LATENCY_BUCKETS) + 1
"""Buckets of a histogram with the one above all bounds."""

UserKey = tuple[str, str, str]
"""An organization, a template and a user as shown."""


class Counts:
    """Observations by bucket, none cumulative, and their sum in seconds.

    ``fine`` has them by exponential bucket once more, where that is wanted.
    """

    __slots__ = ("buckets", "fine", "total")

    def __init__(
        self, buckets: list[int] | None = None, total: float = 0.0, fine: dict[int, int] | None = None
    ) -> None:
        self.buckets = [0] * PLACES if buckets is None else buckets
        self.total = total
        self.fine = {} if fine is None else fine

    def observe(self, bucket: int, count: int, seconds: float, fine: int | None = None) -> None:
        """Add observations of one bucket, perhaps of one exponential bucket as well, and the sum of them."""
        self.buckets[bucket] += count
        self.total += seconds
        if fine is not None:
            self.fine[fine] = self.fine.get(fine, 0) + count

    def add(self, other: Counts) -> None:
        """Add the observations of another."""
        self.buckets = [mine + more for mine, more in zip(self.buckets, other.buckets, strict=True)]
        self.total += other.total
        if other.fine:
            self.fine = dict(self.fine)
            for index, count in other.fine.items():
                self.fine[index] = self.fine.get(index, 0) + count


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
        count: int = 1,
        seconds: float,
        fine: int | None = None,
    ) -> None:
        """Count reports with open sessions of apps; ``seconds`` is the sum of their latencies.

        ``bucket`` is the place of the first bound that is not below the latency, ``fine`` its exponential
        bucket.
        """
        for counts in self.counted(template, user, apps):
            counts.observe(bucket, count, seconds, fine)

    def counted(self, template: TemplateKey, user: str | None, apps: Iterable[str]) -> list[Counts]:
        """Return the counts that an observation belongs to."""
        found = [_counts(self.app_latency, (*template, app)) for app in apps]
        if user is not None:
            found.append(_counts(self.latency, (*template, user)))
        return found

    def session(self, template: TemplateKey, user: str, app: str, *, seconds: float) -> None:
        """Count time with an open session."""
        key = (*template, user, app)
        self.session_seconds[key] = self.session_seconds.get(key, 0.0) + seconds

    def traffic(self, template: TemplateKey, *, received: int, transmitted: int) -> None:
        """Count bytes that agents received and sent."""
        self.received[template] = self.received.get(template, 0) + received
        self.transmitted[template] = self.transmitted.get(template, 0) + transmitted

    def add(self, other: Tally) -> None:
        """Add what another tally counted."""
        _add_counts(self.latency, other.latency)
        _add_counts(self.app_latency, other.app_latency)
        for key, seconds in other.session_seconds.items():
            self.session_seconds[key] = self.session_seconds.get(key, 0.0) + seconds
        for template, received in other.received.items():
            sent = other.transmitted[template]
            self.traffic(TemplateKey(*template), received=received, transmitted=sent)


def _counts(counts: dict[UserKey, Counts], key: UserKey) -> Counts:
    found = counts.get(key)
    if found is None:
        found = counts[key] = Counts()
    return found


def _add_counts(mine: dict[UserKey, Counts], more: dict[UserKey, Counts]) -> None:
    for key, counts in more.items():
        if (found := mine.get(key)) is None:
            mine[key] = Counts(list(counts.buckets), counts.total, dict(counts.fine))
        else:
            found.add(counts)
