"""Rows of a family on their way from a snapshot to an exposition."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate, pairwise
from typing import cast

from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.portions import LARGEST, Numbers, Observed, Packs, Portion, Portions, span
from insights_exporter.metrics.text import Distribution, Fine, Number, Packed, Samples

__all__ = [
    "Bucketed",
    "Crowd",
    "Row",
    "bucketed",
    "distributions",
    "infos",
    "numbers",
    "of_users",
    "packed",
    "packs",
]

Row = tuple[tuple[str, ...], float | None]
"""Label values and a number that may be unknown."""

Crowd = tuple[tuple[str, ...], Numbers]
"""Label values without the user's, and a number for each user."""

Bucketed = tuple[tuple[str, ...], Sequence[int], float]
"""Label values, observations per bucket with those above all bounds last, and their sum."""


def numbers(family: Family, rows: Iterable[Row], *, since: datetime | None = None) -> Samples:
    """Return a family of numbers; what is unknown, negative or not finite is left out."""
    return Samples(family, numbers=_valid(rows), created=None if since is None else since.timestamp())


def of_users(
    family: Family, crowds: Iterable[Crowd], values: LabelValues, *, since: datetime | None = None
) -> Samples:
    """Return a family with a row per user; the portion of numbers that were there before is the same."""
    derived, users = values.derived, values.users
    portions = [
        derived.of((family.name, labels), crowd, partial(Portion.of, labels, users=users))
        for labels, crowd in crowds
    ]
    rows = Portions(family.labels.index("username"), users, portions)
    return Samples(family, numbers=rows, created=None if since is None else since.timestamp())


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


def packed(
    family: Family, rows: Iterable[Packed], *, since: datetime, fine: Iterable[Fine] | None = None
) -> Samples:
    """Return a histogram family over the latency buckets, of which there may be very many rows."""
    whole = (row for row in rows if 0 <= row[1][1] <= LARGEST)
    return Samples(family, packed=whole, bounds=LATENCY_BUCKETS, created=since.timestamp(), fine=fine)


def packs(
    family: Family,
    crowds: Iterable[tuple[tuple[str, ...], Mapping[str, Observed]]],
    values: LabelValues,
    *,
    since: datetime,
    fine: Iterable[Fine] | None = None,
) -> Samples:
    """Return a histogram family over the latency buckets with a row per user."""
    rows = Packs(family.labels.index("username"), values.users, list(crowds))
    return Samples(family, packed=rows, bounds=LATENCY_BUCKETS, created=since.timestamp(), fine=fine)


def bucketed(labels: tuple[str, ...], observed: Collection[float | None]) -> Bucketed:
    """Count observations by latency bucket; what is unknown, negative or not finite is left out."""
    lowest, highest = span(observed) or (-1.0, -1.0)
    found = cast("Collection[float]", observed)
    if not 0 <= lowest <= highest <= LARGEST:
        found = [seconds for seconds in observed if seconds is not None and 0 <= seconds <= LARGEST]
    ordered = sorted(found)
    # Looking for each bound among the observations takes fewer steps than the other way round.
    reached = [0, *(bisect_right(ordered, bound) for bound in LATENCY_BUCKETS), len(ordered)]
    return labels, [above - below for below, above in pairwise(reached)], sum(found, start=0.0)


def _valid(rows: Iterable[Row], largest: float = LARGEST) -> Iterator[Number]:
    # Adding zero makes a float of an integer and a plain zero of a negative one.
    return (
        (labels, number + 0.0) for labels, number in rows if number is not None and 0 <= number <= largest
    )


def _cumulative(rows: Iterable[Bucketed]) -> Iterator[Distribution]:
    for labels, counts, total in rows:
        whole = len(counts) == len(LATENCY_BUCKETS) + 1 and min(counts) >= 0
        if whole and 0 <= total <= LARGEST:
            yield labels, tuple(map(float, accumulate(counts))), total + 0.0
