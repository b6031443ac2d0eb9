"""The seventeen rules of Grafana's dashboard linter, on every dashboard.

Each test has the name of its rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser
import pytest

from tests.support.dashboards import (
    CODERD_SERIES,
    DASHBOARD_SLUGS,
    Panel,
    all_panels,
    dashboard_variables,
    load_dashboard,
)
from tests.support.grafana import interpolate_variables
from tests.support.promql import parse_selectors, to_selector, walk_nodes

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
RATE_INTERVAL: Final = 7907
"""An unusual number of seconds, to recognize ``$__rate_interval`` in a query."""

BUILTIN: Final = {
    "__interval": "7s",
    "__interval_ms": "7000",
    "__range": "11s",
    "__range_ms": "11000",
    "__range_s": "11",
    "__rate_interval": f"{RATE_INTERVAL}s",
}
ALLOWED_UNITS: Final = frozenset(
    {"bytes", "dateTimeFromNow", "none", "percent", "percentunit", "reqps", "s", "short", "string"}
)
"""Units of the linter's list."""

CUSTOM_UNITS: Final = re.compile(r"suffix:(h|ms|d|times)|time:(YYYY-MM-DD|MMM D)")
"""Custom units, which Grafana documents. The linter's list lacks them, see ``test_panel_units_rule``."""

pytestmark = pytest.mark.parametrize("slug", DASHBOARD_SLUGS)


def interpolate(slug: str, text: str) -> str:
    """Return a query in which the value of each variable is its name."""
    selected = {variable_["name"]: f"${variable_['name']}" for variable_ in dashboard_variables(slug)}
    single_value_variables = [
        variable_ | {"multi": False, "includeAll": False} for variable_ in dashboard_variables(slug)
    ]
    return interpolate_variables(text, single_value_variables, selected, BUILTIN)


def targets_with_queries(slug: str) -> Iterator[tuple[Panel, dict[str, Any], str]]:
    """Yield every target with its query, which a parser accepts."""
    for panel in all_panels(slug):
        for target in panel.targets:
            yield panel, target, interpolate(slug, target["expr"])


def function_calls(query: str, *functions: str) -> list[Any]:
    return [
        node
        for node in walk_nodes(promql_parser.parse(query))
        if isinstance(node, promql_parser.Call) and node.func.name in functions
    ]


def variable(slug: str, name: str) -> dict[str, Any]:
    (match,) = [candidate for candidate in dashboard_variables(slug) if candidate["name"] == name]
    return match


def test_template_datasource_rule(slug: str) -> None:
    definition = variable(slug, "datasource")

    assert (definition["type"], definition["label"], definition["query"]) == (
        "datasource",
        "Data source",
        "prometheus",
    )


def variable_properties(slug: str, name: str) -> tuple[str, str, Any, bool, str]:
    definition = variable(slug, name)
    return (
        definition["type"],
        definition["label"],
        definition["datasource"],
        definition["multi"],
        definition["allValue"],
    )


def test_template_job_rule(slug: str) -> None:
    assert variable_properties(slug, "job") == ("query", "Job", DATASOURCE, True, ".+")


def test_template_instance_rule(slug: str) -> None:
    assert variable_properties(slug, "instance") == ("query", "Instance", DATASOURCE, True, ".+")


def test_template_label_promql_rule(slug: str) -> None:
    for definition in dashboard_variables(slug):
        if definition["type"] == "query":
            match = re.fullmatch(
                r"label_values\((.+), [a-z_]+\)|query_result\((.+)\)", definition["query"], re.DOTALL
            )

            assert match is not None
            assert parse_selectors(interpolate(slug, match[1] or match[2]))


def test_template_on_time_change_reload_rule(slug: str) -> None:
    assert {
        definition["refresh"] for definition in dashboard_variables(slug) if definition["type"] == "query"
    } == {2}


def test_panel_datasource_rule(slug: str) -> None:
    assert [str(panel) for panel in all_panels(slug) if panel.json["datasource"] != DATASOURCE] == []


def test_panel_title_description_rule(slug: str) -> None:
    assert [str(panel) for panel in all_panels(slug) if not (panel.title and panel.json["description"])] == []


def test_panel_units_rule(slug: str) -> None:
    """The linter checks the defaults of a panel; hours and milliseconds have a custom unit in an override."""
    for panel in all_panels(slug):
        overrides = {
            item["value"]
            for override in panel.overrides
            for item in override["properties"]
            if item["id"] == "unit"
        }
        custom = {unit for unit in overrides if unit not in ALLOWED_UNITS}

        assert panel.json["fieldConfig"]["defaults"]["unit"] in ALLOWED_UNITS, panel
        assert all(CUSTOM_UNITS.fullmatch(unit) for unit in custom), panel


def test_panel_no_targets_rule(slug: str) -> None:
    assert [str(panel) for panel in all_panels(slug) if not panel.targets] == []


def test_target_logql_rule(slug: str) -> None:
    """No target queries Loki."""
    assert [
        str(panel) for panel, target, _ in targets_with_queries(slug) if target["datasource"] != DATASOURCE
    ] == []


def test_target_logql_auto_rule(slug: str) -> None:
    assert [
        str(panel) for panel, target, _ in targets_with_queries(slug) if "$__auto" in target["expr"]
    ] == []


def test_target_promql_rule(slug: str) -> None:
    for _, _, query in targets_with_queries(slug):
        assert parse_selectors(query) or "vector(" in query


def test_target_rate_interval_rule(slug: str) -> None:
    """A rate over a fixed range is empty where the range is shorter than two scrapes."""
    ranges = {
        call.args[0].range.total_seconds()
        for _, _, query in targets_with_queries(slug)
        for call in function_calls(query, "rate", "irate")
    }

    assert ranges <= {RATE_INTERVAL}


def test_target_job_rule(slug: str) -> None:
    """Series of coderd have its own job, and the rule is not meant for them."""
    matchers = {
        selector_.matchers.get("job")
        for _, _, query in targets_with_queries(slug)
        for selector_ in parse_selectors(query)
        if selector_.name not in CODERD_SERIES
    }

    assert matchers == {("=~", "$job")}


def test_target_instance_rule(slug: str) -> None:
    matchers = {
        selector_.matchers.get("instance")
        for _, _, query in targets_with_queries(slug)
        for selector_ in parse_selectors(query)
        if selector_.name not in CODERD_SERIES
    }

    assert matchers == {("=~", "$instance")}


def test_target_counter_agg_rule(slug: str) -> None:
    """The value of a counter depends on its start; only its increase is meaningful."""
    for panel, _, query in targets_with_queries(slug):
        counters_in_rates = [
            to_selector(call.args[0]) for call in function_calls(query, "rate", "irate", "increase")
        ]
        counters = [item.name for item in parse_selectors(query) if item.name.endswith("_total")]

        assert counters == [
            item.name for item in counters_in_rates if item and item.name.endswith("_total")
        ], panel


def test_uneditable_dashboard(slug: str) -> None:
    assert load_dashboard(slug)["editable"] is False
