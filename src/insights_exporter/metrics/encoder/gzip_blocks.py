"""Compressed pieces that join to one gzip member without compressing anything twice.

Each piece ends at a byte boundary and refers to nothing before it, so any sequence of pieces is a valid
stream, and the checksum of the whole follows from those of the pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isal import isal_zlib

__all__ = ["CompressedBlock", "compress", "concat", "decompress", "to_gzip"]

_LEVEL = 1
_RAW_DEFLATE_WBITS = -15
# The name of no file, no time, the fastest method, an unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
# An empty last block: what ends a stream of pieces, none of which is the last.
_FINAL_BLOCK = b"\x03\x00"


@dataclass(frozen=True, slots=True)
class CompressedBlock:
    """Compressed bytes with the length and the checksum of the plain ones."""

    data: bytes
    length: int
    checksum: int


def compress(blocks: Iterable[bytes], *, after_block: Callable[[], None] | None = None) -> CompressedBlock:
    """Compress blocks as they come; ``pause`` is called after each, so that other threads get their turn."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE_WBITS)
    chunks, length, checksum = [], 0, 0
    for block in blocks:
        chunks.append(compressor.compress(block))
        length += len(block)
        checksum = isal_zlib.crc32(block, checksum)
        if after_block is not None:
            after_block()
    chunks.append(compressor.flush(isal_zlib.Z_SYNC_FLUSH))
    return CompressedBlock(b"".join(chunks), length, checksum)


def concat(blocks: Iterable[CompressedBlock]) -> CompressedBlock:
    """Return the pieces as one."""
    chunks, length, checksum = [], 0, 0
    for block in blocks:
        chunks.append(block.data)
        length += block.length
        checksum = isal_zlib.crc32_combine(checksum, block.checksum, block.length)
    return CompressedBlock(b"".join(chunks), length, checksum)


def to_gzip(*blocks: CompressedBlock) -> list[bytes]:
    """Return the pieces as a gzip file of one member, in parts that are not copied."""
    length, checksum = 0, 0
    for block in blocks:
        length += block.length
        checksum = isal_zlib.crc32_combine(checksum, block.checksum, block.length)
    return [
        _GZIP_HEADER,
        *(block.data for block in blocks),
        _FINAL_BLOCK + struct.pack("<II", checksum, length & 0xFFFFFFFF),
    ]


def decompress(*blocks: CompressedBlock) -> bytes:
    """Return what the pieces hold, uncompressed."""
    block = concat(blocks)
    plain: bytes = isal_zlib.decompress(block.data + _FINAL_BLOCK, _RAW_DEFLATE_WBITS, max(1, block.length))
    return plain
