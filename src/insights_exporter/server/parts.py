"""An answer that is sent in parts: putting a page together would take longer than all the rest."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

__all__ = ["Parts"]


class Parts(Payload):
    """Bytes in parts, of which each is sent as it is."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        super().__init__(parts)
        self._parts = parts
        self._size = sum(len(part) for part in parts)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the whole as text."""
        return b"".join(self._parts).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send one after the other."""
        for part in self._parts:
            await writer.write(part)
