"""Exponential buckets, counted when a report is read, beside the explicit ones.

The bucket of index i holds what is above 2^(i/8) seconds, up to and including 2^((i+1)/8), as OpenTelemetry
has it at scale 3. There is no first and no last one, so nothing is cut off.
"""

from __future__ import annotations

import math
from typing import Final

from insights_exporter.metrics.catalogue import LATENCY_SCALE

__all__ = ["BUCKET_INDEX_SQL", "bucket_index"]

_BUCKETS_PER_DOUBLING: Final = 2**LATENCY_SCALE

_SQL_FACTOR: Final = f"{_BUCKETS_PER_DOUBLING / math.log(2)!r}::double precision"
_BOUND_TOLERANCE: Final = 1e-9
"""How near to a bound counts as on it: 125 ms is one, but not to the last digit of a logarithm."""

_SQL_POSITION: Final = (
    f"ln(connection_median_latency_ms / 1000) * {_SQL_FACTOR} - {_BOUND_TOLERANCE!r}::double precision"
)

BUCKET_INDEX_SQL: Final = f"ceil({_SQL_POSITION})::int - 1"
"""The same as ``index`` in the words of the database."""


def bucket_index(seconds: float) -> int:
    """Return the bucket of a latency above 0."""
    return math.ceil(math.log2(seconds) * _BUCKETS_PER_DOUBLING - _BOUND_TOLERANCE) - 1
