"""Number and label value syntax of the exposition formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan, nextafter
from typing import Final

import msgspec

__all__ = [
    "escape_help",
    "escape_label_value",
    "format_float",
    "format_floats",
    "json_compatible",
    "json_floats",
]

# JSON and Go both write the shortest text that parses to the same float; in this range the texts are equal.
_JSON_MIN: Final = 1e-4
_JSON_MAX: Final = nextafter(1e6, 0.0)
# Go uses an exponent above _JSON_MAX, JSON from here on.
_JSON_EXPONENT_FROM: Final = 1e15
_EXPONENTS: Final = [f"e+{digits - 1:02d}" for digits in range(20)]


def escape_label_value(value: str) -> str:
    """Return a label value as it stands between quotes."""
    # The test is faster than three replace() calls, and nearly no value needs escaping.
    if '"' not in value and "\\" not in value and "\n" not in value:
        return value
    return escape_help(value).replace('"', r"\"")


def escape_help(text: str) -> str:
    """Return a HELP text of the text format 0.0.4, which leaves quotes alone."""
    return text.replace("\\", r"\\").replace("\n", r"\n")


def format_floats(numbers: Iterable[float]) -> list[str]:
    """Return numbers as text; msgspec's JSON encoder writes a float about ten times faster than repr()."""
    # Multiplying by one makes a float of an integer and keeps the sign of a zero.
    floats = [number * 1.0 for number in numbers]
    json_texts = json_floats(floats) if floats else []
    return [
        text if _JSON_MIN <= number <= _JSON_MAX or not number else _format_non_json(number, text)
        for number, text in zip(floats, json_texts, strict=True)
    ]


def json_compatible(lowest: float, highest: float) -> bool:
    """Return whether JSON and the exposition formats write all floats of a range alike."""
    return lowest >= _JSON_MIN and highest <= _JSON_MAX


def json_floats(floats: Sequence[float]) -> list[str]:
    """Return floats as JSON text; for ranges that are ``json_compatible``."""
    return msgspec.json.encode(floats)[1:-1].decode().split(",")


def _format_non_json(number: float, json_text: str) -> str:
    """Return the text of a float that JSON writes differently."""
    if _JSON_MAX < number < _JSON_EXPONENT_FROM:
        return _to_exponent_notation(json_text)
    return format_float(number)


def format_float(value: float) -> str:
    """Return a float as Go writes it: exponents start at 1e+06, not at 1e+16 as in Python."""
    text = repr(float(value))
    if -1e6 < value < 1e6:
        return text
    if isnan(value):
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    point_index = text.find(".")
    return _to_exponent_notation(text) if value > 0 and point_index > 6 else text


def _to_exponent_notation(text: str) -> str:
    integer_part, _, fraction = text.partition(".")
    mantissa = f"{text[0]}.{integer_part[1:]}{fraction}".rstrip("0.")
    return mantissa + _EXPONENTS[len(integer_part)]
