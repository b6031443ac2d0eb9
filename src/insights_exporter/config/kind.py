"""What a key may hold, and how a text becomes that."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from yarl import URL

from insights_exporter.coder import time_ranges
from insights_exporter.coder.settings import api_base_url
from insights_exporter.config.errors import InvalidValue, quoted, suggestion
from insights_exporter.errors import ConfigError

__all__ = [
    "Address",
    "Choice",
    "CoderAddress",
    "Day",
    "File",
    "Flag",
    "Items",
    "Kind",
    "Known",
    "Pairs",
    "Scalar",
    "Seconds",
    "SecretText",
    "Text",
    "Whole",
    "WindowName",
]

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_UNITS = (86400.0, 3600.0, 60.0, 1.0)


class Scalar(Protocol):
    """A value that one text says."""

    @property
    def expected(self) -> str:
        """What a text must be."""
        ...

    def parse(self, text: str) -> object:
        """Return the value; raise Unfit where the text does not say one."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Any text but an empty one."""

    expected: str = "a text"

    def parse(self, text: str) -> str:
        """Return the text."""
        if not text.strip():
            raise InvalidValue("nothing")
        return text


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes or a no."""

    expected: str = "true or false"

    def parse(self, text: str) -> bool:
        """Return the truth."""
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False}
        try:
            return words[text.strip().lower()]
        except KeyError:
            raise InvalidValue(quoted(text)) from None


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from ``least`` to ``most``."""

    least: int = 0
    most: int | None = None

    @property
    def expected(self) -> str:
        """What a text must be."""
        return (
            f"a whole number of at least {self.least}"
            if self.most is None
            else f"a whole number from {self.least} to {self.most}"
        )

    def parse(self, text: str) -> int:
        """Return the number."""
        if re.fullmatch(r"[+-]?[0-9][0-9_]{0,17}", text.strip()) is None:
            raise InvalidValue(quoted(text))
        number = int(text)
        if number < self.least or (self.most is not None and number > self.most):
            raise InvalidValue(str(number))
        return number


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time as a number of seconds, or with units such as ``5m`` or ``1h30m``."""

    zero: bool = False

    @property
    def expected(self) -> str:
        """What a text must be."""
        return f"{'seconds of 0 or more' if self.zero else 'seconds above 0'}, or a time such as 5m or 1h30m"

    def parse(self, text: str) -> float:
        """Return the seconds."""
        stripped = text.strip()
        match = _DURATION.fullmatch(stripped)
        try:
            if match is not None and stripped:
                seconds = sum(
                    float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part
                )
            else:
                seconds = float(stripped)
        except ValueError:
            raise InvalidValue(quoted(text)) from None
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not self.zero):
            raise InvalidValue(quoted(text))
        return seconds


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, which may belong to an enumeration."""

    of: type[StrEnum] | tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The words to choose from."""
        return self.of if isinstance(self.of, tuple) else tuple(self.of)

    @property
    def expected(self) -> str:
        """What a text must be."""
        *front, last = self.words
        return f"{', '.join(front)} or {last}"

    def parse(self, text: str) -> str:
        """Return the member of the enumeration, or the word."""
        word = text.strip()
        if word not in self.words:
            raise InvalidValue(quoted(text) + suggestion(word, self.words))
        return word if isinstance(self.of, tuple) else self.of(word)


@dataclass(frozen=True, slots=True)
class Known:
    """A name that is one of many."""

    names: Callable[[], Iterable[str]]
    expected: str

    def parse(self, text: str) -> str:
        """Return the name."""
        if text not in set(self.names()):
            raise InvalidValue(quoted(text) + suggestion(text, self.names()))
        return text


@dataclass(frozen=True, slots=True)
class File:
    """A path, relative to the file that names it; ``exists`` wants a file that can be read."""

    exists: bool = True

    @property
    def expected(self) -> str:
        """What a text must be."""
        return "the path of a readable file" if self.exists else "a path"

    def parse(self, text: str) -> Path:
        """Return the path as it is written."""
        if not text.strip() or "\0" in text:
            raise InvalidValue(quoted(text))
        return Path(text).expanduser()


@dataclass(frozen=True, slots=True)
class Day:
    """A date."""

    expected: str = "a date such as 2026-01-01"

    def parse(self, text: str) -> date:
        """Return the date."""
        try:
            return date.fromisoformat(text.strip())
        except ValueError:
            raise InvalidValue(quoted(text)) from None


@dataclass(frozen=True, slots=True)
class WindowName:
    """The name of a window of days."""

    expected: str = '"today", "yesterday" or days such as "7d"'

    def parse(self, text: str) -> str:
        """Return the name."""
        try:
            time_ranges.parse_window(text.strip(), datetime(2026, 1, 1, tzinfo=time_ranges.fixed_timezone(0)))
        except ValueError:
            raise InvalidValue(quoted(text)) from None
        return text.strip()


@dataclass(frozen=True, slots=True)
class CoderAddress:
    """The deployment's address, by the client's own rules."""

    expected: str = "an address such as https://coder.example.com"

    def parse(self, text: str) -> str:
        """Return the address."""
        try:
            api_base_url(text)
        except ConfigError as error:
            # The client's message is "url: expected …, found …." and never repeats the text.
            raise InvalidValue(str(error).rpartition("found ")[2].removesuffix(".")) from None
        return text.strip()


@dataclass(frozen=True, slots=True)
class Address:
    """An address of HTTP without user or password, which would be shown."""

    expected: str = "an address of http or https without user and password"

    def parse(self, text: str) -> str:
        """Return the address."""
        try:
            url = URL(text.strip())
            valid = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
        except ValueError:
            valid = False
        # The text may hold a password, so nothing of it is repeated.
        if not valid:
            raise InvalidValue("something else")
        if url.user is not None or url.password is not None:
            raise InvalidValue("a user or password in it")
        return text.strip()


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values; in the environment commas stand between them."""

    of: Scalar
    empty: bool = True

    @property
    def expected(self) -> str:
        """What the value must be."""
        return f"a list of which each is {self.of.expected}"


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping of names to values; in the environment commas stand between pairs such as ``name=value``."""

    of: Scalar
    names: Scalar = field(default_factory=Text)

    @property
    def expected(self) -> str:
        """What the value must be."""
        return f"a mapping of {self.names.expected} to {self.of.expected}"


@dataclass(frozen=True, slots=True)
class SecretText:
    """A secret: in a file (``<key>_file``), in a variable (``<key>_env``) or here (``<key>``)."""

    expected: str = "a text"


Kind: TypeAlias = Scalar | Items | Pairs | SecretText
