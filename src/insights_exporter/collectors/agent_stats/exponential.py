"""Exponential buckets, counted when a report is read, beside the explicit ones.

The bucket of index i holds what is above 2^(i/8) seconds, up to and including 2^((i+1)/8), as OpenTelemetry
has it at scale 3. There is no first and no last one, so nothing is cut off.
"""

from __future__ import annotations

import math
from typing import Final

from insights_exporter.metrics.catalogue import LATENCY_SCALE

__all__ = ["QUERY", "index"]

_PER_DOUBLING: Final = 2**LATENCY_SCALE

_FACTOR: Final = f"{_PER_DOUBLING / math.log(2)!r}::double precision"
_ON_A_BOUND: Final = 1e-9
"""How near to a bound counts as on it: 125 ms is one, but not to the last digit of a logarithm."""

_PLACE: Final = f"ln(connection_median_latency_ms / 1000) * {_FACTOR} - {_ON_A_BOUND!r}::double precision"

QUERY: Final = f"ceil({_PLACE})::int - 1"
"""The same as ``index`` in the words of the database."""


def index(seconds: float) -> int:
    """Return the bucket of a latency above 0."""
    return math.ceil(math.log2(seconds) * _PER_DOUBLING - _ON_A_BOUND) - 1
