"""Compressed parts that join to one gzip member; no part is compressed twice.

Each part ends at a byte boundary and refers to nothing before it. So any sequence of parts is a valid deflate
stream, and its checksum follows from the checksums of the parts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

__all__ = ["EncodedBody", "compress"]

_LEVEL: Final = 1
_RAW_DEFLATE_WBITS: Final = -15
# Magic number, deflate, no flags, no time, fastest method, unknown system (RFC 1952).
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
# An empty final block: no part ends the stream by itself.
_FINAL_BLOCK: Final = b"\x03\x00"


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A part of an exposition, held compressed; ``size`` and ``checksum`` are of the plain bytes."""

    chunks: tuple[bytes, ...]
    size: int
    checksum: int

    @classmethod
    def join(cls, parts: Iterable[EncodedBody]) -> EncodedBody:
        """Return parts as one, without a copy of their bytes."""
        chunks: list[bytes] = []
        size, checksum = 0, 0
        for part in parts:
            chunks += part.chunks
            size += part.size
            checksum = isal_zlib.crc32_combine(checksum, part.checksum, part.size)
        return cls(tuple(chunks), size, checksum)

    def compact(self) -> EncodedBody:
        """Return the same in one chunk, which a scrape sends with fewer system calls."""
        return EncodedBody((b"".join(self.chunks),), self.size, self.checksum)

    def plain(self) -> bytes:
        """Return the bytes without compression."""
        stream = b"".join((*self.chunks, _FINAL_BLOCK))
        plain: bytes = isal_zlib.decompress(stream, _RAW_DEFLATE_WBITS, max(1, self.size))
        return plain

    def gzip(self, trailer: bytes) -> list[bytes]:
        """Return a gzip file of this part and a trailer, in chunks that need no copy."""
        end = compress([trailer])
        checksum = isal_zlib.crc32_combine(self.checksum, end.checksum, end.size)
        footer = struct.pack("<II", checksum, (self.size + end.size) & 0xFFFFFFFF)
        return [_GZIP_HEADER, *self.chunks, *end.chunks, _FINAL_BLOCK + footer]


def compress(blocks: Iterable[bytes], *, after_block: Callable[[], None] | None = None) -> EncodedBody:
    """Return blocks as one part; ``after_block`` runs after each and may release the GIL."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE_WBITS)
    chunks, size, checksum = [], 0, 0
    for block in blocks:
        chunks.append(compressor.compress(block))
        size += len(block)
        checksum = isal_zlib.crc32(block, checksum)
        if after_block is not None:
            after_block()
    chunks.append(compressor.flush(isal_zlib.Z_SYNC_FLUSH))
    return EncodedBody((b"".join(chunks),), size, checksum)
