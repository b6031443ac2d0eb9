"""The rules as they stand in the tree: valid, in the catalogue's words, and fit to wake somebody."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any, Final

import promql_parser
import pytest
import yaml

from insights_exporter.bundle.alerts import InstallOptions, Severity, rule_groups
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family, MetricType
from tests.bundle.alerts.rule_files import ALERTS_FOLDER, RULE_FILES, alerting_rules, recording_rules
from tests.support import promql
from tests.support.promql import Selector, parse_selectors, to_selector, walk_nodes
from tools.alerts import main

RULES: Final = [*recording_rules(), *alerting_rules()]
LABELS_BY_RECORDING: Final = {
    one.name: {*one.labels, *one.const_labels}
    for group in rule_groups(InstallOptions())
    for one in group.recordings
}
JOB: Final = ("=", "coder-insights")
COMPARISONS: Final = ("==", "!=", "<", ">", "<=", ">=")
COUNTER_FUNCTIONS: Final = ("rate", "increase")
DURATION: Final = re.compile(r"[1-9][0-9]*[mhd]")


def rule_name(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


def family_of(name: str) -> Family | None:
    """Return the family that a series belongs to; None where a rule recorded it or Prometheus itself did."""
    if name in LABELS_BY_RECORDING or name == "up":
        return None
    if (family := promql.family_of(name)) is None:
        pytest.fail(f"{name} is neither in the catalogue nor recorded.")
    return family


def valid_labels(selector_: Selector) -> set[str]:
    family = family_of(selector_.name)
    if family is None:
        return LABELS_BY_RECORDING.get(selector_.name, {"job"})
    return {"job", *family.labels, *(("le",) if selector_.name.endswith("_bucket") else ())}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
def test_promtool_accepts_the_rules() -> None:
    command = ["promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed.")
def test_amtool_accepts_the_example_configuration() -> None:
    command = ["amtool", "check-config", str(ALERTS_FOLDER / "alertmanager.yml")]
    result = subprocess.run(command, check=False, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr


def test_routes_cover_every_severity_and_inhibitions_reference_existing_alerts() -> None:
    routes = yaml.safe_load((ALERTS_FOLDER / "alertmanager.yml").read_text())
    text = "".join(str(item["source_matchers"] + item["target_matchers"]) for item in routes["inhibit_rules"])
    inhibited_names = {
        name for group in re.findall(r"CoderInsights\(([^)]+)\)", text) for name in group.split("|")
    }
    inhibited_names |= set(re.findall(r'"CoderInsights(\w+)"', text))

    assert {f"CoderInsights{name}" for name in inhibited_names} <= {
        rule["alert"] for rule in alerting_rules()
    }
    assert {item["matchers"][1] for item in routes["route"]["routes"]} == {
        f'severity="{severity}"' for severity in Severity
    }


def test_committed_files_are_up_to_date() -> None:
    assert main([str(ALERTS_FOLDER), "--check"]) == 0


def test_alert_names_are_unique() -> None:
    names = [rule["alert"] for rule in alerting_rules()]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_rules_use_only_exported_or_recorded_series(rule: dict[str, Any]) -> None:
    for selector_ in parse_selectors(rule["expr"]):
        assert set(selector_.matchers) <= valid_labels(selector_), selector_.name


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_each_selector_has_the_job_matcher(rule: dict[str, Any]) -> None:
    assert {
        selector_.name for selector_ in parse_selectors(rule["expr"]) if selector_.matchers.get("job") != JOB
    } == set()


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_rate_is_applied_to_counters_only(rule: dict[str, Any]) -> None:
    for node in walk_nodes(promql_parser.parse(rule["expr"])):
        if isinstance(node, promql_parser.Call) and node.func.name in COUNTER_FUNCTIONS:
            selector_ = to_selector(node.args[0])
            assert selector_ is not None
            family = family_of(selector_.name)
            assert family is not None
            assert family.type in {MetricType.COUNTER, MetricType.HISTOGRAM}


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_sums_are_over_summable_labels_only(rule: dict[str, Any]) -> None:
    """A sum over families takes each series once, whatever the number of replicas, and obeys the catalogue.

    Requests are the exception: each replica makes its own.
    """
    for node in walk_nodes(promql_parser.parse(rule["expr"])):
        if not isinstance(node, promql_parser.AggregateExpr) or str(node.op) != "sum":
            continue
        families = [
            family
            for child in walk_nodes(node)
            if (selector_ := to_selector(child)) and (family := family_of(selector_.name))
        ]
        if not families or families == [catalogue.API_REQUESTS]:
            continue
        inner = node.expr
        assert isinstance(inner, promql_parser.AggregateExpr)
        assert str(inner.op) == "max"
        assert inner.modifier is not None
        assert node.modifier is not None
        dropped_labels = set(inner.modifier.labels) - set(node.modifier.labels)
        assert dropped_labels <= {label for family in families for label in family.summable}, rule["expr"]


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_regex_matchers_are_unanchored_patterns(rule: dict[str, Any]) -> None:
    for selector_ in parse_selectors(rule["expr"]):
        for operator, value in selector_.matchers.values():
            if operator in {"=~", "!~"}:
                assert set(value) & set(".|*+[")
                assert not value.startswith("^")
                assert not value.endswith("$")


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alert_expressions_have_a_comparison(rule: dict[str, Any]) -> None:
    """Without a comparison it would fire for ever."""

    def has_comparison(node: Any) -> bool:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "or":
            return has_comparison(node.lhs) and has_comparison(node.rhs)
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in {"and", "unless"}:
            return has_comparison(node.lhs) or has_comparison(node.rhs)
        if isinstance(node, promql_parser.ParenExpr):
            return has_comparison(node.expr)
        if isinstance(node, promql_parser.Call):
            return bool(node.func.name == "absent")
        return isinstance(node, promql_parser.BinaryExpr) and str(node.op) in COMPARISONS

    assert has_comparison(promql_parser.parse(rule["expr"]))


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alert_expressions_do_not_use_topk(rule: dict[str, Any]) -> None:
    operators = {
        str(node.op) for node in walk_nodes(promql_parser.parse(rule["expr"])) if hasattr(node, "param")
    }

    assert operators <= {"max", "min", "sum", "count", "avg"}


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alerts_have_a_for_duration_and_a_severity(rule: dict[str, Any]) -> None:
    """The value is no label: each new one would be another alert."""
    assert DURATION.fullmatch(rule["for"])
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in set(Severity)


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alerts_have_summary_description_and_links(rule: dict[str, Any]) -> None:
    rule_annotations = rule["annotations"]

    assert list(rule_annotations) == ["summary", "description", "runbook_url", "dashboard_url"]
    assert "{{" not in rule_annotations["summary"]
    assert (
        "$value" in rule_annotations["description"]
        or rule["expr"].endswith("== 0")
        or "absent(" in rule["expr"]
    )


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_annotations_use_only_labels_of_the_alert(rule: dict[str, Any]) -> None:
    """An empty place in a message, or a dashboard of nothing, would puzzle whoever is woken."""
    referenced_labels = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))

    assert referenced_labels <= _result_labels(promql_parser.parse(rule["expr"]))


def _result_labels(node: Any) -> set[str]:
    """Return the labels of an expression's result."""
    if isinstance(node, promql_parser.AggregateExpr):
        return set(node.modifier.labels if node.modifier else ())
    if isinstance(node, promql_parser.BinaryExpr):
        left, right = _result_labels(node.lhs), _result_labels(node.rhs)
        if str(node.op) == "or":
            return left & right
        matching = node.modifier.matching if node.modifier else None
        if str(node.op) == "/" and matching is not None:
            return set(matching.labels)
        return left or right
    if isinstance(node, promql_parser.Call):
        return _result_labels(node.args[0]) if node.args else set()
    selector_ = to_selector(node)
    return (
        valid_labels(selector_)
        if selector_
        else _result_labels(node.expr)
        if hasattr(node, "expr")
        else set()
    )


def test_alerts_on_single_users_have_info_severity() -> None:
    single_user_alerts = {
        rule["alert"] for rule in alerting_rules() if "$labels.username" in str(rule["annotations"])
    }
    severities = {
        rule["labels"]["severity"] for rule in alerting_rules() if rule["alert"] in single_user_alerts
    }

    assert severities == {"info"}


def test_recording_rules_are_named_level_metric_operations() -> None:
    for rule in recording_rules():
        level, metric, operations = rule["record"].split(":")
        assert level in {"deployment", "template", "template_app", "template_user", "relay"}
        assert metric.startswith("coder_insights_")
        assert operations


def test_recording_rules_have_no_instance_label() -> None:
    assert {label for labels in LABELS_BY_RECORDING.values() for label in labels} & {
        "instance",
        "pod",
    } == set()
