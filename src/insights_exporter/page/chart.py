"""Bars drawn as SVG, with a table beside them for who does not see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insights_exporter.page.markup import Markup, element
from insights_exporter.page.numbers import Band, count

__all__ = ["Bar", "bands", "bars", "meter"]

_WIDTH, _HEIGHT = 300, 112
_TOP, _BOTTOM = 16, 18


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: ``label`` names it in full, ``tick`` below it or not at all; an open one still grows."""

    label: str
    value: int | None
    tick: str = ""
    open: bool = False


def bars(title: str, unit: str, series: Sequence[Bar]) -> Markup:
    """Return a chart of bars, the oldest first."""
    peak = max((bar.value or 0 for bar in series), default=0) or 1
    step = _WIDTH / max(len(series), 1)
    drawn = [_bar(bar, index, step, peak) for index, bar in enumerate(series)]
    base = _HEIGHT - _BOTTOM + 0.5
    picture = element(
        "svg",
        element("line", x1=0, y1=base, x2=_WIDTH, y2=base, class_="axis"),
        drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        class_="bars",
        aria_hidden="true",
        focusable="false",
    )
    rows = [
        element(
            "tr",
            element("th", bar.label, scope="row"),
            element("td", "unknown" if bar.value is None else count(bar.value)),
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
        picture,
        element("div", table, class_="unseen"),
    )


def _bar(bar: Bar, index: int, step: float, peak: int) -> Markup:
    middle = (index + 0.5) * step
    room = _HEIGHT - _TOP - _BOTTOM
    height = 0.0 if not bar.value else max(2.0, room * bar.value / peak)
    top = _HEIGHT - _BOTTOM - height
    width = min(step * 0.68, 30)
    tip = f"{bar.label}: {'unknown' if bar.value is None else count(bar.value)}"
    shape = element(
        "rect",
        element("title", tip),
        x=round(middle - width / 2, 1),
        y=round(top, 1),
        width=round(width, 1),
        height=round(height, 1),
        rx=2,
        class_="open" if bar.open else None,
    )
    number = element("text", count(bar.value), x=round(middle, 1), y=round(top - 4, 1), class_="number")
    tick = element("text", bar.tick, x=round(middle, 1), y=_HEIGHT - 4, class_="tick") if bar.tick else None
    return element("g", shape, number, tick)


def meter(part: float) -> Markup:
    """Return a bar that is filled to a part from 0 to 1."""
    filled = round(100 * min(max(part, 0.0), 1.0), 2)
    return element(
        "svg",
        element("rect", x=0, y=0, width=100, height=8, class_="groove"),
        element("rect", x=0, y=0, width=max(filled, 0.6) if part > 0 else 0, height=8, class_="filled"),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        class_="meter",
        aria_hidden="true",
        focusable="false",
    )


def bands(found: dict[Band, int]) -> Markup:
    """Return how many users have which latency: one line of colours, and the same in words."""
    total = sum(found.values())
    parts: list[Markup] = []
    x = 0.0
    for one in Band:
        width = 100 * found[one] / total if total else 0.0
        if width:
            parts.append(
                element(
                    "rect", x=round(x, 2), y=0, width=round(width, 2), height=8, class_=f"fill-{one.word}"
                )
            )
        x += width
    line = element(
        "svg",
        element("rect", x=0, y=0, width=100, height=8, class_="groove"),
        parts,
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        class_="meter",
        aria_hidden="true",
        focusable="false",
    )
    words = element(
        "ul",
        [
            element(
                "li",
                element("span", one.sign, class_=f"sign {one.word}", aria_hidden="true"),
                element("b", count(found[one])),
                f" {one.word}",
                title=one.range,
            )
            for one in Band
        ],
        class_="legend",
    )
    return element("div", line, words, class_="bands")
