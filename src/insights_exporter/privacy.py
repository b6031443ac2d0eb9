"""How users appear in whatever leaves the exporter."""

from __future__ import annotations

import hmac

from insights_exporter.config.settings import UsernameMode

__all__ = ["UsernamePolicy"]

_HASH_LENGTH = 16


class UsernamePolicy:
    """Turns usernames into what may be shown of them.

    Hashing is keyed, as usernames are few enough to be guessed one after the other, and replicas that share
    the key agree. Raises ValueError where names are to be hashed and there is no key.
    """

    def __init__(self, mode: UsernameMode, key: bytes = b"") -> None:
        if mode is UsernameMode.HASHED and not key:
            raise ValueError("Expected a key to hash usernames with, found none.")
        self._mode = mode
        self._key = key

    @property
    def shows_names(self) -> bool:
        """Whether people may be recognised: only then display names, avatars and ids go out."""
        return self._mode is UsernameMode.NAMED

    @property
    def hides_users(self) -> bool:
        """Whether users do not appear at all."""
        return self._mode is UsernameMode.OFF

    def pseudonymize(self, username: str) -> str | None:
        """Return what stands for a user; None where users are left out."""
        if self._mode is UsernameMode.NAMED:
            return username
        if self._mode is UsernameMode.OFF:
            return None
        # A lone surrogate can reach us through JSON; the hash must not fail over it.
        digest = hmac.digest(self._key, username.encode(errors="surrogatepass"), "sha256")
        return f"user-{digest.hex()[:_HASH_LENGTH]}"
