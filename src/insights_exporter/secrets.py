"""Values that must not be shown, and the places they are read from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from insights_exporter.errors import SecretError

__all__ = ["EnvironmentSecret", "FileSecret", "LiteralSecret", "Secret", "SecretSource"]

MASK = "***"


class Secret:
    """A text that only ``reveal`` shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the one place that sends it."""
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
        raise TypeError("A secret is not pickled.")


class SecretSource(Protocol):
    """A place that a secret is read from each time it is needed."""

    def read(self) -> Secret:
        """Return the secret as it stands now; raise SecretError where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class LiteralSecret:
    """A secret that the configuration holds itself."""

    secret: Secret

    def read(self) -> Secret:
        """Return the secret."""
        return self.secret


@dataclass(frozen=True, slots=True)
class EnvironmentSecret:
    """A secret in a variable of the environment."""

    name: str
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def read(self) -> Secret:
        """Return the variable without surrounding blanks; raise SecretError where it is unset or empty."""
        return _parse_secret(
            self.environment.get(self.name, ""), source=f"the environment variable {self.name}"
        )


@dataclass(slots=True)
class FileSecret:
    """A secret in a file, read anew whenever the file has changed, so that it can be rotated.

    Two are equal that name the same file, whatever was read of it.
    """

    path: Path
    _stat_key: tuple[int, int, int] | None = field(default=None, init=False, repr=False, compare=False)
    _secret: Secret = field(default_factory=lambda: Secret(""), init=False, repr=False, compare=False)

    def read(self) -> Secret:
        """Return the text without surrounding blanks; raise SecretError where it is unreadable or empty."""
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
                f"Cannot read the file {self.path}: {error.strerror}. "
                "Expected a readable file that holds the secret and nothing else."
            ) from error
        except UnicodeDecodeError:
            # The cause would quote the bytes of the secret.
            raise SecretError(
                f"The file {self.path} is not text. Expected a file that holds the secret and nothing else."
            ) from None
        return self._secret


def _parse_secret(text: str, *, source: str) -> Secret:
    stripped = text.strip()
    if not stripped:
        raise SecretError(f"Found nothing in {source}. Expected the secret there, on a line of its own.")
    if not stripped.isprintable():
        raise SecretError(f"Found more than one line or control characters in {source}. Expected one line.")
    return Secret(stripped)
