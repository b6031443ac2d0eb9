"""Text of families and of whole expositions as bytes."""

from __future__ import annotations

from collections.abc import Iterable

from insights_exporter.metrics.encoder import EOF, FamilySamples, Format, LabelPairCache, encode

__all__ = ["encode_body", "encode_exposition", "encode_family"]


def encode_family(samples: FamilySamples, exposition_format: Format) -> bytes:
    """Return the text of one family."""
    return b"".join(encode(samples, exposition_format))


def encode_exposition(families: Iterable[FamilySamples], exposition_format: Format) -> bytes:
    """Return the text of families, with the EOF line if the format has one."""
    return bytes(encode_body(families, exposition_format))


def encode_body(families: Iterable[FamilySamples], exposition_format: Format) -> bytearray:
    """Return the same without a copy at the end, for benchmarks."""
    body, label_pairs = bytearray(), LabelPairCache()
    for samples in families:
        for block in encode(samples, exposition_format, label_pairs):
            body += block
    if exposition_format is Format.OPENMETRICS:
        body += EOF
    return body
