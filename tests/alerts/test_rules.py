"""The rules as they stand in the tree: valid, in the catalogue's words, and fit to wake somebody."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any, Final

import promql_parser
import pytest
import yaml

from insights_exporter.bundle.alerts import Severity, Site, groups
from insights_exporter.bundle.alerts.__main__ import main
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family, Kind
from tests.alerts.tree import ALERTS, RULE_FILES, alerts, recordings
from tests.support import promql
from tests.support.promql import Selector, selector, selectors, walk

RULES: Final = [*recordings(), *alerts()]
RECORDED: Final = {
    one.name: {*one.labels, *one.constants} for group in groups(Site()) for one in group.recordings
}
JOB: Final = ("=", "coder-insights")
COMPARISONS: Final = ("==", "!=", "<", ">", "<=", ">=")
OF_COUNTERS: Final = ("rate", "increase")
DURATION: Final = re.compile(r"[1-9][0-9]*[mhd]")


def name_of(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


def family_of(name: str) -> Family | None:
    """Return the family that a series belongs to; None where a rule recorded it or Prometheus itself did."""
    if name in RECORDED or name == "up":
        return None
    if (found := promql.family_of(name)) is None:
        pytest.fail(f"{name} is neither in the catalogue nor recorded.")
    return found


def labels_of(found: Selector) -> set[str]:
    family = family_of(found.name)
    if family is None:
        return RECORDED.get(found.name, {"job"})
    return {"job", *family.labels, *(("le",) if found.name.endswith("_bucket") else ())}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
def test_promtool_finds_nothing_wrong() -> None:
    command = ["promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed.")
def test_amtool_accepts_the_example_of_routes() -> None:
    command = ["amtool", "check-config", str(ALERTS / "alertmanager.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_routes_take_every_alert_and_inhibitions_name_only_alerts_that_exist() -> None:
    routes = yaml.safe_load((ALERTS / "alertmanager.yml").read_text())
    text = "".join(str(one["source_matchers"] + one["target_matchers"]) for one in routes["inhibit_rules"])
    listed = {name for group in re.findall(r"CoderInsights\(([^)]+)\)", text) for name in group.split("|")}
    listed |= set(re.findall(r'"CoderInsights(\w+)"', text))

    assert {f"CoderInsights{name}" for name in listed} <= {rule["alert"] for rule in alerts()}
    assert {one["matchers"][1] for one in routes["route"]["routes"]} == {
        f'severity="{severity}"' for severity in Severity
    }


def test_the_tree_holds_what_the_code_writes() -> None:
    assert main([str(ALERTS), "--check"]) == 0


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in alerts()]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_asks_only_for_what_is_served_or_recorded(rule: dict[str, Any]) -> None:
    for found in selectors(rule["expr"]):
        assert set(found.matchers) <= labels_of(found), found.name


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_each_selector_carries_the_job(rule: dict[str, Any]) -> None:
    assert {found.name for found in selectors(rule["expr"]) if found.matchers.get("job") != JOB} == set()


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_only_counters_have_rates(rule: dict[str, Any]) -> None:
    for node in walk(promql_parser.parse(rule["expr"])):
        if isinstance(node, promql_parser.Call) and node.func.name in OF_COUNTERS:
            found = selector(node.args[0])
            assert found is not None
            family = family_of(found.name)
            assert family is not None
            assert family.kind in {Kind.COUNTER, Kind.HISTOGRAM}


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_nothing_is_added_up_that_does_not_add_up(rule: dict[str, Any]) -> None:
    """A sum over families takes each series once, whatever the number of replicas, and obeys the catalogue.

    Requests are the exception: each replica makes its own.
    """
    for node in walk(promql_parser.parse(rule["expr"])):
        if not isinstance(node, promql_parser.AggregateExpr) or str(node.op) != "sum":
            continue
        families = [family for one in walk(node) if (f := selector(one)) and (family := family_of(f.name))]
        if not families or families == [catalogue.API_REQUESTS]:
            continue
        inner = node.expr
        assert isinstance(inner, promql_parser.AggregateExpr)
        assert str(inner.op) == "max"
        assert inner.modifier is not None
        assert node.modifier is not None
        lost = set(inner.modifier.labels) - set(node.modifier.labels)
        assert lost <= {label for family in families for label in family.summable}, rule["expr"]


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_pattern_is_a_pattern_and_is_anchored_by_prometheus_alone(rule: dict[str, Any]) -> None:
    for found in selectors(rule["expr"]):
        for operator, value in found.matchers.values():
            if operator in {"=~", "!~"}:
                assert set(value) & set(".|*+[")
                assert not value.startswith("^")
                assert not value.endswith("$")


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_an_alert_compares_with_something(rule: dict[str, Any]) -> None:
    """Without a comparison it would fire for ever."""

    def holds(node: Any) -> bool:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "or":
            return holds(node.lhs) and holds(node.rhs)
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in {"and", "unless"}:
            return holds(node.lhs) or holds(node.rhs)
        if isinstance(node, promql_parser.ParenExpr):
            return holds(node.expr)
        if isinstance(node, promql_parser.Call):
            return bool(node.func.name == "absent")
        return isinstance(node, promql_parser.BinaryExpr) and str(node.op) in COMPARISONS

    assert holds(promql_parser.parse(rule["expr"]))


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_an_alert_does_not_hang_on_what_happens_to_be_largest(rule: dict[str, Any]) -> None:
    found = {str(n.op) for n in walk(promql_parser.parse(rule["expr"])) if hasattr(n, "param")}

    assert found <= {"max", "min", "sum", "count", "avg"}


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_an_alert_waits_and_has_a_known_severity(rule: dict[str, Any]) -> None:
    """The value is no label: each new one would be another alert."""
    assert DURATION.fullmatch(rule["for"])
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in set(Severity)


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_an_alert_says_what_where_and_how_much(rule: dict[str, Any]) -> None:
    told = rule["annotations"]

    assert list(told) == ["summary", "description", "runbook_url", "dashboard_url"]
    assert "{{" not in told["summary"]
    assert "$value" in told["description"] or rule["expr"].endswith("== 0") or "absent(" in rule["expr"]


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_texts_name_only_labels_that_the_alert_has(rule: dict[str, Any]) -> None:
    """An empty place in a message, or a dashboard of nothing, would puzzle whoever is woken."""
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))

    assert named <= _labels(promql_parser.parse(rule["expr"]))


def _labels(node: Any) -> set[str]:
    """Return the labels of an expression's result."""
    if isinstance(node, promql_parser.AggregateExpr):
        return set(node.modifier.labels if node.modifier else ())
    if isinstance(node, promql_parser.BinaryExpr):
        left, right = _labels(node.lhs), _labels(node.rhs)
        if str(node.op) == "or":
            return left & right
        matching = node.modifier.matching if node.modifier else None
        if str(node.op) == "/" and matching is not None:
            return set(matching.labels)
        return left or right
    if isinstance(node, promql_parser.Call):
        return _labels(node.args[0]) if node.args else set()
    found = selector(node)
    return labels_of(found) if found else _labels(node.expr) if hasattr(node, "expr") else set()


def test_what_is_critical_calls_for_somebody_now_and_never_for_one_user() -> None:
    named = {rule["alert"] for rule in alerts() if "$labels.username" in str(rule["annotations"])}
    severities = {rule["labels"]["severity"] for rule in alerts() if rule["alert"] in named}

    assert severities == {"info"}


def test_recorded_names_tell_level_metric_and_operations() -> None:
    for rule in recordings():
        level, metric, operations = rule["record"].split(":")
        assert level in {"deployment", "template", "template_app", "template_user", "relay"}
        assert metric.startswith("coder_insights_")
        assert operations


def test_recorded_series_do_not_tell_replicas_apart() -> None:
    assert {label for labels in RECORDED.values() for label in labels} & {"instance", "pod"} == set()
