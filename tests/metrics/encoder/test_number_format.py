"""Numbers as Go writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from insights_exporter.metrics.encoder.number_format import (
    escape_help,
    escape_label_value,
    format_float,
    format_floats,
    json_compatible,
    json_floats,
)


def go_string(number: float) -> str:
    """Return a number as prometheus_client writes it."""
    text: str = floatToGoString(number)  # type: ignore[no-untyped-call]  # Ships no types.
    return text


BOUNDARIES = [1e-5, 1e-4, 1e6, 1e15, 1e16, 1e17, 2.0**53]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (999_999.5, "999999.5"),
        (1e6, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (1e15, "1e+15"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_format_float(number: float, text: str) -> None:
    assert format_float(number) == text
    assert format_floats([number]) == [text]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_numbers_beside_boundaries_equal_prometheus_client(boundary: float) -> None:
    numbers = [math.nextafter(boundary, 0.0), boundary, math.nextafter(boundary, math.inf)]

    assert format_floats(numbers) == [go_string(number) for number in numbers]
    assert [format_float(number) for number in numbers] == format_floats(numbers)


@given(st.lists(st.floats() | st.integers(-(10**16), 10**16)))
def test_numbers_equal_prometheus_client(numbers: list[float]) -> None:
    assert format_floats(numbers) == [go_string(number) for number in numbers]


@given(st.lists(st.floats(1e-4, 999_999.0), min_size=1))
def test_json_compatible_floats_need_no_conversion(numbers: list[float]) -> None:
    assert json_compatible(min(numbers), max(numbers))
    assert json_floats(numbers) == [go_string(number) for number in numbers]


def test_escaping() -> None:
    assert escape_label_value('a\\b\n"c"') == r"a\\b\n\"c\""
    assert escape_help('a\\b\n"c"') == r'a\\b\n"c"'
