"""Every target returns data from a real Prometheus, and every transformation refers to an existing field."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isnan
from typing import Any, Final

import pytest

from dashboards.generator.stats import NO_RESULT
from tests.support.dashboards import DASHBOARD_SLUGS, Panel, all_panels, dashboard_variables
from tests.support.grafana import DashboardEmulator, VariableValue
from tests.support.grafana_transformations import apply_transformations
from tests.support.history import INSTANCES, History
from tests.support.prometheus import Series

TEMPLATE_SELECTION: Final[dict[str, VariableValue]] = {"organization": "research", "template": "go-dev"}

EVENT_TARGETS: Final = {
    ("exporter-health", "OTLP exports", "A"): "otlp is not configured",
    ("capacity-planning", "Builds per hour", "A"): "coderd is not scraped",
    ("capacity-planning", "Failed builds, last day", "A"): "coderd is not scraped",
    ("capacity-planning", "Failed builds, last day", "B"): "coderd is not scraped",
    ("capacity-planning", "Failed builds, last day", "C"): "coderd is not scraped",
    ("capacity-planning", "Time until workspaces are ready", "A"): "coderd is not scraped",
    ("capacity-planning", "Reclaimable workspaces", "G"): "no template declares costs",
    ("adoption-report", "Adoption by template", "G"): "no template declares costs",
    ("adoption-report", "Adoption by template", "H"): "no template declares costs",
}
"""Targets without data in the history; ``test_event_panels`` has data for them."""

STATUS_TITLE: Final = "Data status"

ViewerFactory = Callable[[str], DashboardEmulator]
CODERD_PANELS: Final = {"Builds per hour", "Failed builds, last day", "Time until workspaces are ready"}
"""Panels of coderd's metrics, which the history lacks."""

each_panel = pytest.mark.parametrize("panel", all_panels(), ids=str)
each_panel_with_data = pytest.mark.parametrize(
    "panel", [panel for panel in all_panels() if panel.title not in CODERD_PANELS], ids=str
)


@pytest.fixture(scope="module")
def viewer_for(history: History) -> ViewerFactory:
    """Return an emulator of a dashboard at the end of the history."""
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
    """Return values without NaN and without the number that stands for a query without a result."""
    return [value for _, points in series for _, value in points if not isnan(value) and value != NO_RESULT]


def is_event_target(panel: Panel, target: dict[str, Any]) -> bool:
    """Return whether a target has no data without an event, such as a cause in the status row."""
    if panel.title == STATUS_TITLE:
        return bool(target["legendFormat"] != "fresh")
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


@each_panel_with_data
def test_transformations_and_overrides_reference_existing_fields(
    viewer_for: ViewerFactory, panel: Panel
) -> None:
    frames = apply_transformations(panel, viewer_for(panel.dashboard).frames(panel))
    field_names = {name for frame in frames for name in frame}
    matchers = [item["matcher"] for item in panel.overrides]
    sorts = [item["displayName"] for item in panel.json.get("options", {}).get("sortBy", ())]

    conditional = {target.get("legendFormat") for target in panel.targets if is_event_target(panel, target)}

    assert {item["id"] for item in matchers} <= {"byName", "byType"}
    assert (
        {item["options"] for item in matchers if item["id"] == "byName"} | set(sorts)
    ) - conditional <= field_names


@pytest.mark.parametrize(
    "panel",
    [panel for panel in all_panels() if panel.type == "table" and panel.title not in CODERD_PANELS],
    ids=str,
)
def test_tables_have_ordered_columns_and_unique_rows(viewer_for: ViewerFactory, panel: Panel) -> None:
    (frame,) = apply_transformations(panel, viewer_for(panel.dashboard).frames(panel))
    columns = [
        override["matcher"]["options"]
        for override in panel.overrides
        if override["matcher"]["id"] == "byName"
    ]
    rows = list(zip(*(map(str, values) for values in frame.values()), strict=True))

    assert list(frame) == columns or panel.title == "Busy hours"
    assert rows
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
    """Two replicas do not count anything of Coder twice.

    Means over a range are excluded, because the second replica has less history.
    """
    all_replicas = viewer_for(slug)
    single_replica = DashboardEmulator(
        history.prometheus, slug, history.end, dict(all_replicas.variable_values, instance=INSTANCES[0])
    )
    for panel in all_panels(slug):
        for target in panel.targets:
            expr = re.sub("exporter_(last_success_timestamp|poll_interval)_seconds", "", target["expr"])
            if target.get("instant") and not re.search("exporter_|process_|avg_over_time", expr):
                single_result, combined_result = (
                    sorted(map(repr, viewer.run_query(panel, target)))
                    for viewer in (single_replica, all_replicas)
                )

                assert single_result == combined_result, panel


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
def test_value_mappings_cover_every_value(viewer_for: ViewerFactory, slug: str) -> None:
    """Mappings of yes and no, and of weekdays, have a text for every value that occurs."""
    checked = 0
    for panel in all_panels(slug):
        frames = apply_transformations(panel, viewer_for(slug).frames(panel))
        for override in panel.overrides:
            units = {item["value"] for item in override["properties"] if item["id"] == "unit"}
            if not any(override["matcher"]["options"] in frame for frame in frames):
                continue
            for property_ in override["properties"]:
                if property_["id"] == "mappings":
                    value_mappings = [
                        mapping
                        for mapping in property_["value"]
                        if mapping["type"] == "value" and set(mapping["options"]) != {str(NO_RESULT)}
                    ]
                    if (
                        not value_mappings
                        or not units <= {"none"}
                        or "-1" in value_mappings[0]["options"]
                        or panel.title == STATUS_TITLE
                    ):
                        continue
                    checked += 1
                    mapped_values = {
                        mapped_value for mapping in value_mappings for mapped_value in mapping["options"]
                    }
                    values = {
                        _format_value(value)
                        for frame in frames
                        for value in frame.get(override["matcher"]["options"], ())
                    }

                    assert values - {""} <= mapped_values, panel
    assert checked or slug not in {"exporter-health", "capacity-planning", "template-optimization"}


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("panel", [panel for panel in all_panels() if panel.type == "table"], ids=str)
def test_an_empty_table_has_all_headers_or_none(history: History, panel: Panel) -> None:
    """Grafana would show the headers of the values alone, without those of the labels."""
    unused: dict[str, VariableValue] = {
        "organization": "acme",
        "template": "data-science",
        "organizations": ("acme",),
        "templates": ("data-science",),
    }
    viewer = DashboardEmulator(history.prometheus, panel.dashboard, history.end, unused)
    frames = apply_transformations(panel, viewer.frames(panel))
    columns = {
        override["matcher"]["options"]
        for override in panel.overrides
        if override["matcher"]["id"] == "byName"
    }

    assert [set(frame) for frame in frames] in ([], [columns]) or panel.title == "Busy hours"


def test_families_are_listed_without_their_common_prefix(viewer_for: ViewerFactory) -> None:
    (panel,) = (panel for panel in all_panels("exporter-health") if panel.title == "Series by family")
    (frame,) = apply_transformations(panel, viewer_for("exporter-health").frames(panel))

    assert "template_info" in frame["Family"]
    assert not any(name.startswith("coder_insights_") for name in frame["Family"])
