"""Outages: each panel 2, 20 and 200 minutes after the exporter dies, Coder dies, or the token expires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import pytest

from insights_exporter.config.settings import UsernameMode
from tests.dashboards.test_panels import STATUS_TITLE, TEMPLATE_SELECTION, finite_values
from tests.support.dashboards import DASHBOARD_SLUGS, Panel, all_panels, dashboard_variables
from tests.support.grafana import DashboardEmulator
from tests.support.history import History
from tests.support.history_scenarios import OUTAGE_START, Failure

MINUTES: Final = (2, 20, 200)
CAUSES: Final[Mapping[Failure, str]] = {
    Failure.EXPORTER_DOWN: "Exporter",
    Failure.CODER_DOWN: "Coder",
    Failure.TOKEN_EXPIRED: "Token",
}
"""The cell of the status row for each failure."""

LOOKBACK_PANELS: Final = frozenset({"Freshness", "Access to Coder", "Exporter", STATUS_TITLE})
"""Panels that search the last report on purpose: ages, the token's expiry, and replicas."""

HISTORY_TARGETS: Final = frozenset(
    {
        ("capacity-planning", "Concurrent users of templates"),
        ("capacity-planning", "Load by template"),
        ("user-support", "Preferred apps"),
    }
)
"""Panels of the whole range, which stay right without current data."""

AGES: Final = ("fresh", "late", "old")
"""Names of the cell "Data age", one for each colour."""

each_time = pytest.mark.parametrize("minutes", MINUTES)
each_failure = pytest.mark.parametrize("failure", Failure, ids=lambda failure: failure.value)
each_dashboard = pytest.mark.parametrize("slug", DASHBOARD_SLUGS)


def emulator(history: History, slug: str, minutes: float) -> DashboardEmulator:
    single_template = any(variable["name"] == "template" for variable in dashboard_variables(slug))
    selection = dict(TEMPLATE_SELECTION) | {"parameter": "$__all"} if single_template else {}
    return DashboardEmulator(
        history.prometheus, slug, OUTAGE_START + timedelta(minutes=minutes), {**selection, "window": "7d"}
    )


def status_cells(viewer: DashboardEmulator) -> dict[str, float]:
    """Return the cells of the status row that are shown."""
    (panel,) = (panel for panel in all_panels(viewer.slug) if panel.title == STATUS_TITLE)
    return {
        name: values[-1] for frame in viewer.frames(panel) for name, values in frame.items() if name != "Time"
    }


def age_color(slug: str, name: str) -> str:
    (panel,) = (panel for panel in all_panels(slug) if panel.title == STATUS_TITLE)
    (override,) = (item for item in panel.overrides if item["matcher"]["options"] == name)
    (thresholds,) = (item["value"] for item in override["properties"] if item["id"] == "thresholds")
    (step,) = thresholds["steps"]
    return str(step["color"])


@each_dashboard
@each_failure
@each_time
def test_the_status_row_names_the_cause_and_the_age_grows(
    scenario_history: Callable[[str], History], slug: str, failure: Failure, minutes: int
) -> None:
    cells = status_cells(emulator(scenario_history(failure.value), slug, minutes))
    (age,) = (cells[name] for name in AGES if name in cells)

    assert ("old" if age >= 1800 else "late" if age >= 900 else "fresh") in cells
    assert minutes * 60 <= age <= (minutes + 16) * 60
    assert cells[CAUSES[failure]] == 1
    assert set(cells) & set(CAUSES.values()) == {CAUSES[failure]}


@each_dashboard
def test_the_status_row_is_calm_before_an_outage(
    scenario_history: Callable[[str], History], slug: str
) -> None:
    cells = status_cells(emulator(scenario_history("coder-down"), slug, -15))

    assert cells["fresh"] < 900
    assert set(cells) & set(CAUSES.values()) == set()


@each_dashboard
def test_the_age_turns_amber_and_then_red(slug: str) -> None:
    calm, amber, red = (age_color(slug, name) for name in AGES)

    assert calm == "transparent"
    assert len({calm, amber, red}) == 3


def is_current(panel: Panel, target: Mapping[str, Any]) -> bool:
    """Return whether a target shows the state at the end of the range."""
    return (
        bool(target.get("instant"))
        and panel.title not in LOOKBACK_PANELS
        and (panel.dashboard, panel.title) not in HISTORY_TARGETS
    )


@each_dashboard
@pytest.mark.parametrize("minutes", [2, 20, 200])
def test_no_value_is_frozen_after_the_exporter_dies(
    scenario_history: Callable[[str], History], slug: str, minutes: int
) -> None:
    viewer = emulator(scenario_history("exporter-down"), slug, minutes)

    assert _targets_with_data(viewer, lambda _: True) == []


@each_dashboard
@pytest.mark.parametrize("failure", [Failure.CODER_DOWN, Failure.TOKEN_EXPIRED], ids=lambda one: one.value)
def test_values_of_coder_disappear_after_max_staleness(
    scenario_history: Callable[[str], History], slug: str, failure: Failure
) -> None:
    """The exporter drops old data after 30 minutes, when the status row is red; its self metrics stay."""
    viewer = emulator(scenario_history(failure.value), slug, 200)

    assert _targets_with_data(viewer, _is_of_coder) == []


@each_dashboard
@pytest.mark.parametrize("failure", [Failure.CODER_DOWN, Failure.TOKEN_EXPIRED], ids=lambda one: one.value)
def test_values_stay_the_last_known_until_max_staleness(
    scenario_history: Callable[[str], History], slug: str, failure: Failure
) -> None:
    """The last poll was 15 minutes before the outage, so after ten minutes the data is 25 minutes old."""
    before, after = (emulator(scenario_history(failure.value), slug, minutes) for minutes in (-5, 10))
    titles = {panel.title for panel in all_panels(slug)} - {STATUS_TITLE}

    assert _shown_titles(after) & titles >= _shown_titles(before) & titles - _RECENT_TITLES


_RECENT_TITLES: Final = frozenset({"Connections by user", "Preferred apps"})
"""Panels with agent reports, which end with the outage of Coder."""


def _shown_titles(viewer: DashboardEmulator) -> set[str]:
    return {
        panel.title
        for panel in all_panels(viewer.slug)
        if any(
            finite_values(viewer.run_query(panel, target))
            for target in panel.targets
            if is_current(panel, target)
        )
    }


def _is_of_coder(expr: str) -> bool:
    freshness = ("last_success_timestamp", "poll_interval")
    for name in freshness:
        expr = expr.replace(f"coder_insights_exporter_{name}_seconds", "")
    return "coder_insights_exporter_" not in expr


def _targets_with_data(viewer: DashboardEmulator, is_checked: Callable[[str], bool]) -> list[str]:
    return [
        f"{panel} {target['refId']}"
        for panel in all_panels(viewer.slug)
        for target in panel.targets
        if is_current(panel, target)
        and is_checked(target["expr"])
        and finite_values(viewer.run_query(panel, target))
    ]


@each_dashboard
def test_the_status_row_says_that_names_are_switched_off(
    histories: Callable[[UsernameMode], History], slug: str
) -> None:
    named, off = (
        status_cells(DashboardEmulator(one.prometheus, slug, one.end, {"window": "7d"}))
        for one in (histories(UsernameMode.NAMED), histories(UsernameMode.OFF))
    )

    assert "User names" not in named
    assert off["User names"] == 1


@pytest.mark.parametrize("slug", [slug for slug in DASHBOARD_SLUGS if slug != "exporter-health"])
def test_the_status_row_says_that_the_selection_is_unused(history: History, slug: str) -> None:
    unused, used = (
        {
            "organization": "acme",
            "template": template,
            "organizations": ("acme",),
            "templates": (template,),
            "window": "7d",
        }
        for template in ("data-science", "go-dev")
    )

    assert status_cells(DashboardEmulator(history.prometheus, slug, history.end, dict(unused)))["Usage"] == 1
    assert "Usage" not in status_cells(DashboardEmulator(history.prometheus, slug, history.end, dict(used)))
