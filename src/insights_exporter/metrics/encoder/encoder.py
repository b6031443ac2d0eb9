"""The encoder of an exposition: families to compressed text, reused while the samples are unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from insights_exporter.metrics.derivation_cache import TwoGenerationCache
from insights_exporter.metrics.encoder.gzip_blocks import EncodedBody, compress
from insights_exporter.metrics.encoder.samples import FamilySamples, SeriesGroup
from insights_exporter.metrics.encoder.text import (
    Format,
    LabelPairCache,
    encode_groups,
    encode_header,
    encode_rows,
    encode_samples,
)

__all__ = ["Encoder", "encode"]

_BlockKey = tuple[str, float | None, tuple[SeriesGroup, ...]]
"""Family name, creation time and groups of a compressed block, which is the same in both formats."""

_MIN_BLOCK_SERIES: Final = 500
"""Series of a reusable block: groups of few users share one, as each block costs about 100 bytes."""


def encode(
    samples: FamilySamples, exposition_format: Format, label_pairs: LabelPairCache | None = None
) -> Iterator[bytes]:
    """Yield the text of a family in blocks; families of one exposition may share ``label_pairs``.

    OpenMetrics needs ``EOF`` after the last family.
    """
    pairs = LabelPairCache() if label_pairs is None else label_pairs
    yield encode_header(samples.family, exposition_format)
    yield from encode_samples(samples, exposition_format, pairs)


class Encoder:
    """Encodes the families of snapshot after snapshot, compressed.

    ``encode`` returns the bytes of the function ``encode``. A block of groups that are the same objects as in
    the snapshot before is not encoded again.
    """

    def __init__(self, *, after_block: Callable[[], None]) -> None:
        self._after_block = after_block
        self._blocks: TwoGenerationCache[_BlockKey, EncodedBody] = TwoGenerationCache()
        self._label_pairs = LabelPairCache()

    def finish_snapshot(self) -> None:
        """Forget the blocks that this snapshot did not use."""
        self._blocks.rotate()
        self._label_pairs = LabelPairCache()

    def encode(self, samples: FamilySamples, exposition_format: Format) -> EncodedBody:
        """Return a family's header and series."""
        header = compress([encode_header(samples.family, exposition_format)])
        return EncodedBody.join((header, self._encode_series(samples, exposition_format)))

    def _encode_series(self, samples: FamilySamples, exposition_format: Format) -> EncodedBody:
        created = samples.created if exposition_format is Format.OPENMETRICS else None
        parts = [self._encode_block(samples, groups, created) for groups in _group_blocks(samples)]
        rows = encode_rows(samples, exposition_format, self._label_pairs)
        parts.append(compress(rows, after_block=self._after_block))
        return EncodedBody.join(parts)

    def _encode_block(
        self, samples: FamilySamples, groups: tuple[SeriesGroup, ...], created: float | None
    ) -> EncodedBody:
        key = samples.family.name, created, groups
        cached = self._blocks.get(key)
        return cached or self._blocks.put(
            key,
            compress(
                encode_groups(samples, groups, self._label_pairs, created), after_block=self._after_block
            ),
        )


def _group_blocks(samples: FamilySamples) -> Iterator[tuple[SeriesGroup, ...]]:
    """Yield groups in tuples, each of one large group or of several small ones."""
    block: list[SeriesGroup] = []
    series = 0
    for group in samples.groups:
        block.append(group)
        series += group.count
        if series >= _MIN_BLOCK_SERIES:
            yield tuple(block)
            block, series = [], 0
    if block:
        yield tuple(block)
