"""Problems of a configuration, each with its location, key, expected and actual value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from insights_exporter.errors import ConfigError

__all__ = ["InvalidConfigError", "Problem", "quote", "suggest"]

MAX_QUOTED_LENGTH = 60
"""Characters of a value or key that an error message repeats."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One invalid value.

    ``location`` is a file with a line number, or the name of an environment variable; ``key`` may be empty.
    """

    location: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Return the problem on one line."""
        key = f" {self.key}:" if self.key else ""
        return f"{self.location}:{key} expected {self.expected}, got {self.found}"


class InvalidConfigError(ConfigError):
    """Invalid configuration; ``problems`` holds every problem in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def quote(text: str) -> str:
    """Return a text in double quotes, shortened to 60 printable characters; ``nothing`` for an empty text."""
    if not text:
        return "nothing"
    shown = text if len(text) <= MAX_QUOTED_LENGTH else text[:MAX_QUOTED_LENGTH] + "…"
    return '"' + "".join(character if character.isprintable() else "�" for character in shown) + '"'


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name closest to this one; an empty text without a close match."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
