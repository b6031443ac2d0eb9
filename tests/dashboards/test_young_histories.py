"""The first day, week and month of an installation: each panel is right, or says which history it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from dashboards.generator.stats import NO_RESULT
from tests.dashboards.test_panels import EVENT_TARGETS, STATUS_TITLE, TEMPLATE_SELECTION, finite_values
from tests.support.dashboards import DASHBOARD_SLUGS, Panel, all_panels, dashboard_variables
from tests.support.grafana import DashboardEmulator, VariableValue
from tests.support.history import History

SCENARIOS: Final = ("first-day", "first-week", "first-month")
_FORECAST = {("capacity-planning", "Seat forecast"): "AB"}
_MONTH = {("adoption-report", "Last 30 days and before"): "BCEFHI"}
_UTILIZATION = {
    ("adoption-report", "Selected templates"): "B",
    ("adoption-report", "Adoption by template"): "F",
    ("adoption-report", "Adoption by organization"): "G",
}
_WEEK_BEFORE = {("deployment-overview", "Templates"): "D", ("capacity-planning", "Licence meters"): "D"}

NEEDS_HISTORY: Final[dict[str, dict[tuple[str, str], str]]] = {
    "first-day": _FORECAST | _MONTH | _UTILIZATION | _WEEK_BEFORE,
    "first-week": _FORECAST | _MONTH,
    "first-month": {},
}
"""Targets without data in a scenario, by panel. Everything else is complete from the first poll on."""

HISTORY_WORDS: Final = ("After ", "needs ", "need ", "history")


def emulator(history: History, slug: str) -> DashboardEmulator:
    single_template = any(variable["name"] == "template" for variable in dashboard_variables(slug))
    selection: dict[str, VariableValue] = dict(TEMPLATE_SELECTION) if single_template else {}
    return DashboardEmulator(history.prometheus, slug, history.end, selection)


def targets_without_data(viewer: DashboardEmulator) -> dict[tuple[str, str], str]:
    letters_by_panel = {
        (viewer.slug, panel.title): "".join(
            target["refId"]
            for target in panel.targets
            if (panel.dashboard, panel.title, target["refId"]) not in EVENT_TARGETS
            and not finite_values(viewer.run_query(panel, target))
        )
        for panel in all_panels(viewer.slug)
        if panel.title != STATUS_TITLE
    }
    return {panel: letters for panel, letters in letters_by_panel.items() if letters}


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_only_panels_that_need_history_are_empty(
    scenario_history: Callable[[str], History], name: str, slug: str
) -> None:
    expected = {panel: letters for panel, letters in NEEDS_HISTORY[name].items() if panel[0] == slug}

    assert targets_without_data(emulator(scenario_history(name), slug)) == expected


@pytest.mark.parametrize("key", NEEDS_HISTORY["first-day"], ids=" ".join)
def test_panels_that_need_history_say_so(key: tuple[str, str]) -> None:
    (panel,) = (panel for panel in all_panels(key[0]) if panel.title == key[1])
    texts = [panel.json["description"], *_no_value_texts(panel)]

    assert any(word in text for text in texts for word in HISTORY_WORDS)


def _no_value_texts(panel: Panel) -> list[str]:
    mappings = [
        mapping
        for override in panel.overrides
        for item in override["properties"]
        if item["id"] == "mappings"
        for mapping in item["value"]
    ]
    missing = [mapping["options"]["result"]["text"] for mapping in mappings if mapping["type"] == "special"]
    absent = [
        mapping["options"][str(NO_RESULT)]["text"]
        for mapping in mappings
        if mapping["type"] == "value" and str(NO_RESULT) in mapping["options"]
    ]
    return missing + absent


@pytest.mark.parametrize("name", SCENARIOS)
def test_hours_are_those_of_the_window_from_the_first_day_on(
    scenario_history: Callable[[str], History], name: str
) -> None:
    """The API computes windows from its own data, so they do not depend on the age of the history."""
    history = scenario_history(name)
    viewer = emulator(history, "adoption-report")
    (panel,) = (panel for panel in all_panels("adoption-report") if panel.title == "Developer hours")
    ((_, points),) = viewer.run_query(panel, panel.targets[0])
    family = 'coder_insights_template_usage_window_seconds{window="30d"}'
    query = f"sum(max by (template_name, organization_name) ({family}))"
    ((_, ((_, seconds),)),) = history.prometheus.query(query, history.end)

    assert points[-1][1] == pytest.approx(seconds / 3600)
    assert seconds > 30 * 3600


@pytest.mark.parametrize("name", ["first-week", "first-month"])
def test_utilization_is_plausible_from_the_first_week_on(
    scenario_history: Callable[[str], History], name: str
) -> None:
    viewer = emulator(scenario_history(name), "adoption-report")
    (panel,) = (panel for panel in all_panels("adoption-report") if panel.title == "Selected templates")
    ((_, points),) = viewer.run_query(panel, panel.targets[1])

    assert 0.05 < points[-1][1] < 1
