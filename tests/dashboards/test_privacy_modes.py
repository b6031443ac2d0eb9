"""Privacy modes: panels without users have data in each mode, the others explain why they are empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from insights_exporter.config.settings import UsernameMode
from tests.dashboards.test_panels import TEMPLATE_SELECTION, finite_values, is_event_target
from tests.support.dashboards import DASHBOARD_SLUGS, all_panels, dashboard_variables
from tests.support.grafana import DashboardEmulator
from tests.support.history import History

USER_LEVEL_TARGETS: Final = {
    ("adoption-report", "Adoption by organization"): ("AB", "counts a user of several templates once"),
    ("template-insights", "Latency by user"): ("ABC", "lists users"),
    ("template-insights", "Activity by user"): ("AB", "lists users"),
    ("user-support", "Connections by user"): ("ABCDEFGHIJK", "lists users"),
    ("user-support", "Latency of selected users"): ("A", "has a line for each user"),
    ("user-support", "Users without activity"): ("AB", "lists users"),
    ("user-support", "New and lost users"): ("AB", "lists users"),
    ("user-support", "Low usage, deployment"): ("ABCD", "lists users"),
    ("user-support", "Preferred apps"): ("ABC", "lists users"),
}
"""Targets that need user names, by panel, and the reason."""


def targets_without_data(history: History, slug: str) -> dict[tuple[str, str], str]:
    """Return the targets of each panel without data, except those that need an event."""
    single_template = any(
        variable["name"] == "template" and not variable["multi"] for variable in dashboard_variables(slug)
    )
    viewer = DashboardEmulator(
        history.prometheus, slug, history.end, dict(TEMPLATE_SELECTION) if single_template else {}
    )
    letters_by_panel = {
        (slug, panel.title): "".join(
            target["refId"]
            for target in panel.targets
            if not is_event_target(panel, target) and not finite_values(viewer.run_query(panel, target))
        )
        for panel in all_panels(slug)
    }
    return {panel: letters for panel, letters in letters_by_panel.items() if letters}


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
def test_every_panel_has_data_with_hashed_names(
    histories: Callable[[UsernameMode], History], slug: str
) -> None:
    assert targets_without_data(histories(UsernameMode.HASHED), slug) == {}


@pytest.mark.parametrize("slug", DASHBOARD_SLUGS)
def test_only_user_level_panels_are_empty_without_names(
    histories: Callable[[UsernameMode], History], slug: str
) -> None:
    expected = {panel: letters for panel, (letters, _) in USER_LEVEL_TARGETS.items() if panel[0] == slug}

    assert targets_without_data(histories(UsernameMode.OFF), slug) == expected


@pytest.mark.parametrize("key", USER_LEVEL_TARGETS, ids=" ".join)
def test_user_level_panels_explain_missing_names(key: tuple[str, str]) -> None:
    """An empty panel explains it in place of the data, a partly empty one in its description."""
    (panel,) = (candidate for candidate in all_panels(key[0]) if candidate.title == key[1])
    letters, _ = USER_LEVEL_TARGETS[key]
    all_targets_empty = letters == "".join(target["refId"] for target in panel.targets)
    text = (
        panel.json["fieldConfig"]["defaults"]["noValue"] if all_targets_empty else panel.json["description"]
    )

    assert "names are switched off" in text
