"""Histograms whose buckets double every so often, at the finest scale that fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint

from insights_exporter.metrics.catalogue import LATENCY_SCALE
from insights_exporter.metrics.encoder.text import FamilySamples

__all__ = ["MAX_BUCKETS", "downscale", "exponential_histogram_points"]

MAX_BUCKETS: Final = 160
"""As many as OpenTelemetry's own aggregation has."""


def exponential_histogram_points(
    samples: FamilySamples, start_time: int, time: int
) -> Iterator[ExponentialHistogramDataPoint]:
    """Yield the points of a histogram family."""
    labels, counts_by_labels = samples.family.labels, dict(samples.exponential_buckets or ())
    for values, _, total in samples.histograms:
        scale, offset, counts = downscale(counts_by_labels.get(values, {}))
        yield ExponentialHistogramDataPoint(
            attributes=dict(zip(labels, values, strict=True)),
            start_time_unix_nano=start_time,
            time_unix_nano=time,
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


def downscale(bucket_counts: Mapping[int, int]) -> tuple[int, int, list[int]]:
    """Return scale, first index and counts from there on; buckets are joined in pairs until they fit."""
    scale, counts = LATENCY_SCALE, Counter(bucket_counts)
    if not counts:
        return scale, 0, []
    while max(counts) - min(counts) >= MAX_BUCKETS:
        scale, merged = scale - 1, Counter[int]()
        for index, count in counts.items():
            merged[index >> 1] += count
        counts = merged
    offset = min(counts)
    return scale, offset, [counts[index] for index in range(offset, max(counts) + 1)]
