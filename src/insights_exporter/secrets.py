"""Secrets, which are masked in every text form, and the sources that they are read from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from insights_exporter.errors import SecretError

__all__ = [
    "MASK",
    "EnvironmentSecret",
    "FileSecret",
    "LiteralSecret",
    "Secret",
    "SecretSource",
    "mask_secrets",
]

MASK = "***"

_MIN_SECRET_LENGTH = 4
"""Shorter texts occur by chance; masking them would make other text unreadable."""


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text with each secret replaced by the mask; secrets below four characters stay."""
    # Longest first, as one secret may contain another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK) if len(secret) >= _MIN_SECRET_LENGTH else text
    return text


class Secret:
    """A secret text that only ``reveal`` returns."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret text, to send it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        """Return the mask."""
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("A secret must not be pickled.")


class SecretSource(Protocol):
    """A source that is read at each use, because secrets rotate."""

    def read(self) -> Secret:
        """Return the current secret; raise SecretError without one."""
        ...


@dataclass(frozen=True, slots=True)
class LiteralSecret:
    """A secret in the configuration itself."""

    secret: Secret

    def read(self) -> Secret:
        """Return the secret."""
        return self.secret


@dataclass(frozen=True, slots=True)
class EnvironmentSecret:
    """A secret in an environment variable."""

    name: str
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def read(self) -> Secret:
        """Return the stripped variable; raise SecretError if it is unset or empty."""
        return _parse_secret(
            self.environment.get(self.name, ""), source=f"the environment variable {self.name}"
        )


@dataclass(slots=True)
class FileSecret:
    """A secret in a file, which is read again after each change of the file.

    Sources of the same path are equal, whatever they have cached.
    """

    path: Path
    _stat_key: tuple[int, int, int] | None = field(default=None, init=False, repr=False, compare=False)
    _secret: Secret = field(default_factory=lambda: Secret(""), init=False, repr=False, compare=False)

    def read(self) -> Secret:
        """Return the stripped text; raise SecretError if the file is unreadable or empty."""
        try:
            stat = self.path.stat()
            stat_key = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stat_key != self._stat_key:
                self._secret = _parse_secret(
                    self.path.read_text(encoding="utf-8"), source=f"the file {self.path}"
                )
                self._stat_key = stat_key
        except OSError as error:
            raise SecretError(
                f"expected a readable file with the secret, got {self.path}: {error.strerror}"
            ) from error
        except UnicodeDecodeError:
            # Raised `from None`, because the cause quotes bytes of the secret.
            raise SecretError(
                f"expected a text file with the secret, got {self.path}, which is not UTF-8"
            ) from None
        return self._secret


def _parse_secret(text: str, *, source: str) -> Secret:
    stripped = text.strip()
    if not stripped:
        raise SecretError(f"expected a secret in {source}, got nothing")
    if not stripped.isprintable():
        raise SecretError(f"expected one line in {source}, got several lines or control characters")
    return Secret(stripped)
