"""Corruption of response bodies by injected faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from insights_exporter.simulator.api.encoding import encode
from insights_exporter.simulator.api.fault_injection import (
    AppendText,
    DuplicateRows,
    Fault,
    InvalidNumbers,
    NotANumber,
    TruncateBody,
    UnrelatedJson,
    WrongTypes,
)

__all__ = ["corrupt_response"]

_NUMBER = re.compile(rb"(?<=:)-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?=[,}\]])")


def corrupt_response(body: bytes, fault: Fault) -> bytes:  # noqa: PLR0911 # One return for each fault.
    """Return the body with the fault applied; other kinds of faults leave it unchanged."""
    match fault:
        case TruncateBody():
            return body[: int(len(body) * fault.kept_fraction)]
        case UnrelatedJson():
            return fault.body.encode()
        case NotANumber():
            return _NUMBER.sub(fault.literal.encode(), body, count=1)
        case WrongTypes():
            return _transform_json(
                body, _number_replacer(fault.fields, lambda number: f"{number} pieces", fault.every)
            )
        case InvalidNumbers():
            value = int(fault.value) if float(fault.value).is_integer() else fault.value
            return _transform_json(body, _number_replacer(fault.fields, lambda _: value, fault.every))
        case AppendText():
            return _transform_json(body, _text_appender(fault.fields, fault.text * fault.repeat))
        case DuplicateRows():
            return _transform_json(body, _list_duplicator(fault.fields))
        case _:
            return body


Visitor = Callable[[str, Any], Any]


def _transform_json(body: bytes, visitor: Visitor) -> bytes:
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        # A text response has no fields.
        return body
    return encode(_transform_value(document, visitor))


def _transform_value(value: Any, visitor: Visitor) -> Any:
    if isinstance(value, dict):
        return {key: visitor(key, _transform_value(item, visitor)) for key, item in value.items()}
    if isinstance(value, list):
        return [_transform_value(item, visitor) for item in value]
    return value


def _number_replacer(fields: frozenset[str], replacement: Callable[[float], Any], every: int) -> Visitor:
    counter = count(1)

    def visit(key: str, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and (not fields or key in fields) and next(counter) % every == 0:
            return replacement(value)
        return value

    return visit


def _text_appender(fields: frozenset[str], text: str) -> Visitor:
    def visit(key: str, value: Any) -> Any:
        return value + text if key in fields and isinstance(value, str) else value

    return visit


def _list_duplicator(fields: frozenset[str]) -> Visitor:
    def visit(key: str, value: Any) -> Any:
        return [*value, *value] if key in fields and isinstance(value, list) else value

    return visit
