"""An answer that is sent in parts: putting a page together would take longer than all the rest."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

__all__ = ["ChunkedBody"]


class ChunkedBody(Payload):
    """Bytes in parts, of which each is sent as it is."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__(chunks)
        self._chunks = chunks
        self._size = sum(len(chunk) for chunk in chunks)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the whole as text."""
        return b"".join(self._chunks).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send one after the other."""
        for chunk in self._chunks:
            await writer.write(chunk)
