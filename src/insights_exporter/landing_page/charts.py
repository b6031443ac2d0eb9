"""Compute the geometry of the page's SVG charts; the templates draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from insights_exporter.landing_page.formatting import LatencyBand
from insights_exporter.landing_page.view_model import Bar

__all__ = ["BarChart", "BarShape", "LatencySegment", "bar_chart", "latency_segments", "meter_width"]

_WIDTH, _HEIGHT = 300, 112
_TOP, _BOTTOM = 16, 18
_MAX_BAR_WIDTH: Final = 30
_BAR_SHARE: Final = 0.68
"""Share of the distance between two bars that a bar takes."""
_MIN_BAR_HEIGHT: Final = 2.0
"""Height of the smallest value above zero, so that it is visible."""
_MIN_METER_WIDTH: Final = 0.6


@dataclass(frozen=True, slots=True)
class BarShape:
    """Position of one bar in units of the view box."""

    bar: Bar
    x: float
    y: float
    width: float
    height: float
    center_x: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar chart: its view box and the bars in it."""

    shapes: Sequence[BarShape]
    width: int = _WIDTH
    height: int = _HEIGHT
    baseline: float = _HEIGHT - _BOTTOM + 0.5


@dataclass(frozen=True, slots=True)
class LatencySegment:
    """Part of a latency bar; ``x`` and ``width`` are per cent."""

    band: LatencyBand
    x: float
    width: float


def bar_chart(bars: Sequence[Bar], width: int = _WIDTH) -> BarChart:
    """Return the chart of bars, oldest first; the highest bar fills the plot."""
    max_value = max((bar.value or 0 for bar in bars), default=0) or 1
    step = width / max(len(bars), 1)
    return BarChart([_bar_shape(bar, index, step, max_value) for index, bar in enumerate(bars)], width)


def _bar_shape(bar: Bar, index: int, step: float, max_value: int) -> BarShape:
    center_x = (index + 0.5) * step
    plot_height = _HEIGHT - _TOP - _BOTTOM
    height = max(_MIN_BAR_HEIGHT, plot_height * bar.value / max_value) if bar.value else 0.0
    width = min(step * _BAR_SHARE, _MAX_BAR_WIDTH)
    return BarShape(
        bar,
        x=round(center_x - width / 2, 1),
        y=round(_HEIGHT - _BOTTOM - height, 1),
        width=round(width, 1),
        height=round(height, 1),
        center_x=round(center_x, 1),
    )


def meter_width(fraction: float) -> float:
    """Return the filled width of a meter in per cent; a fraction above zero is always visible."""
    percent = round(100 * min(max(fraction, 0.0), 1.0), 2)
    return max(percent, _MIN_METER_WIDTH) if fraction > 0 else 0


def latency_segments(users_by_band: Mapping[LatencyBand, int]) -> list[LatencySegment]:
    """Return the segments of a bar that shows the share of users in each latency band."""
    total = sum(users_by_band.values())
    segments, x = [], 0.0
    for band in LatencyBand:
        width = 100 * users_by_band[band] / total if total else 0.0
        if width:
            segments.append(LatencySegment(band, round(x, 2), round(width, 2)))
        x += width
    return segments
