"""Verify passwords against bcrypt hashes, at equal cost for known and unknown users."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import bcrypt

from insights_exporter.secrets import Secret

__all__ = ["PasswordVerifier", "TooBusy"]

_CACHE_SIZE: Final = 256
"""Verified logins in the cache."""
_MAX_QUEUED: Final = 32
"""Verifications that may wait."""
_BCRYPT_MAX_BYTES: Final = 72
"""Bytes of a password that bcrypt uses."""


class TooBusy(Exception):  # noqa: N818  # A state of the server, no fault.
    """Too many verifications are waiting."""


class PasswordVerifier:
    """Verifies passwords one at a time in a thread, and caches verified logins.

    A cache entry is an HMAC of user, password and hash under a key of this process. A changed hash makes the
    entry invalid.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._verified_logins: OrderedDict[bytes, None] = OrderedDict()
        self._semaphore = asyncio.Semaphore(1)
        self._queued = 0

    def is_cached(self, users: Mapping[str, Secret], name: str, password: bytes) -> bool:
        """Return whether the login is in the cache."""
        stored_hash = users.get(name)
        if stored_hash is None:
            return False
        digest = self._digest(stored_hash, name, password)
        if digest in self._verified_logins:
            self._verified_logins.move_to_end(digest)
            return True
        return False

    async def verify(self, users: Mapping[str, Secret], name: str, password: bytes) -> bool:
        """Return whether the password is correct; raise TooBusy if too many verifications wait."""
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
        """Return a hash for an unknown user, with the cost of some user's hash, stable for each name."""
        costs = sorted(hashed.reveal().split("$")[2] for hashed in users.values())
        index = int.from_bytes(hmac.digest(self._key, name.encode("utf-8", "replace"), "sha256"), "big")
        return Secret(f"$2b${costs[index % len(costs)]}${'.' * 53}")

    def _digest(self, hashed: Secret, name: str, password: bytes) -> bytes:
        parts = (hashed.reveal().encode(), name.encode("utf-8", "replace"), password)
        # Digests of fixed length, so that two different logins cannot concatenate to the same bytes.
        return hmac.digest(self._key, b"".join(hashlib.sha256(part).digest() for part in parts), "sha256")
