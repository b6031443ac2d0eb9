"""Rows of a family on their way from a snapshot to an exposition."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.text import Distribution, Fine, Number, Samples

__all__ = ["Bucketed", "Row", "bucketed", "distributions", "infos", "numbers"]

Row = tuple[tuple[str, ...], float | None]
"""Label values and a number that may be unknown."""

Bucketed = tuple[tuple[str, ...], Sequence[int], float]
"""Label values, observations per bucket with those above all bounds last, and their sum."""


def numbers(family: Family, rows: Iterable[Row], *, since: datetime | None = None) -> Samples:
    """Return a family of numbers; what is unknown, negative or not finite is left out."""
    return Samples(family, numbers=_valid(rows), created=None if since is None else since.timestamp())


def infos(family: Family, rows: Iterable[tuple[str, ...]]) -> Samples:
    """Return a family of facts, each of which is 1."""
    return Samples(family, numbers=((row, 1.0) for row in rows))


def distributions(
    family: Family,
    rows: Iterable[Bucketed],
    *,
    since: datetime | None = None,
    fine: Iterable[Fine] | None = None,
) -> Samples:
    """Return a histogram family over the latency buckets; rows that cannot be one are left out."""
    created = None if since is None else since.timestamp()
    return Samples(
        family, distributions=_cumulative(rows), bounds=LATENCY_BUCKETS, created=created, fine=fine
    )


def bucketed(labels: tuple[str, ...], observed: Iterable[float | None]) -> Bucketed:
    """Count observations by latency bucket; what is unknown, negative or not finite is left out."""
    counts, total = [0] * (len(LATENCY_BUCKETS) + 1), 0.0
    for seconds in observed:
        if seconds is not None and 0 <= seconds <= sys.float_info.max:
            counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
            total += seconds
    return labels, counts, total


def _valid(rows: Iterable[Row], largest: float = sys.float_info.max) -> Iterator[Number]:
    # Adding zero makes a float of an integer and a plain zero of a negative one.
    return (
        (labels, number + 0.0) for labels, number in rows if number is not None and 0 <= number <= largest
    )


def _cumulative(rows: Iterable[Bucketed]) -> Iterator[Distribution]:
    for labels, counts, total in rows:
        whole = len(counts) == len(LATENCY_BUCKETS) + 1 and min(counts) >= 0
        if whole and 0 <= total <= sys.float_info.max:
            yield labels, tuple([float(count) for count in accumulate(counts)]), total + 0.0
