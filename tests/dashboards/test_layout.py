"""Layout: positions, titles, descriptions, links and the status row of every dashboard."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any, Final

import pytest

from insights_exporter.bundle.registry import DASHBOARDS as DECLARED
from tests.support.dashboards import DASHBOARD_SLUGS, DASHBOARDS_DIR, Panel, all_panels, load_dashboard

COLUMNS: Final = 24
CHARACTER_WIDTH: Final = 7.3
CELL_PADDING: Final = 12
SORT_ARROW: Final = 18
"""Pixels in a header of Grafana: the average character of Inter Medium at 14 px, and what is beside it."""

MAX_TITLE_LENGTH: Final = 34
BUILTIN_PANEL_TYPES: Final = frozenset(
    {"barchart", "bargauge", "heatmap", "row", "stat", "state-timeline", "table", "timeseries"}
)
"""Panel types that Grafana 10 to 13 contain."""

each_dashboard = pytest.mark.parametrize("slug", DASHBOARD_SLUGS)


def grid_rows(slug: str) -> list[list[Panel]]:
    """Return panels side by side from top to bottom, without the panels of collapsed rows."""
    return _by_height([Panel(slug, panel) for panel in load_dashboard(slug)["panels"]])


def _by_height(panels: list[Panel]) -> list[list[Panel]]:
    panels_by_y: dict[int, list[Panel]] = defaultdict(list)
    for panel in panels:
        panels_by_y[panel.grid_position["y"]].append(panel)
    return [panels_by_y[y] for y in sorted(panels_by_y)]


def collapsed_rows(slug: str) -> list[tuple[Panel, list[list[Panel]]]]:
    """Return collapsed rows, each with its panels side by side."""
    return [
        (Panel(slug, row), _by_height([Panel(slug, panel) for panel in row["panels"]]))
        for row in load_dashboard(slug)["panels"]
        if row.get("collapsed")
    ]


def test_every_registered_dashboard_has_a_file() -> None:
    assert {info.slug for info in DECLARED} == set(DASHBOARD_SLUGS)


@each_dashboard
def test_no_two_panels_overlap(slug: str) -> None:
    groups = [grid_rows(slug), *(rows for _, rows in collapsed_rows(slug))]
    for group in groups:
        check_no_overlap([panel for row in group for panel in row])


def check_no_overlap(panels: list[Panel]) -> None:
    occupied: dict[tuple[int, int], str] = {}
    for panel in panels:
        position = panel.grid_position
        for x in range(position["x"], position["x"] + position["w"]):
            for y in range(position["y"], position["y"] + position["h"]):
                assert (x, y) not in occupied, f"{panel} over {occupied[x, y]}"
                occupied[x, y] = str(panel)


@each_dashboard
def test_grid_rows_fill_the_width_at_equal_height(slug: str) -> None:
    for row in (*grid_rows(slug), *(row for _, rows in collapsed_rows(slug) for row in rows)):
        assert sum(panel.grid_position["w"] for panel in row) == COLUMNS
        assert len({panel.grid_position["h"] for panel in row}) == 1


@each_dashboard
def test_grid_rows_follow_without_gaps(slug: str) -> None:
    for rows in (grid_rows(slug), *([[row], *rows] for row, rows in collapsed_rows(slug))):
        for above, below in pairwise(rows):
            assert below[0].grid_position["y"] == above[0].grid_position["y"] + above[0].grid_position["h"]


@each_dashboard
def test_panels_are_numbered_in_reading_order(slug: str) -> None:
    panels = all_panels(slug, rows=True)

    assert [panel.json["id"] for panel in panels] == list(range(1, len(panels) + 1))
    for rows in (grid_rows(slug), *(rows for _, rows in collapsed_rows(slug))):
        ids = [panel.json["id"] for row in rows for panel in row]

        assert ids == sorted(ids)


@each_dashboard
def test_the_status_row_is_first_and_numbers_follow(slug: str) -> None:
    status, heading, numbers, *_ = grid_rows(slug)

    assert [(panel.type, panel.title) for panel in status] == [("stat", "Data status")]
    assert [panel.type for panel in heading] == ["row"]
    assert {panel.type for panel in numbers} == {"stat"}


@each_dashboard
def test_the_status_links_to_exporter_health_and_the_runbook(slug: str) -> None:
    ((status,), *_) = grid_rows(slug)
    urls = [link["url"] for link in status.json["links"]]

    assert urls[0].startswith("/d/coder-insights-exporter-health/")
    assert urls[1].endswith("/CoderInsightsDataStale.md")


@each_dashboard
def test_tables_link_to_their_csv_download(slug: str) -> None:
    tables = [panel for panel in all_panels(slug) if panel.type == "table"]
    path = next(info.path for info in DECLARED if info.slug == slug)

    assert tables
    for table in tables:
        (link,) = table.json["links"]

        assert link["title"] == "Download CSV"
        assert link["url"].startswith(f"{path}?inspect={table.json['id']}&inspectTab=data&")


@each_dashboard
def test_headers_of_tables_are_not_cut(slug: str) -> None:
    narrow = {
        (table.title, override["matcher"]["options"])
        for table in all_panels(slug)
        if table.type == "table" and table.title != "Busy hours"
        for override in table.overrides
        if override["matcher"]["id"] == "byName" and not _fits(table, override)
    }

    assert narrow == set()


def _fits(table: Panel, override: dict[str, Any]) -> bool:
    """Return whether a column is at least as wide as its title, with the arrow in the sorted column."""
    title = override["matcher"]["options"]
    properties = {item["id"]: item["value"] for item in override["properties"]}
    width = properties.get("custom.width") or properties["custom.minWidth"]
    sorted_titles = [item["displayName"] for item in table.json["options"].get("sortBy", ())]
    needed = CHARACTER_WIDTH * len(title) + CELL_PADDING + (SORT_ARROW if title in sorted_titles else 0)
    return bool(width >= needed)


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
def test_one_drop_down_links_to_all_dashboards(slug: str) -> None:
    (link,) = load_dashboard(slug)["links"]

    assert (link["type"], link["asDropdown"], link["tags"]) == ("dashboards", True, ["coder-insights"])
    assert load_dashboard(slug)["tags"] == link["tags"]
    assert link["keepTime"]
    assert link["includeVars"]


def test_the_template_of_template_insights_does_not_filter_other_dashboards() -> None:
    """Links keep all variables, so the variables of one template have names of their own."""
    single = {"organization", "template", "parameter"}
    names_by_slug = {
        slug: {variable["name"] for variable in load_dashboard(slug)["templating"]["list"]}
        for slug in DASHBOARD_SLUGS
    }

    assert single <= names_by_slug.pop("template-insights")
    assert not single & set().union(*names_by_slug.values())


@each_dashboard
def test_data_links_reference_existing_dashboards_and_variables(slug: str) -> None:
    slug_by_path = {item.path: item.slug for item in DECLARED}
    links = [link for panel in all_panels(slug) for link in _data_links(panel)]

    assert links or slug == "exporter-health"
    for link in links:
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
