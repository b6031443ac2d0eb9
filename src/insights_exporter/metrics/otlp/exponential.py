"""Histograms whose buckets double every so often, at the finest scale that fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint

from insights_exporter.metrics.catalogue import LATENCY_SCALE
from insights_exporter.metrics.text import Samples

__all__ = ["MOST_BUCKETS", "exponentials", "fitting"]

MOST_BUCKETS: Final = 160
"""As many as OpenTelemetry's own aggregation has."""


def exponentials(samples: Samples, began: int, at: int) -> Iterator[ExponentialHistogramDataPoint]:
    """Yield the points of a histogram family."""
    labels, fine = samples.family.labels, dict(samples.fine or ())
    for values, _, total in samples.distributions:
        scale, offset, counts = fitting(fine.get(values, {}))
        yield ExponentialHistogramDataPoint(
            attributes=dict(zip(labels, values, strict=True)),
            start_time_unix_nano=began,
            time_unix_nano=at,
            count=sum(counts),
            sum=total,
            scale=scale,
            zero_count=0,
            positive=Buckets(offset, counts),
            negative=Buckets(0, []),
            flags=0,
            # Nobody knows them, and what is None is not sent.
            min=None,  # type: ignore[arg-type]  # The library's own type forgets that it is optional.
            max=None,  # type: ignore[arg-type]  # As above.
        )


def fitting(fine: Mapping[int, int]) -> tuple[int, int, list[int]]:
    """Return scale, first index and counts from there on; buckets are joined in pairs until they fit."""
    scale, counts = LATENCY_SCALE, Counter(fine)
    if not counts:
        return scale, 0, []
    while max(counts) - min(counts) >= MOST_BUCKETS:
        scale, joined = scale - 1, Counter[int]()
        for index, count in counts.items():
            joined[index >> 1] += count
        counts = joined
    first = min(counts)
    return scale, first, [counts[index] for index in range(first, max(counts) + 1)]
