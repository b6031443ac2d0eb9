"""Every panel has data in a real Prometheus, and every name that it is shaped by is in the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isnan
from typing import Any, Final

import pytest

from tests.support.dashboards import DASHBOARD_SLUGS, Panel, all_panels, dashboard_variables
from tests.support.grafana import DashboardEmulator, VariableValue
from tests.support.grafana_transformations import apply_transformations
from tests.support.history import INSTANCES, History
from tests.support.prometheus import Series

TEMPLATE_SELECTION: Final[dict[str, VariableValue]] = {"organization": "research", "template": "go-dev"}

EVENT_TARGETS: Final = {
    ("capacity-planning", "Days until seats run out", "A"): "nobody joins, so seats never run out",
    ("exporter-health", "Errors by collector", "A"): "no collector fails",
    ("exporter-health", "Retries", "A"): "no request fails",
    ("exporter-health", "Unusable answers", "A"): "every answer is whole",
    ("exporter-health", "Folded series", "A"): "no limit binds",
    ("exporter-health", "Counter corrections", "A"): "no total falls",
    ("exporter-health", "Pushes", "A"): "nothing is pushed",
}
"""Targets that find nothing while all is well; ``test_quiet_panels`` shows them what they wait for."""

ViewerFactory = Callable[[str], DashboardEmulator]
each_panel = pytest.mark.parametrize("panel", all_panels(), ids=str)


@pytest.fixture(scope="module")
def viewer_for(history: History) -> ViewerFactory:
    """Look at a dashboard at the end of the history."""
    viewers: dict[str, DashboardEmulator] = {}

    def get(slug: str) -> DashboardEmulator:
        if slug not in viewers:
            single_template = any(
                variable["name"] == "template" and not variable["multi"]
                for variable in dashboard_variables(slug)
            )
            selection = dict(TEMPLATE_SELECTION) if single_template else {}
            viewers[slug] = DashboardEmulator(history.prometheus, slug, history.end, selection)
        return viewers[slug]

    return get


def finite_values(series: list[Series]) -> list[float]:
    return [value for _, points in series for _, value in points if not isnan(value)]


def is_event_target(panel: Panel, target: dict[str, Any]) -> bool:
    return (panel.dashboard, panel.title, target["refId"]) in EVENT_TARGETS


@each_panel
def test_every_target_returns_data(viewer_for: ViewerFactory, panel: Panel) -> None:
    values_by_ref = {
        target["refId"]: finite_values(viewer_for(panel.dashboard).run_query(panel, target))
        for target in panel.targets
    }

    assert [
        candidate
        for candidate in panel.targets
        if not values_by_ref[candidate["refId"]] and not is_event_target(panel, candidate)
    ] == []


@each_panel
def test_transformations_and_overrides_reference_existing_fields(
    viewer_for: ViewerFactory, panel: Panel
) -> None:
    frames = apply_transformations(panel, viewer_for(panel.dashboard).frames(panel))
    field_names = {name for frame in frames for name in frame}
    matchers = [item["matcher"] for item in panel.overrides]
    sorts = [item["displayName"] for item in panel.json.get("options", {}).get("sortBy", ())]

    assert {item["id"] for item in matchers} <= {"byName"}
    assert {item["options"] for item in matchers} | set(sorts) <= field_names


@each_panel
def test_tables_have_ordered_columns_and_unique_rows(viewer_for: ViewerFactory, panel: Panel) -> None:
    if panel.type != "table":
        return
    (frame,) = apply_transformations(panel, viewer_for(panel.dashboard).frames(panel))
    columns = [override["matcher"]["options"] for override in panel.overrides]
    rows = list(zip(*(map(str, values) for values in frame.values()), strict=True))

    assert list(frame) == columns or panel.title == "People by hour and weekday"
    assert sorted(set(rows)) == sorted(rows)


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
def test_every_variable_has_options(viewer_for: ViewerFactory, slug: str) -> None:
    viewer = viewer_for(slug)

    assert all(
        viewer.variable_options(variable)
        for variable in dashboard_variables(slug)
        if variable["type"] == "query"
    )


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
def test_a_single_replica_shows_the_same_values(
    history: History, viewer_for: ViewerFactory, slug: str
) -> None:
    """Nothing of Coder counts twice because two exporters tell of it.

    Means over a range are left out, as a replica that began later has seen less of it.
    """
    all_replicas = viewer_for(slug)
    single_replica = DashboardEmulator(
        history.prometheus, slug, history.end, dict(all_replicas.variable_values, instance=INSTANCES[0])
    )
    for panel in all_panels(slug):
        for target in panel.targets:
            if target.get("instant") and not re.search("exporter_|process_|avg_over_time", target["expr"]):
                single_result, combined_result = (
                    sorted(map(repr, viewer.run_query(panel, target)))
                    for viewer in (single_replica, all_replicas)
                )

                assert single_result == combined_result, panel


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
def test_value_mappings_cover_every_value(viewer_for: ViewerFactory, slug: str) -> None:
    """A number or text that has a word for its like but none for itself would stand out as a fault."""
    for panel in all_panels(slug):
        frames = apply_transformations(panel, viewer_for(slug).frames(panel))
        for override in panel.overrides:
            for property_ in override["properties"]:
                if property_["id"] == "mappings":
                    value_mappings = [mapping for mapping in property_["value"] if mapping["type"] == "value"]
                    if not value_mappings:
                        continue
                    mapped_values = {
                        mapped_value for mapping in value_mappings for mapped_value in mapping["options"]
                    }
                    values = {
                        _format_value(value)
                        for frame in frames
                        for value in frame[override["matcher"]["options"]]
                    }

                    assert values - {""} <= mapped_values, panel


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
