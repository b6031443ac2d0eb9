"""Query parameters as Coder parses them: all errors are collected and returned together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from multidict import MultiMapping

from insights_exporter.simulator.api.errors import FieldError, invalid_parameters

__all__ = ["QueryParams", "parse_search", "parse_uuid", "uuid_error"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INTEGER = re.compile(r"[+-]?[0-9]+")


def parse_uuid(text: str) -> UUID | None:
    """Return the id; None for any other text."""
    return UUID(text) if _UUID.fullmatch(text) else None


def uuid_error(text: str) -> str:
    """Return the error of Go's parser for a malformed id; empty for a valid one."""
    if parse_uuid(text) is not None:
        return ""
    return "invalid UUID format" if len(text) == 36 else f"invalid UUID length: {len(text)}"


def parse_search(text: str, *, default_key: str) -> dict[str, str]:
    """Return the ``key:value`` pairs of a search; a bare word gets the default key."""
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = text.split()
    pairs = (part.partition(":") for part in parts)
    return {key if colon else default_key: value if colon else key for key, colon, value in pairs}


@dataclass(slots=True)
class QueryParams:
    """The parameters of one request: read them all, then call ``raise_for_errors``."""

    values: MultiMapping[str]
    read_names: set[str] = field(default_factory=set)
    errors: list[FieldError] = field(default_factory=list)

    def string(self, name: str, *, required: bool = False) -> str:
        """Return a parameter that may occur once."""
        self.read_names.add(name)
        values = self.values.getall(name, [])
        if len(values) > 1:
            self._add_error(
                name,
                f'Query param "{name}" provided more than once, found {len(values)} times. '
                "Only provide 1 instance of this query param.",
            )
            return ""
        value = values[0] if values else ""
        if required and not value.strip():
            self._add_error(name, f'Query param "{name}" is required and cannot be empty')
        return value

    def integer(self, name: str, default: int, *, minimum: int | None = None) -> int:
        """Return an integer."""
        text = self.string(name)
        if not text:
            return default
        value = int(text) if _INTEGER.fullmatch(text) else None
        kind = "integer" if minimum is None else "32-bit positive integer"
        if value is None:
            reason = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        elif minimum is not None and value < minimum:
            reason = "value is negative"
        elif not -(2**31) <= value < 2**31:
            reason = f'strconv.ParseInt: parsing "{text}": value out of range'
        else:
            return value
        self._add_error(name, f'Query param "{name}" must be a valid {kind}: {reason}')
        return default

    def strings(self, name: str) -> list[str]:
        """Return a list, separated by commas or by repetition of the parameter."""
        self.read_names.add(name)
        return [part for value in self.values.getall(name, []) for part in value.split(",") if part]

    def uuid(self, name: str) -> str:
        """Return an id in lower case."""
        text = self.string(name)
        if text and parse_uuid(text) is None:
            self._add_error(name, f'Query param "{name}" must be a valid uuid')
        return text.lower()

    def uuids(self, name: str) -> list[str]:
        """Return a list of ids in lower case."""
        parts = self.strings(name)
        invalid = [part for part in parts if parse_uuid(part) is None]
        if invalid:
            reasons = ", ".join(uuid_error(value) for value in invalid)
            self._add_error(name, f'Query param "{name}" has invalid values: {reasons}')
            return []
        return [part.lower() for part in parts]

    def raise_for_errors(self, *, strict: bool) -> None:
        """Raise ApiError 400 for the collected errors; ``strict`` rejects unread parameters."""
        if strict:
            self._reject_unknown(self.values.keys())
        if self.errors:
            raise invalid_parameters(self.errors)

    def _reject_unknown(self, names: Iterable[str]) -> None:
        for name in dict.fromkeys(names):
            if name not in self.read_names:
                self._add_error(name, f'"{name}" is not a valid query param')

    def _add_error(self, name: str, detail: str) -> None:
        self.errors.append(FieldError(name, detail))
