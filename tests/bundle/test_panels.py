"""Every panel has data in a real Prometheus, and every name that it is shaped by is in the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isnan
from typing import Any, Final

import pytest

from tests.support.boards import BOARDS, Panel, every_panel, variables
from tests.support.grafana import Chosen, Viewer
from tests.support.history import INSTANCES, History
from tests.support.prometheus import Series
from tests.support.transformations import transformed

ONE_TEMPLATE: Final[dict[str, Chosen]] = {"organization": "research", "template": "go-dev"}

QUIET: Final = {
    ("capacity-planning", "Days until seats run out", "A"): "nobody joins, so seats never run out",
    ("exporter-health", "Errors by collector", "A"): "no collector fails",
    ("exporter-health", "Retries", "A"): "no request fails",
    ("exporter-health", "Unusable answers", "A"): "every answer is whole",
    ("exporter-health", "Folded series", "A"): "no limit binds",
    ("exporter-health", "Counter corrections", "A"): "no total falls",
    ("exporter-health", "Pushes", "A"): "nothing is pushed",
}
"""Targets that find nothing while all is well; ``test_quiet_panels`` shows them what they wait for."""

View = Callable[[str], Viewer]
each_panel = pytest.mark.parametrize("panel", every_panel(), ids=str)


@pytest.fixture(scope="module")
def view(history: History) -> View:
    """Look at a dashboard at the end of the history."""
    known: dict[str, Viewer] = {}

    def look(slug: str) -> Viewer:
        if slug not in known:
            single = any(one["name"] == "template" and not one["multi"] for one in variables(slug))
            chosen = dict(ONE_TEMPLATE) if single else {}
            known[slug] = Viewer(history.prometheus, slug, history.end, chosen)
        return known[slug]

    return look


def numbers(series: list[Series]) -> list[float]:
    return [value for _, points in series for _, value in points if not isnan(value)]


def is_quiet(panel: Panel, target: dict[str, Any]) -> bool:
    return (panel.board, panel.title, target["refId"]) in QUIET


@each_panel
def test_every_target_finds_numbers(view: View, panel: Panel) -> None:
    found = {target["refId"]: numbers(view(panel.board).ask(panel, target)) for target in panel.targets}

    assert [one for one in panel.targets if not found[one["refId"]] and not is_quiet(panel, one)] == []


@each_panel
def test_transformations_and_overrides_name_fields_that_are_there(view: View, panel: Panel) -> None:
    frames = transformed(panel, view(panel.board).frames(panel))
    shown = {name for frame in frames for name in frame}
    matchers = [one["matcher"] for one in panel.overrides]
    sorts = [one["displayName"] for one in panel.json.get("options", {}).get("sortBy", ())]

    assert {one["id"] for one in matchers} <= {"byName"}
    assert {one["options"] for one in matchers} | set(sorts) <= shown


@each_panel
def test_a_table_has_its_columns_in_order_and_no_row_twice(view: View, panel: Panel) -> None:
    if panel.type != "table":
        return
    (frame,) = transformed(panel, view(panel.board).frames(panel))
    columns = [one["matcher"]["options"] for one in panel.overrides]
    rows = list(zip(*(map(str, values) for values in frame.values()), strict=True))

    assert list(frame) == columns or panel.title == "People by hour and weekday"
    assert sorted(set(rows)) == sorted(rows)


@pytest.mark.parametrize("slug", BOARDS)
def test_every_variable_offers_something(view: View, slug: str) -> None:
    viewer = view(slug)

    assert all(viewer.options(one) for one in variables(slug) if one["type"] == "query")


@pytest.mark.parametrize("slug", BOARDS)
def test_a_single_replica_shows_what_both_show(history: History, view: View, slug: str) -> None:
    """Nothing of Coder counts twice because two exporters tell of it.

    Means over a range are left out, as a replica that began later has seen less of it.
    """
    both = view(slug)
    alone = Viewer(history.prometheus, slug, history.end, dict(both.chosen, instance=INSTANCES[0]))
    for panel in every_panel(slug):
        for target in panel.targets:
            if target.get("instant") and not re.search("exporter_|process_|avg_over_time", target["expr"]):
                mine, ours = (sorted(map(repr, one.ask(panel, target))) for one in (alone, both))

                assert mine == ours, panel


@pytest.mark.parametrize("slug", BOARDS)
def test_value_mappings_cover_what_comes(view: View, slug: str) -> None:
    """A number or text that has a word for its like but none for itself would stand out as a fault."""
    for panel in every_panel(slug):
        frames = transformed(panel, view(slug).frames(panel))
        for override in panel.overrides:
            for one in override["properties"]:
                if one["id"] == "mappings":
                    exact = [mapping for mapping in one["value"] if mapping["type"] == "value"]
                    if not exact:
                        continue
                    words = {word for mapping in exact for word in mapping["options"]}
                    values = {
                        _text(value) for frame in frames for value in frame[override["matcher"]["options"]]
                    }

                    assert values - {""} <= words, panel


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
