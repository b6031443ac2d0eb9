"""Geometry of the landing page's charts."""

from __future__ import annotations

import pytest

from insights_exporter.landing_page.charts import bar_chart, latency_segments, meter_width
from insights_exporter.landing_page.formatting import LatencyBand
from insights_exporter.landing_page.view_model import Bar


def test_highest_bar_fills_the_plot_and_heights_are_proportional() -> None:
    chart = bar_chart([Bar("a", 50), Bar("b", 100), Bar("c", 0), Bar("d", None)])

    assert [shape.height for shape in chart.shapes] == [39.0, 78.0, 0.0, 0.0]
    assert {shape.y + shape.height for shape in chart.shapes} == {94.0}


def test_small_values_stay_visible() -> None:
    chart = bar_chart([Bar("a", 1), Bar("b", 100_000)])

    assert chart.shapes[0].height == 2.0
    assert [meter_width(fraction) for fraction in (0, 0.0001, 0.5, 1.2)] == [0, 0.6, 50.0, 100.0]


def test_bars_are_centered_in_equal_steps() -> None:
    chart = bar_chart([Bar(str(index), 1) for index in range(12)])

    assert [shape.center_x for shape in chart.shapes[:3]] == [12.5, 37.5, 62.5]
    assert {shape.width for shape in chart.shapes} == {17.0}


def test_chart_without_bars_is_empty() -> None:
    assert bar_chart([]).shapes == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1, 2, 1), [("good", 0.0, 25.0), ("fair", 25.0, 50.0), ("slow", 75.0, 25.0)]),
        ((0, 3, 0), [("fair", 0.0, 100.0)]),
        ((0, 0, 0), []),
    ],
)
def test_latency_segments_show_the_share_of_each_band(
    counts: tuple[int, int, int], expected: list[tuple[str, float, float]]
) -> None:
    segments = latency_segments(dict(zip(LatencyBand, counts, strict=True)))

    assert [(segment.band.label, segment.x, segment.width) for segment in segments] == expected
