"""JSON decoding of responses: strict first, then lenient, so that one invalid row does not lose the others.

Strict decoding is fast and fits nearly every response. Only if it fails, lenient decoding validates each row
on its own: an invalid optional field takes its default, an invalid required field drops its row.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin

import msgspec

from insights_exporter.clock import Deadline
from insights_exporter.coder.error_mapping import deadline_exceeded
from insights_exporter.coder.models.fields import is_plausible_time
from insights_exporter.errors import BadResponse, ResponseTooLarge

__all__ = [
    "MAX_DROPPED",
    "MAX_ROWS",
    "DecodeResult",
    "UndecodableError",
    "check_row_count",
    "decode_leniently",
    "decode_strictly",
]

T = TypeVar("T")

MAX_ROWS: Final = 300_000
"""Objects and lists of one response.

A page of 1,000 workspaces has about 100,000, the latency of 50,000 users 150,000. Bytes alone do not bound
the cost of parsing: 8 MB of ``{},`` are 2.8 million objects. msgspec holds the GIL while it parses.
"""

MAX_DROPPED: Final = 10_000
"""Invalid parts after which lenient decoding gives up: the response is no list with a few invalid rows."""

_DEADLINE_CHECK_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class DecodeResult(Generic[T]):
    """A decoded response, the number of its dropped parts, and the error of the first one."""

    value: T
    dropped: int = 0
    example: str = ""


class UndecodableError(Exception):
    """The response does not match its type strictly."""


def check_row_count(body: bytes, *, endpoint: str) -> None:
    """Raise ResponseTooLarge before a response with too many objects and lists is parsed."""
    # Braces in texts are counted as well, which the distance of the limit from real responses covers.
    if len(body) > MAX_ROWS and body.count(b"{") + body.count(b"[") > MAX_ROWS:
        raise ResponseTooLarge(f"the response has more than {MAX_ROWS} objects and lists", endpoint=endpoint)


def decode_strictly(body: bytes, expected: type[T]) -> T:
    """Return the response as the expected type; raise UndecodableError if any part is invalid."""
    response_type: Any = expected
    try:
        value: T = _decoder(response_type).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableError from None
    return value


@cache
def _decoder(expected: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(expected)


def decode_leniently(
    body: bytes, expected: type[T], *, endpoint: str, deadline: Deadline | None = None
) -> DecodeResult[T]:
    """Return the valid parts of the response; raise BadResponse if it has no usable form.

    May run in a thread: it stops by itself with DeadlineExceeded, because a thread cannot be cancelled.
    """
    text = body.decode("utf-8", "replace")
    try:
        # Unlike msgspec, `json` accepts NaN, so that only the row with NaN is dropped.
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        truncated = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        message = "the response is truncated" if truncated else "the response is not JSON"
        raise BadResponse(
            f"{message}; check for a proxy between the exporter and Coder that limits or rewrites responses",
            endpoint=endpoint,
            truncated=truncated,
        ) from None
    except (ValueError, RecursionError):
        raise BadResponse("the response is not JSON of Coder", endpoint=endpoint) from None
    decoder = _LenientDecoder(endpoint, deadline)
    try:
        value: T = decoder.convert(raw, expected)
    except _InvalidValueError as error:
        raise BadResponse(
            f"the response has an unknown form ({error}); check that coder.url is the URL of Coder",
            endpoint=endpoint,
        ) from None
    return DecodeResult(value, decoder.dropped, decoder.example)


class _InvalidValueError(Exception):
    """A value is invalid; the text says what was expected, and where."""


class _LenientDecoder:
    """Converts valid values, counts and drops invalid ones."""

    def __init__(self, endpoint: str, deadline: Deadline | None) -> None:
        self._endpoint = endpoint
        self._deadline = deadline
        self._rows = 0
        self.dropped = 0
        self.example = ""

    def convert(self, value: Any, expected: Any) -> Any:
        """Return the value as the expected type; raise _InvalidValueError if it is invalid."""
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
            self._count_row()
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
            self._count_row()
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
            # Go, in which Coder is written, encodes an absent value as null or omits it.
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

    def _count_row(self) -> None:
        self._rows += 1
        if self._rows % _DEADLINE_CHECK_ROWS == 0 and self._deadline is not None and self._deadline.expired:
            raise deadline_exceeded(self._endpoint)

    def _drop(self, error: _InvalidValueError) -> None:
        self.dropped += 1
        self.example = self.example or str(error)
        if self.dropped > MAX_DROPPED:
            raise BadResponse(
                f"more than {MAX_DROPPED} parts of the response are invalid, the first: {self.example}",
                endpoint=self._endpoint,
            )


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
        converted = msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        raise _InvalidValueError(str(error)) from None
    if isinstance(converted, datetime) and not is_plausible_time(converted):
        raise _InvalidValueError(f"expected a date before 2200, got {value}")
    return converted


def _replace_lone_surrogates(text: str) -> str:
    # JSON allows a lone surrogate, which UTF-8 cannot encode.
    return text.encode("utf-8", "replace").decode("utf-8")
