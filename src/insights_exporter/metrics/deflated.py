"""Compressed pieces that join to one gzip member without compressing anything twice.

Each piece ends at a byte boundary and refers to nothing before it, so any sequence of pieces is a valid
stream, and the checksum of the whole follows from those of the pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isal import isal_zlib

__all__ = ["Piece", "deflate", "gunzipped", "gzipped", "joined"]

_LEVEL = 1
_RAW = -15
# The name of no file, no time, the fastest method, an unknown system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
# An empty last block: what ends a stream of pieces, none of which is the last.
_LAST = b"\x03\x00"


@dataclass(frozen=True, slots=True)
class Piece:
    """Compressed bytes with the length and the checksum of the plain ones."""

    data: bytes
    length: int
    checksum: int


def deflate(blocks: Iterable[bytes], *, pause: Callable[[], None] | None = None) -> Piece:
    """Compress blocks as they come; ``pause`` is called after each, so that other threads get their turn."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    parts, length, checksum = [], 0, 0
    for block in blocks:
        parts.append(compressor.compress(block))
        length += len(block)
        checksum = isal_zlib.crc32(block, checksum)
        if pause is not None:
            pause()
    parts.append(compressor.flush(isal_zlib.Z_SYNC_FLUSH))
    return Piece(b"".join(parts), length, checksum)


def joined(pieces: Iterable[Piece]) -> Piece:
    """Return the pieces as one."""
    parts, length, checksum = [], 0, 0
    for piece in pieces:
        parts.append(piece.data)
        length += piece.length
        checksum = isal_zlib.crc32_combine(checksum, piece.checksum, piece.length)
    return Piece(b"".join(parts), length, checksum)


def gzipped(*pieces: Piece) -> list[bytes]:
    """Return the pieces as a gzip file of one member, in parts that are not copied."""
    length, checksum = 0, 0
    for piece in pieces:
        length += piece.length
        checksum = isal_zlib.crc32_combine(checksum, piece.checksum, piece.length)
    return [
        _HEADER,
        *(piece.data for piece in pieces),
        _LAST + struct.pack("<II", checksum, length & 0xFFFFFFFF),
    ]


def gunzipped(*pieces: Piece) -> bytes:
    """Return what the pieces hold, uncompressed."""
    whole = joined(pieces)
    plain: bytes = isal_zlib.decompress(whole.data + _LAST, _RAW, max(1, whole.length))
    return plain
