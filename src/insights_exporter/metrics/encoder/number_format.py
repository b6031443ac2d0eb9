"""How an exposition writes numbers and label values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nextafter
from typing import Final

import msgspec

__all__ = [
    "BLOCK_ROWS",
    "escape_label_value",
    "format_float",
    "format_floats",
    "json_compatible",
    "json_floats",
]

BLOCK_ROWS: Final = 500
"""How many rows become one text.

That stays below the size from which the C library takes fresh pages for a text and gives them back at once:
the faults of these cost a fifth of all.
"""

# JSON's writer and Go's both write the shortest text that reads back as the number; in this range the same.
_JSON_MIN: Final = 1e-4
_JSON_MAX: Final = nextafter(1e6, 0.0)
# Above it Go turns to an exponent; up to here JSON does not.
_JSON_EXPONENT_FROM: Final = 1e15
_EXPONENTS: Final = [f"e+{digits - 1:02d}" for digits in range(20)]


def escape_label_value(value: str) -> str:
    """Return a label value as it stands between quotes."""
    # Looking is quicker than replacing, and there is hardly ever anything to replace.
    if '"' not in value and "\\" not in value and "\n" not in value:
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def format_floats(numbers: Iterable[float]) -> list[str]:
    """Write many numbers; Python takes a microsecond for each long one, JSON's writer a tenth."""
    # Multiplying by one makes a float of an integer and keeps the sign of a zero.
    floats = [number * 1.0 for number in numbers]
    json_texts = json_floats(floats) if floats else []
    return [
        text if _JSON_MIN <= number <= _JSON_MAX or not number else _format_non_json(number, text)
        for number, text in zip(floats, json_texts, strict=True)
    ]


def json_compatible(lowest: float, highest: float) -> bool:
    """Say whether JSON writes all floats from the one to the other as an exposition does."""
    return lowest >= _JSON_MIN and highest <= _JSON_MAX


def json_floats(floats: Sequence[float]) -> list[str]:
    """Write floats whose texts are the same in JSON."""
    return msgspec.json.encode(floats)[1:-1].decode().split(",")


def _format_non_json(number: float, text: str) -> str:
    """Write a number that JSON, which says ``text``, writes in another way."""
    return _to_exponent_notation(text) if _JSON_MAX < number < _JSON_EXPONENT_FROM else format_float(number)


def format_float(value: float) -> str:
    """Write a number as Go does, which turns to exponents sooner than Python."""
    text = repr(float(value))
    if -1e6 < value < 1e6:
        return text
    if value != value:
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    point_index = text.find(".")
    return _to_exponent_notation(text) if value > 0 and point_index > 6 else text


def _to_exponent_notation(text: str) -> str:
    """Turn a large number with a point into one with an exponent."""
    integer_part, _, fraction = text.partition(".")
    mantissa = f"{text[0]}.{integer_part[1:]}{fraction}".rstrip("0.")
    return mantissa + _EXPONENTS[len(integer_part)]
