"""Formats of numbers, times and names on the landing page."""

from __future__ import annotations

import pytest

from insights_exporter.landing_page import formatting
from insights_exporter.landing_page.formatting import DisplayName, LatencyBand, display_name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 hours"),
        (59, "under a minute"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (5400, "1.5 hours"),
        (7200, "2 hours"),
        (3_600_000, "1,000 hours"),
    ],
)
def test_durations_match_coder_page(seconds: float, text: str) -> None:
    assert formatting.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, LatencyBand.GOOD),
        (0.1499, LatencyBand.GOOD),
        (0.15, LatencyBand.FAIR),
        (0.2999, LatencyBand.FAIR),
        (0.3, LatencyBand.SLOW),
        (9, LatencyBand.SLOW),
    ],
)
def test_latency_bands_match_coder_page(seconds: float, expected: LatencyBand) -> None:
    assert formatting.latency_band(seconds) is expected


def test_latency_bands_state_their_bounds() -> None:
    assert [band.range_label for band in LatencyBand] == [
        "under 150 ms",
        "150 to 300 ms",
        "300 ms and above",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3600, "60 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_ages_use_the_largest_unit(seconds: float, text: str) -> None:
    assert formatting.format_age(seconds) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker", DisplayName("docker")),
        ("two\n lines\t", DisplayName("two lines")),
        (" \n", DisplayName("(no name)")),
        ("x" * 16, DisplayName("x" * 16)),
        ("x" * 17, DisplayName("x" * 16 + "…", "x" * 17)),
        ("x" * 99, DisplayName("x" * 16 + "…", "x" * 64)),
    ],
)
def test_names_are_one_line_of_limited_length(name: str, expected: DisplayName) -> None:
    assert display_name(name, 16) == expected


def test_tooltip_of_a_cut_name_is_the_name() -> None:
    assert display_name("short", 8, tooltip="slug") == DisplayName("short", "slug")
    assert display_name("a long name", 8, tooltip="slug") == DisplayName("a long n…", "a long name")
