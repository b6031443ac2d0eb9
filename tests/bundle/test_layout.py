"""How dashboards look as a whole: nothing overlaps, lines line up, titles tell panels apart."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Final

import pytest

from insights_exporter.bundle.boards import BOARDS as DECLARED
from tests.support.boards import BOARDS, FOLDER, Panel, board, every_panel

COLUMNS: Final = 24
LONGEST_TITLE: Final = 34
PLUGINS: Final = frozenset(
    {"bargauge", "heatmap", "row", "stat", "state-timeline", "table", "timeseries", "gauge", "histogram"}
)
"""Panels that Grafana 10 to 13 all bring with them."""

each_board = pytest.mark.parametrize("slug", BOARDS)


def lines(slug: str) -> list[list[Panel]]:
    """Return panels that stand side by side, from top to bottom."""
    found: dict[int, list[Panel]] = defaultdict(list)
    for panel in every_panel(slug, rows=True):
        found[panel.place["y"]].append(panel)
    return [found[y] for y in sorted(found)]


def test_every_dashboard_is_there() -> None:
    assert {board.slug for board in DECLARED} == set(BOARDS)


@each_board
def test_no_two_panels_overlap(slug: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in every_panel(slug, rows=True):
        place = panel.place
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel} over {taken[x, y]}"
                taken[x, y] = str(panel)


@each_board
def test_lines_fill_the_width_and_end_together(slug: str) -> None:
    for line in lines(slug):
        assert sum(panel.place["w"] for panel in line) == COLUMNS
        assert len({panel.place["h"] for panel in line}) == 1


@each_board
def test_lines_follow_each_other_without_a_gap(slug: str) -> None:
    for above, below in pairwise(lines(slug)):
        assert below[0].place["y"] == above[0].place["y"] + above[0].place["h"]


@each_board
def test_panels_are_numbered_in_reading_order(slug: str) -> None:
    panels = every_panel(slug, rows=True)
    read = sorted(panels, key=lambda one: (one.place["y"], one.place["x"]))

    assert [one.json["id"] for one in read] == list(range(1, len(panels) + 1))


@each_board
def test_the_first_line_is_the_most_important_and_stands_under_a_heading(slug: str) -> None:
    heading, first, *_ = lines(slug)

    assert [one.type for one in heading] == ["row"]
    assert {one.type for one in first} == {"stat"}


@each_board
def test_titles_are_short(slug: str) -> None:
    titles = [one.title for one in every_panel(slug, rows=True)]

    assert [one for one in titles if len(one) > LONGEST_TITLE or one != one.strip(" .")] == []


@each_board
def test_titles_tell_panels_apart(slug: str) -> None:
    titles = [one.title for one in every_panel(slug)]

    assert sorted(set(titles)) == sorted(titles)


@each_board
def test_a_description_says_what_in_which_unit_and_from_which_metric(slug: str) -> None:
    for panel in every_panel(slug):
        what, _, rest = panel.json["description"].partition("\n\n")

        assert what.endswith(".")
        assert rest.startswith("Unit: ")
        assert "Metrics: `" in rest


@each_board
def test_an_empty_panel_says_something(slug: str) -> None:
    assert all(panel.json["fieldConfig"]["defaults"]["noValue"] for panel in every_panel(slug))


@each_board
def test_every_grafana_from_10_on_can_draw_it(slug: str) -> None:
    found = board(slug)

    assert found["schemaVersion"] == 39
    assert found["id"] is None
    assert {panel.type for panel in every_panel(slug, rows=True)} <= PLUGINS
    assert not {"elements", "kind", "spec"} & set(found)


@each_board
def test_links_lead_to_all_other_dashboards_and_keep_the_selection(slug: str) -> None:
    links = board(slug)["links"]

    assert [link["url"] for link in links] == [one.path for one in DECLARED if one.slug != slug]
    assert all(link["keepTime"] and link["includeVars"] for link in links)


@each_board
def test_links_in_tables_name_dashboards_and_variables_that_exist(slug: str) -> None:
    known = {one.path: one.slug for one in DECLARED}
    for panel in every_panel(slug):
        for link in _links(panel):
            path, _, query = link["url"].partition("?")
            named = {part.partition("=")[0] for part in query.split("&") if part.startswith("var-")}
            declared = {f"var-{one['name']}" for one in board(known[path])["templating"]["list"]}

            assert named <= declared


def _links(panel: Panel) -> list[dict[str, str]]:
    properties = [one for override in panel.overrides for one in override["properties"]]
    return [link for one in properties if one["id"] == "links" for link in one["value"]]


@each_board
def test_alerts_are_marked(slug: str) -> None:
    (mark,) = board(slug)["annotations"]["list"]

    assert mark["expr"].startswith('ALERTS{alertname=~"CoderInsights')


@each_board
def test_a_file_is_the_same_every_time(slug: str) -> None:
    text = (FOLDER / f"{slug}.json").read_text(encoding="utf-8")

    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
