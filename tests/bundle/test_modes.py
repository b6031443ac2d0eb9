"""Dashboards stay whole in each privacy mode: what is not about persons answers, the rest says why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from insights_exporter.settings import UserNames
from tests.bundle.test_panels import ONE_TEMPLATE, is_quiet, numbers
from tests.support.boards import BOARDS, every_panel, variables
from tests.support.grafana import Viewer
from tests.support.history import History

PERSONAL: Final = {
    ("adoption-report", "Adoption by organization"): ("AB", "counts a user of several templates once"),
    ("template-insights", "Latency by user"): ("ABC", "lists users"),
    ("template-insights", "Activity by user"): ("AB", "lists users"),
    ("user-support", "Latency by user"): ("ABCD", "lists users"),
    ("user-support", "Latency of a user"): ("A", "has a line for each user"),
    ("user-support", "Users without activity"): ("AB", "lists users"),
    ("user-support", "Low usage"): ("ABCD", "lists users"),
    ("user-support", "Preferred apps"): ("ABC", "lists users"),
}
"""Panels with targets that need to tell users apart, and why."""


def silent(history: History, slug: str) -> dict[tuple[str, str], str]:
    """Return the targets of each panel that find nothing, those left out that are quiet anyway."""
    single = any(one["name"] == "template" and not one["multi"] for one in variables(slug))
    viewer = Viewer(history.prometheus, slug, history.end, dict(ONE_TEMPLATE) if single else {})
    found = {
        (slug, panel.title): "".join(
            target["refId"]
            for target in panel.targets
            if not is_quiet(panel, target) and not numbers(viewer.ask(panel, target))
        )
        for panel in every_panel(slug)
    }
    return {panel: letters for panel, letters in found.items() if letters}


@pytest.mark.parametrize("slug", BOARDS)
def test_where_names_are_hashed_every_panel_answers(
    histories: Callable[[UserNames], History], slug: str
) -> None:
    assert silent(histories(UserNames.HASHED), slug) == {}


@pytest.mark.parametrize("slug", BOARDS)
def test_where_names_are_off_every_panel_answers_that_is_not_about_persons(
    histories: Callable[[UserNames], History], slug: str
) -> None:
    personal = {panel: letters for panel, (letters, _) in PERSONAL.items() if panel[0] == slug}

    assert silent(histories(UserNames.OFF), slug) == personal


@pytest.mark.parametrize("key", PERSONAL, ids=" ".join)
def test_a_panel_that_needs_names_says_so(key: tuple[str, str]) -> None:
    """Where all of it is empty by what stands in its place, where a part is by its description."""
    (panel,) = (one for one in every_panel(key[0]) if one.title == key[1])
    letters, _ = PERSONAL[key]
    whole = letters == "".join(target["refId"] for target in panel.targets)
    text = panel.json["fieldConfig"]["defaults"]["noValue"] if whole else panel.json["description"]

    assert "names are switched off" in text
