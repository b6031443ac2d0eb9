"""The rules of Grafana's dashboard linter, all seventeen, on every dashboard and without exception.

Each test bears the name of its rule. Where the linter looks away, as it does at panels with value mappings,
these do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser
import pytest

from tests.support.boards import BOARDS, Panel, board, every_panel, variables
from tests.support.grafana import interpolated
from tests.support.promql import selector, selectors, walk

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
RATE_INTERVAL: Final = 7907
"""Seconds that nobody would write, so that they can be told from those that somebody did."""

BUILTIN: Final = {
    "__interval": "7s",
    "__interval_ms": "7000",
    "__range": "11s",
    "__range_ms": "11000",
    "__range_s": "11",
    "__rate_interval": f"{RATE_INTERVAL}s",
}
UNITS: Final = frozenset(
    {
        *("bytes", "clocks", "dateTimeAsIso", "dateTimeFromNow", "none", "percent", "percentunit", "reqps"),
        *("s", "short", "string"),
    }
)
"""Those of the linter's list that are in use here; the linter knows no unit of one's own making."""

pytestmark = pytest.mark.parametrize("slug", BOARDS)


def filled(slug: str, text: str) -> str:
    """Return a query in which each variable has its own name as its value."""
    chosen = {one["name"]: f"${one['name']}" for one in variables(slug)}
    plain = [one | {"multi": False, "includeAll": False} for one in variables(slug)]
    return interpolated(text, plain, chosen, BUILTIN)


def targets(slug: str) -> Iterator[tuple[Panel, dict[str, Any], str]]:
    """Yield every target, with its query ready to be parsed."""
    for panel in every_panel(slug):
        for target in panel.targets:
            yield panel, target, filled(slug, target["expr"])


def calls(query: str, *functions: str) -> list[Any]:
    return [
        node
        for node in walk(promql_parser.parse(query))
        if isinstance(node, promql_parser.Call) and node.func.name in functions
    ]


def variable(slug: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in variables(slug) if one["name"] == name]
    return found


def test_template_datasource_rule(slug: str) -> None:
    found = variable(slug, "datasource")

    assert (found["type"], found["label"], found["query"]) == ("datasource", "Data source", "prometheus")


def of_targets(slug: str, name: str) -> tuple[str, str, Any, bool, str]:
    found = variable(slug, name)
    return found["type"], found["label"], found["datasource"], found["multi"], found["allValue"]


def test_template_job_rule(slug: str) -> None:
    assert of_targets(slug, "job") == ("query", "Job", DATASOURCE, True, ".+")


def test_template_instance_rule(slug: str) -> None:
    assert of_targets(slug, "instance") == ("query", "Instance", DATASOURCE, True, ".+")


def test_template_label_promql_rule(slug: str) -> None:
    for one in variables(slug):
        if one["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), ([a-z_]+)\)", one["query"])

            assert match is not None
            assert selectors(filled(slug, match[1]))


def test_template_on_time_change_reload_rule(slug: str) -> None:
    assert {one["refresh"] for one in variables(slug) if one["type"] == "query"} == {2}


def test_panel_datasource_rule(slug: str) -> None:
    assert [str(one) for one in every_panel(slug) if one.json["datasource"] != DATASOURCE] == []


def test_panel_title_description_rule(slug: str) -> None:
    assert [str(one) for one in every_panel(slug) if not (one.title and one.json["description"])] == []


def test_panel_units_rule(slug: str) -> None:
    used = {one.json["fieldConfig"]["defaults"].get("unit") for one in every_panel(slug)}
    used |= {
        one["value"]
        for panel in every_panel(slug)
        for override in panel.overrides
        for one in override["properties"]
        if one["id"] == "unit"
    }

    assert used <= UNITS


def test_panel_no_targets_rule(slug: str) -> None:
    assert [str(one) for one in every_panel(slug) if not one.targets] == []


def test_target_logql_rule(slug: str) -> None:
    """Nothing is asked of Loki."""
    assert [str(panel) for panel, target, _ in targets(slug) if target["datasource"] != DATASOURCE] == []


def test_target_logql_auto_rule(slug: str) -> None:
    assert [str(panel) for panel, target, _ in targets(slug) if "$__auto" in target["expr"]] == []


def test_target_promql_rule(slug: str) -> None:
    for _, _, query in targets(slug):
        assert selectors(query) or "vector(" in query


def test_target_rate_interval_rule(slug: str) -> None:
    """A rate over a range of one's own is empty where the range is shorter than two scrapes."""
    ranges = {
        call.args[0].range.total_seconds()
        for _, _, query in targets(slug)
        for call in calls(query, "rate", "irate")
    }

    assert ranges <= {RATE_INTERVAL}


def test_target_job_rule(slug: str) -> None:
    found = {one.matchers.get("job") for _, _, query in targets(slug) for one in selectors(query)}

    assert found == {("=~", "$job")}


def test_target_instance_rule(slug: str) -> None:
    found = {one.matchers.get("instance") for _, _, query in targets(slug) for one in selectors(query)}

    assert found == {("=~", "$instance")}


def test_target_counter_agg_rule(slug: str) -> None:
    """A counter's own value says nothing; only how it rises does."""
    for panel, _, query in targets(slug):
        risen = [selector(call.args[0]) for call in calls(query, "rate", "irate", "increase")]
        asked = [one.name for one in selectors(query) if one.name.endswith("_total")]

        assert asked == [one.name for one in risen if one and one.name.endswith("_total")], panel


def test_uneditable_dashboard(slug: str) -> None:
    assert board(slug)["editable"] is False
