"""How users appear in whatever leaves the exporter."""

from __future__ import annotations

import hmac

from insights_exporter.settings import UserNames

__all__ = ["Redaction"]

_DIGITS = 16


class Redaction:
    """Turns usernames into what may be shown of them.

    Hashing is keyed, as usernames are few enough to be guessed one after the other, and replicas that share
    the key agree. Raises ValueError where names are to be hashed and there is no key.
    """

    def __init__(self, users: UserNames, key: bytes = b"") -> None:
        if users is UserNames.HASHED and not key:
            raise ValueError("Expected a key to hash usernames with, found none.")
        self._users = users
        self._key = key

    @property
    def named(self) -> bool:
        """Whether people may be recognised: only then display names, avatars and ids go out."""
        return self._users is UserNames.NAMED

    @property
    def off(self) -> bool:
        """Whether users do not appear at all."""
        return self._users is UserNames.OFF

    def name(self, username: str) -> str | None:
        """Return what stands for a user; None where users are left out."""
        if self._users is UserNames.NAMED:
            return username
        if self._users is UserNames.OFF:
            return None
        # A lone surrogate can reach us through JSON; the hash must not fail over it.
        digest = hmac.digest(self._key, username.encode(errors="surrogatepass"), "sha256")
        return f"user-{digest.hex()[:_DIGITS]}"
