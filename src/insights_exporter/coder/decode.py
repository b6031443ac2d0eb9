"""From bytes to answers; one bad row does not lose the others.

An answer is decoded strictly first, which is fast and the rule. Only when that fails is it read slowly and
each row judged for itself: a field that may be absent takes its default, a row without its essentials is left
out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

from insights_exporter.errors import BadResponse

__all__ = ["DecodeResult", "UndecodableError", "decode", "decode_leniently", "decode_strictly"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DecodeResult(Generic[T]):
    """An answer, how many of its parts were unusable, and what was wrong with the first of these."""

    value: T
    dropped: int = 0
    example: str = ""


class UndecodableError(Exception):
    """The answer does not fit as it stands."""


def decode(body: bytes, expected: type[T], *, endpoint: str) -> DecodeResult[T]:
    """Return the answer as that type; raise BadResponse where nothing can be saved of it."""
    try:
        return DecodeResult(decode_strictly(body, expected))
    except UndecodableError:
        return decode_leniently(body, expected, endpoint=endpoint)


def decode_strictly(body: bytes, expected: type[T]) -> T:
    """Return the answer as that type; raise UndecodableError where any part of it does not fit."""
    response_type: Any = expected
    try:
        value: T = _decoder(response_type).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableError from None
    return value


@cache
def _decoder(expected: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(expected)


def decode_leniently(body: bytes, expected: type[T], *, endpoint: str) -> DecodeResult[T]:
    """Return what can be saved of the answer; raise BadResponse where nothing can."""
    text = body.decode("utf-8", "replace")
    try:
        # Unlike the fast decoder this one takes NaN, so that its row can be told from the others.
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        truncated = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        message = "the answer was cut short" if truncated else "the answer is not JSON"
        raise BadResponse(
            f"{message}; look for a proxy between the exporter and Coder that limits or rewrites answers.",
            endpoint=endpoint,
            truncated=truncated,
        ) from None
    except (ValueError, RecursionError):
        raise BadResponse("the answer is no JSON that Coder would send.", endpoint=endpoint) from None
    decoder = _LenientDecoder()
    try:
        value: T = decoder.convert(raw, expected)
    except _InvalidValueError as error:
        raise BadResponse(
            f"the answer has an unknown form ({error}); the address may belong to something else than Coder.",
            endpoint=endpoint,
        ) from None
    return DecodeResult(value, decoder.dropped, decoder.example)


class _InvalidValueError(Exception):
    """A value does not fit; the text says what was expected and where."""


class _LenientDecoder:
    """Converts what it can and counts what it cannot."""

    def __init__(self) -> None:
        self.dropped = 0
        self.example = ""

    def convert(self, value: Any, expected: Any) -> Any:
        """Return the value as that type; raise _UnusableError where it does not fit."""
        origin = get_origin(expected)
        if origin in {Union, UnionType}:
            if value is None:
                return None
            expected = next(member for member in get_args(expected) if member is not NoneType)
            origin = get_origin(expected)
        if origin is list:
            return self._list(value, get_args(expected)[0])
        if origin is dict:
            return self._dict(value, get_args(expected)[1])
        if isinstance(expected, type) and issubclass(expected, msgspec.Struct):
            return self._struct(value, expected)
        return _scalar(value, expected)

    def _list(self, value: Any, expected: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _InvalidValueError(f"expected a list, got {type(value).__name__}")
        rows = []
        for row in value:
            try:
                rows.append(self.convert(row, expected))
            except _InvalidValueError as error:
                self._drop(error)
        return rows

    def _dict(self, value: Any, expected: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _InvalidValueError(f"expected an object, got {type(value).__name__}")
        entries = {}
        for key, entry in value.items():
            try:
                entries[_replace_lone_surrogates(key)] = self.convert(entry, expected)
            except _InvalidValueError as error:
                self._drop(error)
        return entries

    def _struct(self, value: Any, expected: type[msgspec.Struct]) -> msgspec.Struct:
        if not isinstance(value, dict):
            raise _InvalidValueError(f"expected an object, got {type(value).__name__}")
        arguments = {}
        for field in _fields(expected):
            field_value = value.get(field.encode_name)
            # Coder is written in Go, where null and absence are the same.
            if field_value is None and not field.required:
                continue
            try:
                arguments[field.name] = self.convert(field_value, field.type)
            except _InvalidValueError as error:
                error_with_path = _InvalidValueError(f"{field.encode_name}: {error}")
                if field.required:
                    raise error_with_path from None
                self._drop(error_with_path)
        return expected(**arguments)

    def _drop(self, error: _InvalidValueError) -> None:
        self.dropped += 1
        self.example = self.example or str(error)


@cache
def _fields(expected: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(expected)


def _scalar(value: Any, expected: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _InvalidValueError(f"expected a number, got {value}")
        if value.is_integer():
            value = int(value)
    elif isinstance(value, str):
        value = _replace_lone_surrogates(value)
    try:
        return msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        raise _InvalidValueError(str(error)) from None


def _replace_lone_surrogates(text: str) -> str:
    # A lone half of a surrogate pair is legal in JSON and cannot be encoded again.
    return text.encode("utf-8", "replace").decode("utf-8")
