"""Bucket counts of latency histograms for assertions."""

from __future__ import annotations

from insights_exporter.metrics.packed_counts import unpack_counts
from insights_exporter.snapshot import LatencyHistogram

__all__ = ["bucket_counts"]


def bucket_counts(histogram: LatencyHistogram) -> tuple[int, ...]:
    """Return the observations of each bucket, not cumulative."""
    return unpack_counts(histogram.packed_counts, histogram.bucket_count)
