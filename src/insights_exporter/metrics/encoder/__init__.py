"""Text of metric families.

``encode`` yields the text of one family. ``Encoder`` does the same for all families of a snapshot: the text
is compressed, and blocks that are unchanged since the last snapshot are reused. Number formatting, gzip
blocks and packed bucket counts are internal.
"""

from __future__ import annotations

from insights_exporter.metrics.encoder.encoder import Encoder, encode
from insights_exporter.metrics.encoder.gzip_blocks import EncodedBody
from insights_exporter.metrics.encoder.number_format import format_float
from insights_exporter.metrics.encoder.samples import (
    ExponentialBuckets,
    FamilySamples,
    FloatSample,
    Histogram,
    HistogramSample,
    Labels,
    SeriesGroup,
    ValuesByUser,
    is_valid,
    min_max,
)
from insights_exporter.metrics.encoder.text import EOF, Format, LabelPairCache

__all__ = [
    "EOF",
    "EncodedBody",
    "Encoder",
    "ExponentialBuckets",
    "FamilySamples",
    "FloatSample",
    "Format",
    "Histogram",
    "HistogramSample",
    "LabelPairCache",
    "Labels",
    "SeriesGroup",
    "ValuesByUser",
    "encode",
    "format_float",
    "is_valid",
    "min_max",
]
