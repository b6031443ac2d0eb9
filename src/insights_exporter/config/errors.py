"""What is wrong with a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from insights_exporter.errors import ConfigError

__all__ = ["ConfigProblems", "InvalidValue", "Problem", "quoted", "suggestion"]

MAX_QUOTED_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: ``place`` is a file with its line, or the name of a variable of the environment."""

    location: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Return the fault on one line."""
        key = f" {self.key}:" if self.key else ""
        return f"{self.location}:{key} expected {self.expected}, found {self.found}."


class ConfigProblems(ConfigError):
    """The configuration cannot be used; ``problems`` holds every fault, in the order of the places."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class InvalidValue(Exception):
    """A text does not say what its key needs; ``expected`` is more exact than the key's kind, or empty."""

    def __init__(self, found: str, *, expected: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


def quoted(text: str) -> str:
    """Return a text in quotes, cut to a length that fits a line."""
    if not text:
        return "nothing"
    cut = text if len(text) <= MAX_QUOTED_LENGTH else text[:MAX_QUOTED_LENGTH] + "…"
    return '"' + "".join(character if character.isprintable() else "�" for character in cut) + '"'


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that looks most like this one; nothing where none does."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
