"""Query parameters as Coder parses them: everything wrong is gathered and told at once."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from multidict import MultiMapping

from insights_exporter.simulator.api.problem import Validation, invalid_parameters

__all__ = ["Query", "parse_uuid", "terms"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INTEGER = re.compile(r"[+-]?[0-9]+")


def parse_uuid(text: str) -> UUID | None:
    """Return the id; None where the text is none."""
    return UUID(text) if _UUID.fullmatch(text) else None


def terms(text: str, *, bare: str) -> dict[str, str]:
    """Return what a search asks for: ``key:value`` with blanks between; a word alone stands for ``bare``."""
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = text.split()
    found = (part.partition(":") for part in parts)
    return {key if colon else bare: value if colon else key for key, colon, value in found}


@dataclass(slots=True)
class Query:
    """The parameters of one request; read them all, then ``finish``."""

    values: MultiMapping[str]
    known: set[str] = field(default_factory=set)
    wrong: list[Validation] = field(default_factory=list)

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a parameter that may be given once."""
        self.known.add(name)
        found = self.values.getall(name, [])
        if len(found) > 1:
            self._refuse(
                name,
                f'Query param "{name}" provided more than once, found {len(found)} times. '
                "Only provide 1 instance of this query param.",
            )
            return ""
        value = found[0] if found else ""
        if required and not value.strip():
            self._refuse(name, f'Query param "{name}" is required and cannot be empty')
        return value

    def integer(self, name: str, default: int, *, least: int | None = None) -> int:
        """Return a whole number."""
        text = self.text(name)
        if not text:
            return default
        value = int(text) if _INTEGER.fullmatch(text) else None
        if value is None or (least is not None and value < least) or not -(2**31) <= value < 2**31:
            kind = "integer" if least is None else "positive integer"
            self._refuse(name, f'Query param "{name}" must be a valid {kind}: invalid syntax "{text}"')
            return default
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list, given with commas, by repetition or both."""
        self.known.add(name)
        return [part for one in self.values.getall(name, []) for part in one.split(",") if part]

    def uuid(self, name: str) -> str:
        """Return an id in small letters."""
        text = self.text(name)
        if text and parse_uuid(text) is None:
            self._refuse(name, f'Query param "{name}" must be a valid uuid')
        return text.lower()

    def uuids(self, name: str) -> list[str]:
        """Return a list of ids in small letters."""
        parts = self.texts(name)
        bad = [part for part in parts if parse_uuid(part) is None]
        if bad:
            reasons = ", ".join(f"invalid UUID length: {len(one)}" for one in bad)
            self._refuse(name, f'Query param "{name}" has invalid values: {reasons}')
            return []
        return [part.lower() for part in parts]

    def finish(self, *, strict: bool) -> None:
        """Raise the problem where anything was wrong; ``strict`` refuses parameters that nobody read."""
        if strict:
            self._refuse_unknown(self.values.keys())
        if self.wrong:
            raise invalid_parameters(self.wrong)

    def _refuse_unknown(self, names: Iterable[str]) -> None:
        for name in dict.fromkeys(names):
            if name not in self.known:
                self._refuse(name, f'"{name}" is not a valid query param')

    def _refuse(self, name: str, detail: str) -> None:
        self.wrong.append(Validation(name, detail))
