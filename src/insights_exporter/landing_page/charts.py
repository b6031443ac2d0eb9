"""Bars drawn as SVG, with a table beside them for who does not see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insights_exporter.landing_page.formatting import LatencyBand, format_count
from insights_exporter.landing_page.markup import Markup, element

__all__ = ["Bar", "bar_chart", "latency_bar", "meter"]

_WIDTH, _HEIGHT = 300, 112
_TOP, _BOTTOM = 16, 18


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: ``label`` names it in full, ``tick`` below it or not at all; an open one still grows."""

    label: str
    value: int | None
    tick: str = ""
    incomplete: bool = False


def bar_chart(title: str, unit: str, series: Sequence[Bar]) -> Markup:
    """Return a chart of bars, the oldest first."""
    max_value = max((bar.value or 0 for bar in series), default=0) or 1
    step = _WIDTH / max(len(series), 1)
    shapes = [_bar_shape(bar, index, step, max_value) for index, bar in enumerate(series)]
    baseline = _HEIGHT - _BOTTOM + 0.5
    svg = element(
        "svg",
        element("line", x1=0, y1=baseline, x2=_WIDTH, y2=baseline, class_="axis"),
        shapes,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        class_="bars",
        aria_hidden="true",
        focusable="false",
    )
    rows = [
        element(
            "tr",
            element("th", bar.label, scope="row"),
            element("td", "unknown" if bar.value is None else format_count(bar.value)),
        )
        for bar in series
    ]
    table = element(
        "table",
        element("caption", f"{title}: {unit}"),
        element("tbody", rows),
    )
    return element(
        "figure",
        element("figcaption", title),
        svg,
        element("div", table, class_="unseen"),
    )


def _bar_shape(bar: Bar, index: int, step: float, max_value: int) -> Markup:
    center_x = (index + 0.5) * step
    plot_height = _HEIGHT - _TOP - _BOTTOM
    height = 0.0 if not bar.value else max(2.0, plot_height * bar.value / max_value)
    top = _HEIGHT - _BOTTOM - height
    width = min(step * 0.68, 30)
    tooltip = f"{bar.label}: {'unknown' if bar.value is None else format_count(bar.value)}"
    shape = element(
        "rect",
        element("title", tooltip),
        x=round(center_x - width / 2, 1),
        y=round(top, 1),
        width=round(width, 1),
        height=round(height, 1),
        rx=2,
        class_="open" if bar.incomplete else None,
    )
    value_label = element(
        "text", format_count(bar.value), x=round(center_x, 1), y=round(top - 4, 1), class_="number"
    )
    tick = element("text", bar.tick, x=round(center_x, 1), y=_HEIGHT - 4, class_="tick") if bar.tick else None
    return element("g", shape, value_label, tick)


def meter(fraction: float) -> Markup:
    """Return a bar that is filled to a part from 0 to 1."""
    percent = round(100 * min(max(fraction, 0.0), 1.0), 2)
    return element(
        "svg",
        element("rect", x=0, y=0, width=100, height=8, class_="groove"),
        element("rect", x=0, y=0, width=max(percent, 0.6) if fraction > 0 else 0, height=8, class_="filled"),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        class_="meter",
        aria_hidden="true",
        focusable="false",
    )


def latency_bar(users_by_band: dict[LatencyBand, int]) -> Markup:
    """Return how many users have which latency: one line of colours, and the same in words."""
    total = sum(users_by_band.values())
    segments: list[Markup] = []
    x = 0.0
    for latency_band in LatencyBand:
        width = 100 * users_by_band[latency_band] / total if total else 0.0
        if width:
            segments.append(
                element(
                    "rect",
                    x=round(x, 2),
                    y=0,
                    width=round(width, 2),
                    height=8,
                    class_=f"fill-{latency_band.label}",
                )
            )
        x += width
    svg = element(
        "svg",
        element("rect", x=0, y=0, width=100, height=8, class_="groove"),
        segments,
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        class_="meter",
        aria_hidden="true",
        focusable="false",
    )
    legend = element(
        "ul",
        [
            element(
                "li",
                element("span", latency_band.symbol, class_=f"sign {latency_band.label}", aria_hidden="true"),
                element("b", format_count(users_by_band[latency_band])),
                f" {latency_band.label}",
                title=latency_band.range_label,
            )
            for latency_band in LatencyBand
        ],
        class_="legend",
    )
    return element("div", svg, legend, class_="bands")
