"""Durations keep their size in the text that Grafana shows, also from 100 hours on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support.dashboards import Panel, all_panels
from tests.support.grafana_formats import format_value

HOURS: Final = (99.0, 101.0, 1000.0)
SECONDS_BY_UNIT: Final = {"s": 1.0, "suffix:h": 3600.0, "suffix:ms": 0.001}
SECONDS_BY_WORD: Final = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "day": 86_400.0,
    "week": 604_800.0,
}
DURATION_WORDS: Final = re.compile(r"\b(hours|duration|age|seconds)\b", re.IGNORECASE)


def fields_with_units(panel: Panel) -> Iterator[tuple[str, str, int | None]]:
    """Yield the name, unit and decimals of each field with a unit; the defaults have no name."""
    defaults = panel.json["fieldConfig"]["defaults"]
    yield "", defaults["unit"], defaults.get("decimals")
    for override in panel.overrides:
        properties: dict[str, Any] = {item["id"]: item["value"] for item in override["properties"]}
        if "unit" in properties:
            yield override["matcher"]["options"], properties["unit"], properties.get("decimals")


DURATIONS: Final = [
    pytest.param(unit, decimals, id=f"{panel} {name}")
    for panel in all_panels()
    for name, unit, decimals in fields_with_units(panel)
    if unit in SECONDS_BY_UNIT
]


def parse_seconds(text: str) -> float:
    number, _, word = text.partition(" ")
    return float(number) * SECONDS_BY_WORD[word if word in SECONDS_BY_WORD else word.removesuffix("s")]


def test_the_hours_of_all_dashboards_are_checked() -> None:
    assert sum(parameter.values[0] == "suffix:h" for parameter in DURATIONS) >= 15


@pytest.mark.parametrize(("unit", "decimals"), DURATIONS)
def test_a_long_duration_keeps_its_size(unit: str, decimals: int | None) -> None:
    values = [hours * 3600 for hours in HOURS]
    texts = [format_value(unit, seconds / SECONDS_BY_UNIT[unit], decimals) for seconds in values]

    assert [parse_seconds(text) for text in texts] == pytest.approx(values, rel=0.05)
    assert len(set(texts)) == len(texts)


def test_hours_are_shown_as_on_coders_page() -> None:
    texts = [format_value("suffix:h", hours, 1) for hours in HOURS]

    assert texts == ["99.0 h", "101.0 h", "1000.0 h"]
    assert {parameter.values[1] for parameter in DURATIONS if parameter.values[0] == "suffix:h"} <= {1, None}


@pytest.mark.parametrize(
    ("unit", "texts"),
    [
        ("clocks", ["99h:00m", "01h:00m", "00h:00m"]),
        ("h", ["4.1 days", "4.2 days", "6.0 weeks"]),
        ("s", ["1.6 mins", "1.7 mins", "16.7 mins"]),
    ],
)
def test_other_units_lose_hours(unit: str, texts: list[str]) -> None:
    """The reason why hours have a suffix and no unit of Grafana's."""
    factor = 3600 if unit == "clocks" else 1

    assert [format_value(unit, hours * factor, 1) for hours in HOURS] == texts


def test_no_panel_has_a_unit_that_loses_hours() -> None:
    used = {unit for panel in all_panels() for _, unit, _ in fields_with_units(panel)}

    assert used & {"clocks", "clockms", "h", "m", "d", "dthms", "dtdhms", "dtdurations"} == set()


def test_every_duration_has_a_duration_unit() -> None:
    """A column such as "Hours per user" would otherwise escape the tests above."""
    plain = [
        f"{panel} {name}"
        for panel in all_panels()
        for name, unit, _ in fields_with_units(panel)
        if DURATION_WORDS.search(name) and unit not in {*SECONDS_BY_UNIT, "percentunit"}
    ]

    assert plain == []
