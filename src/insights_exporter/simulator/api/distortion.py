"""Answers made hostile."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from insights_exporter.simulator.api.faults import (
    Counts,
    Duplicates,
    Fault,
    ForeignJson,
    NotANumber,
    Texts,
    Truncate,
    WrongTypes,
)
from insights_exporter.simulator.api.wire import encode

__all__ = ["distort"]

_NUMBER = re.compile(rb"(?<=:)-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?=[,}\]])")


def distort(body: bytes, fault: Fault) -> bytes:  # noqa: PLR0911 - one way out per kind of fault.
    """Return the body as the fault leaves it; faults of other kinds leave it as it is."""
    match fault:
        case Truncate():
            return body[: int(len(body) * fault.kept)]
        case ForeignJson():
            return fault.body.encode()
        case NotANumber():
            return _NUMBER.sub(fault.spelled.encode(), body, count=1)
        case WrongTypes():
            return _walked(body, _replacing(fault.fields, lambda number: f"{number} pieces", fault.every))
        case Counts():
            value = int(fault.value) if float(fault.value).is_integer() else fault.value
            return _walked(body, _replacing(fault.fields, lambda _: value, fault.every))
        case Texts():
            return _walked(body, _appending(fault.fields, fault.text * fault.repeat))
        case Duplicates():
            return _walked(body, _doubling(fault.fields))
        case _:
            return body


Visit = Callable[[str, Any], Any]


def _walked(body: bytes, visit: Visit) -> bytes:
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        # It is text, which has no fields.
        return body
    return encode(_walk(told, visit))


def _walk(value: Any, visit: Visit) -> Any:
    if isinstance(value, dict):
        return {key: visit(key, _walk(one, visit)) for key, one in value.items()}
    if isinstance(value, list):
        return [_walk(one, visit) for one in value]
    return value


def _replacing(fields: frozenset[str], change: Callable[[float], Any], every: int) -> Visit:
    places = count(1)

    def visit(key: str, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and (not fields or key in fields) and next(places) % every == 0:
            return change(value)
        return value

    return visit


def _appending(fields: frozenset[str], text: str) -> Visit:
    def visit(key: str, value: Any) -> Any:
        return value + text if key in fields and isinstance(value, str) else value

    return visit


def _doubling(fields: frozenset[str]) -> Visit:
    def visit(key: str, value: Any) -> Any:
        return [*value, *value] if key in fields and isinstance(value, list) else value

    return visit
