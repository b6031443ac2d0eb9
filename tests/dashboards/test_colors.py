"""Colours: contrast of coloured cells, and Coder's latency colours on the p50 of a user alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support.dashboards import Panel, all_panels

MIN_CONTRAST: Final = 4.5
"""WCAG 2.1 AA for text."""

LIGHT_TEXT, DARK_TEXT = "#f7f8fa", "#202226"
MAX_BRIGHTNESS_OF_LIGHT_TEXT: Final = 180
"""Grafana writes light text on backgrounds up to this brightness, in both themes."""

HEX_COLOR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
LATENCY_BOUNDS: Final = [[None, 150.0, 300.0], [None, 0.15, 0.3]]


def channels(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[index : index + 2], 16) for index in (1, 3, 5))
    return red, green, blue


def luminance(color: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in channels(color))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def text_color(background: str) -> str:
    red, green, blue = channels(background)
    brightness = (red * 299 + green * 587 + blue * 114) / 1000
    return DARK_TEXT if brightness > MAX_BRIGHTNESS_OF_LIGHT_TEXT else LIGHT_TEXT


def properties(override: dict[str, Any]) -> dict[str, Any]:
    return {item["id"]: item["value"] for item in override["properties"]}


def coloured_fields(panel: Panel) -> Iterator[dict[str, Any]]:
    """Yield the properties of fields with a coloured background: stats and coloured table cells."""
    for override in panel.overrides:
        found = properties(override)
        if panel.type == "stat" or found.get("custom.cellOptions", {}).get("type") == "color-background":
            yield found


def background_colors() -> set[str]:
    texts = str([fields for panel in all_panels() for fields in coloured_fields(panel)])
    return set(HEX_COLOR.findall(texts))


@pytest.mark.parametrize("color", sorted(background_colors()))
def test_text_on_a_coloured_cell_is_readable(color: str) -> None:
    assert contrast(color, text_color(color)) >= MIN_CONTRAST


def test_coloured_cells_are_checked() -> None:
    assert len(background_colors()) >= 3


def test_no_text_is_coloured() -> None:
    """A colour that is readable on a dark background is not readable on a light one."""
    cell_types = {
        properties(override).get("custom.cellOptions", {}).get("type")
        for panel in all_panels()
        for override in panel.overrides
    }
    color_modes = {panel.json["options"]["colorMode"] for panel in all_panels() if panel.type == "stat"}

    assert "color-text" not in cell_types
    assert color_modes == {"background_solid"}


def test_only_the_p50_of_a_user_has_coders_colours() -> None:
    fields = {
        override["matcher"]["options"]
        for panel in all_panels()
        for override in panel.overrides
        if [step["value"] for step in properties(override).get("thresholds", {}).get("steps", ())]
        in LATENCY_BOUNDS
    }

    assert fields == {"p50", "p50 today"}
