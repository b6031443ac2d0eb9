"""Compressed parts: any sequence of them is one gzip member with the right length and checksum."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.metrics.encoder.gzip_blocks import EncodedBody, compress


@given(st.lists(st.lists(st.binary(max_size=50), max_size=3), max_size=4), st.binary(max_size=20))
def test_joined_parts_are_one_gzip_member(parts: list[list[bytes]], trailer: bytes) -> None:
    plain = b"".join(b"".join(blocks) for blocks in parts)
    body = EncodedBody.join(compress(blocks) for blocks in parts)
    compressed = b"".join(body.gzip(trailer))

    assert body.plain() == plain
    assert body.size == len(plain)
    assert gzip.decompress(compressed) == plain + trailer
    assert int.from_bytes(compressed[-4:], "little") == len(plain + trailer)
    assert b"".join(body.compact().gzip(trailer)) == compressed


def test_empty_part() -> None:
    empty = EncodedBody.join([])

    assert (empty.size, empty.checksum, empty.plain()) == (0, 0, b"")
    assert gzip.decompress(b"".join(empty.gzip(b""))) == b""


def test_size_field_is_modulo_four_gibibytes() -> None:
    """RFC 1952 stores the size modulo 2**32; decompressors do not use it for larger files."""
    part = compress([b"x"])
    large = EncodedBody(part.chunks, 2**32 + 1, part.checksum)

    assert int.from_bytes(b"".join(large.gzip(b""))[-4:], "little") == 1


def test_after_block_runs_once_per_block() -> None:
    calls: list[None] = []
    compress([b"a", b"b", b"c"], after_block=lambda: calls.append(None))

    assert len(calls) == 3
