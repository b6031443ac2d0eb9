"""Passwords against bcrypt hashes, at the same cost whether the user exists or not."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import bcrypt

from insights_exporter.secrets import Secret

__all__ = ["PasswordVerifier", "TooBusy"]

_CACHE_SIZE = 256
"""Logins that are remembered."""
_MAX_QUEUED = 32
"""Attempts that may wait for their turn."""
_BCRYPT_MAX_BYTES = 72
"""Bytes of a password that bcrypt looks at."""


class TooBusy(Exception):
    """Too many passwords wait to be checked."""


class PasswordVerifier:
    """Checks passwords one at a time in a thread, and remembers those that were right.

    What is remembered is a digest under a key that dies with the process, over the hash too: a changed hash
    asks for the password anew.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._verified_logins: OrderedDict[bytes, None] = OrderedDict()
        self._semaphore = asyncio.Semaphore(1)
        self._queued = 0

    def is_cached(self, users: Mapping[str, Secret], name: str, password: bytes) -> bool:
        """Say whether this login was right before and still is."""
        stored_hash = users.get(name)
        if stored_hash is None:
            return False
        digest = self._digest(stored_hash, name, password)
        if digest in self._verified_logins:
            self._verified_logins.move_to_end(digest)
            return True
        return False

    async def verify(self, users: Mapping[str, Secret], name: str, password: bytes) -> bool:
        """Say whether the password is the user's; raise TooBusy where too many wait."""
        if self._queued >= _MAX_QUEUED:
            raise TooBusy
        stored_hash = users.get(name)
        hash_bytes = (stored_hash or self._dummy_hash(users, name)).reveal().encode("ascii")
        self._queued += 1
        try:
            async with self._semaphore:
                matches = await asyncio.to_thread(bcrypt.checkpw, password[:_BCRYPT_MAX_BYTES], hash_bytes)
        finally:
            self._queued -= 1
        if stored_hash is None or not matches:
            return False
        self._verified_logins[self._digest(stored_hash, name, password)] = None
        if len(self._verified_logins) > _CACHE_SIZE:
            self._verified_logins.popitem(last=False)
        return True

    def _dummy_hash(self, users: Mapping[str, Secret], name: str) -> Secret:
        """Return a hash as costly as that of some user, always the same one for a name."""
        costs = sorted(hashed.reveal().split("$")[2] for hashed in users.values())
        index = int.from_bytes(hmac.digest(self._key, name.encode("utf-8", "replace"), "sha256"), "big")
        return Secret(f"$2b${costs[index % len(costs)]}${'.' * 53}")

    def _digest(self, hashed: Secret, name: str, password: bytes) -> bytes:
        parts = (hashed.reveal().encode(), name.encode("utf-8", "replace"), password)
        # Fixed lengths before the key comes in: no two logins share a digest.
        return hmac.digest(self._key, b"".join(hashlib.sha256(part).digest() for part in parts), "sha256")
