"""How dashboards look as a whole: nothing overlaps, lines line up, titles tell panels apart."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Final

import pytest

from insights_exporter.bundle.registry import DASHBOARDS as DECLARED
from tests.support.dashboards import DASHBOARD_SLUGS, DASHBOARDS_DIR, Panel, all_panels, load_dashboard

COLUMNS: Final = 24
MAX_TITLE_LENGTH: Final = 34
BUILTIN_PANEL_TYPES: Final = frozenset(
    {"bargauge", "heatmap", "row", "stat", "state-timeline", "table", "timeseries", "gauge", "histogram"}
)
"""Panels that Grafana 10 to 13 all bring with them."""

each_dashboard = pytest.mark.parametrize("slug", DASHBOARD_SLUGS)


def grid_rows(slug: str) -> list[list[Panel]]:
    """Return panels that stand side by side, from top to bottom."""
    panels_by_y: dict[int, list[Panel]] = defaultdict(list)
    for panel in all_panels(slug, rows=True):
        panels_by_y[panel.grid_position["y"]].append(panel)
    return [panels_by_y[y] for y in sorted(panels_by_y)]


def test_every_registered_dashboard_has_a_file() -> None:
    assert {info.slug for info in DECLARED} == set(DASHBOARD_SLUGS)


@each_dashboard
def test_no_two_panels_overlap(slug: str) -> None:
    occupied: dict[tuple[int, int], str] = {}
    for panel in all_panels(slug, rows=True):
        position = panel.grid_position
        for x in range(position["x"], position["x"] + position["w"]):
            for y in range(position["y"], position["y"] + position["h"]):
                assert (x, y) not in occupied, f"{panel} over {occupied[x, y]}"
                occupied[x, y] = str(panel)


@each_dashboard
def test_grid_rows_fill_the_width_at_equal_height(slug: str) -> None:
    for row in grid_rows(slug):
        assert sum(panel.grid_position["w"] for panel in row) == COLUMNS
        assert len({panel.grid_position["h"] for panel in row}) == 1


@each_dashboard
def test_grid_rows_follow_without_gaps(slug: str) -> None:
    for above, below in pairwise(grid_rows(slug)):
        assert below[0].grid_position["y"] == above[0].grid_position["y"] + above[0].grid_position["h"]


@each_dashboard
def test_panels_are_numbered_in_reading_order(slug: str) -> None:
    panels = all_panels(slug, rows=True)
    sorted_panels = sorted(panels, key=lambda panel: (panel.grid_position["y"], panel.grid_position["x"]))

    assert [panel.json["id"] for panel in sorted_panels] == list(range(1, len(panels) + 1))


@each_dashboard
def test_the_first_grid_row_has_stat_panels_under_a_heading(slug: str) -> None:
    heading, first_row, *_ = grid_rows(slug)

    assert [panel.type for panel in heading] == ["row"]
    assert {panel.type for panel in first_row} == {"stat"}


@each_dashboard
def test_titles_are_short(slug: str) -> None:
    titles = [item.title for item in all_panels(slug, rows=True)]

    assert [item for item in titles if len(item) > MAX_TITLE_LENGTH or item != item.strip(" .")] == []


@each_dashboard
def test_panel_titles_are_unique(slug: str) -> None:
    titles = [panel.title for panel in all_panels(slug)]

    assert sorted(set(titles)) == sorted(titles)


@each_dashboard
def test_descriptions_have_unit_and_metrics(slug: str) -> None:
    for panel in all_panels(slug):
        summary, _, rest = panel.json["description"].partition("\n\n")

        assert summary.endswith(".")
        assert rest.startswith("Unit: ")
        assert "Metrics: `" in rest


@each_dashboard
def test_every_panel_has_a_no_value_text(slug: str) -> None:
    assert all(panel.json["fieldConfig"]["defaults"]["noValue"] for panel in all_panels(slug))


@each_dashboard
def test_grafana_10_and_later_can_render_it(slug: str) -> None:
    dashboard = load_dashboard(slug)

    assert dashboard["schemaVersion"] == 39
    assert dashboard["id"] is None
    assert {panel.type for panel in all_panels(slug, rows=True)} <= BUILTIN_PANEL_TYPES
    assert not {"elements", "kind", "spec"} & set(dashboard)


@each_dashboard
def test_links_lead_to_all_other_dashboards_and_keep_variables(slug: str) -> None:
    links = load_dashboard(slug)["links"]

    assert [link["url"] for link in links] == [info.path for info in DECLARED if info.slug != slug]
    assert all(link["keepTime"] and link["includeVars"] for link in links)


@each_dashboard
def test_data_links_reference_existing_dashboards_and_variables(slug: str) -> None:
    slug_by_path = {item.path: item.slug for item in DECLARED}
    for panel in all_panels(slug):
        for link in _data_links(panel):
            path, _, query = link["url"].partition("?")
            used_variables = {part.partition("=")[0] for part in query.split("&") if part.startswith("var-")}
            declared_variables = {
                f"var-{item['name']}" for item in load_dashboard(slug_by_path[path])["templating"]["list"]
            }

            assert used_variables <= declared_variables


def _data_links(panel: Panel) -> list[dict[str, str]]:
    properties = [item for override in panel.overrides for item in override["properties"]]
    return [link for item in properties if item["id"] == "links" for link in item["value"]]


@each_dashboard
def test_firing_alerts_are_annotated(slug: str) -> None:
    (annotation,) = load_dashboard(slug)["annotations"]["list"]

    assert annotation["expr"].startswith('ALERTS{alertname=~"CoderInsights')


@each_dashboard
def test_files_are_formatted_deterministically(slug: str) -> None:
    text = (DASHBOARDS_DIR / f"{slug}.json").read_text(encoding="utf-8")

    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
