"""How an exposition writes numbers and label values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nextafter
from typing import Final

import msgspec

__all__ = ["BLOCK_ROWS", "easy_texts", "escaped", "is_easy", "texts", "written"]

BLOCK_ROWS: Final = 500
"""How many rows become one text.

That stays below the size from which the C library takes fresh pages for a text and gives them back at once:
the faults of these cost a fifth of all.
"""

# JSON's writer and Go's both write the shortest text that reads back as the number; in this range the same.
_LEAST: Final = 1e-4
_MOST: Final = nextafter(1e6, 0.0)
# Above it Go turns to an exponent; up to here JSON does not.
_WITH_A_POINT: Final = 1e15
_EXPONENTS: Final = [f"e+{digits - 1:02d}" for digits in range(20)]


def escaped(value: str) -> str:
    """Return a label value as it stands between quotes."""
    # Looking is quicker than replacing, and there is hardly ever anything to replace.
    if '"' not in value and "\\" not in value and "\n" not in value:
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def texts(numbers: Iterable[float]) -> list[str]:
    """Write many numbers; Python takes a microsecond for each long one, JSON's writer a tenth."""
    # Multiplying by one makes a float of an integer and keeps the sign of a zero.
    floats = [number * 1.0 for number in numbers]
    written_easily = easy_texts(floats) if floats else []
    return [
        text if _LEAST <= number <= _MOST or not number else _unlike_json(number, text)
        for number, text in zip(floats, written_easily, strict=True)
    ]


def is_easy(lowest: float, highest: float) -> bool:
    """Say whether JSON writes all floats from the one to the other as an exposition does."""
    return lowest >= _LEAST and highest <= _MOST


def easy_texts(floats: Sequence[float]) -> list[str]:
    """Write floats whose texts are the same in JSON."""
    return msgspec.json.encode(floats)[1:-1].decode().split(",")


def _unlike_json(number: float, text: str) -> str:
    """Write a number that JSON, which says ``text``, writes in another way."""
    return _with_exponent(text) if _MOST < number < _WITH_A_POINT else written(number)


def written(value: float) -> str:
    """Write a number as Go does, which turns to exponents sooner than Python."""
    text = repr(float(value))
    if -1e6 < value < 1e6:
        return text
    if value != value:  # noqa: PLR0124 - the only number that differs from itself is no number.
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    dot = text.find(".")
    return _with_exponent(text) if value > 0 and dot > 6 else text


def _with_exponent(text: str) -> str:
    """Turn a large number with a point into one with an exponent."""
    whole, _, fraction = text.partition(".")
    mantissa = f"{text[0]}.{whole[1:]}{fraction}".rstrip("0.")
    return mantissa + _EXPONENTS[len(whole)]
