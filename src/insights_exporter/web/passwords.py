"""Passwords against bcrypt hashes, at the same cost whether the user exists or not."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import bcrypt

from insights_exporter.secret import Secret

__all__ = ["Passwords", "TooBusy"]

_REMEMBERED = 256
"""Logins that are remembered."""
_WAITING = 32
"""Attempts that may wait for their turn."""
_LONGEST = 72
"""Bytes of a password that bcrypt looks at."""


class TooBusy(Exception):  # noqa: N818 - it says what happened.
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks passwords one at a time in a thread, and remembers those that were right.

    What is remembered is a digest under a key that dies with the process, over the hash too: a changed hash
    asks for the password anew.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    def remembered(self, users: Mapping[str, Secret], name: str, password: bytes) -> bool:
        """Say whether this login was right before and still is."""
        known = users.get(name)
        if known is None:
            return False
        digest = self._digest(known, name, password)
        if digest in self._right:
            self._right.move_to_end(digest)
            return True
        return False

    async def right(self, users: Mapping[str, Secret], name: str, password: bytes) -> bool:
        """Say whether the password is the user's; raise TooBusy where too many wait."""
        if self._waiting >= _WAITING:
            raise TooBusy
        known = users.get(name)
        hashed = (known or self._stand_in(users, name)).reveal().encode("ascii")
        self._waiting += 1
        try:
            async with self._turn:
                matches = await asyncio.to_thread(bcrypt.checkpw, password[:_LONGEST], hashed)
        finally:
            self._waiting -= 1
        if known is None or not matches:
            return False
        self._right[self._digest(known, name, password)] = None
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)
        return True

    def _stand_in(self, users: Mapping[str, Secret], name: str) -> Secret:
        """Return a hash as costly as that of some user, always the same one for a name."""
        costs = sorted(hashed.reveal().split("$")[2] for hashed in users.values())
        number = int.from_bytes(hmac.digest(self._key, name.encode("utf-8", "replace"), "sha256"), "big")
        return Secret(f"$2b${costs[number % len(costs)]}${'.' * 53}")

    def _digest(self, hashed: Secret, name: str, password: bytes) -> bytes:
        parts = (hashed.reveal().encode(), name.encode("utf-8", "replace"), password)
        # Fixed lengths before the key comes in: no two logins share a digest.
        return hmac.digest(self._key, b"".join(hashlib.sha256(part).digest() for part in parts), "sha256")
