"""The committed rules are valid, select known series, and have complete texts."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any, Final

import promql_parser
import pytest
import yaml

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Severity
from insights_exporter.bundle.alerts.renderers import alert_files
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import MetricType
from tests.bundle.alerts.promtool import promtool_accepts
from tests.bundle.alerts.rule_files import (
    ALERTS_FOLDER,
    CODERD_SERIES,
    LABELS_BY_RECORDING,
    RULE_FILES,
    alerting_rules,
    assert_known_series,
    known_family,
    recording_rules,
    rule_name,
    valid_labels,
)
from tests.support.promql import parse_selectors, to_selector, walk_nodes
from tools.alerts import main

RULES: Final = [*recording_rules(), *alerting_rules()]
JOB: Final = ("=", "coder-insights")
COMPARISONS: Final = ("==", "!=", "<", ">", "<=", ">=")
COUNTER_FUNCTIONS: Final = ("rate", "increase")
DURATION: Final = re.compile(r"[1-9][0-9]*[mhd]")
PRESENCE_ALERTS: Final = {"CoderInsightsExporterDown", "CoderInsightsBucketsMissing"}
"""Alerts on absent series: their value is a constant."""

PINT_MISSING: Final = (
    "pint is not installed; `go install github.com/cloudflare/pint/cmd/pint@latest` installs it."
)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")
def test_promtool_accepts_the_rules() -> None:
    assert len(RULE_FILES) == 2
    assert promtool_accepts("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES))


@pytest.mark.skipif(shutil.which("pint") is None, reason=PINT_MISSING)
def test_pint_accepts_the_rules() -> None:
    """Pint reports rules that read a recording of another group, which can be one interval late."""
    command = ["pint", "--no-color", "--offline", "lint", "--min-severity=info", *map(str, RULE_FILES)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ALERTS_FOLDER)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Problems found" not in result.stderr, result.stdout + result.stderr


def test_recording_rules_read_only_earlier_recordings_of_their_group() -> None:
    """Prometheus evaluates groups independently of each other."""
    groups = yaml.safe_load((ALERTS_FOLDER / "prometheus" / "recording-rules.yml").read_text())["groups"]
    dependencies = 0
    for group in groups:
        earlier: set[str] = set()
        for rule in group["rules"]:
            read = {selector.name for selector in parse_selectors(rule["expr"])} & set(LABELS_BY_RECORDING)
            assert read <= earlier, rule["record"]
            dependencies += len(read)
            earlier.add(rule["record"])
    assert dependencies > 10


def test_rules_with_series_that_may_be_absent_have_a_pint_comment_with_a_reason() -> None:
    text = (ALERTS_FOLDER / "prometheus" / "alerting-rules.yml").read_text()
    comments = re.findall(r"\n +# (.+)\n +# pint disable promql/series\((\w+)\)(?=\n)", text)

    assert (
        "It exists only after a total fell in Coder.",
        "coder_insights_exporter_corrections_total",
    ) in comments
    assert ("It exists only with agent_stats.source.", "coder_insights_sessions") in comments
    assert text.count("pint disable") == len(comments)


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

    assert len(inhibited_names) > 10
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
    assert_known_series(rule["expr"])


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_each_selectorhas_the_job_matcher(rule: dict[str, Any]) -> None:
    assert {
        selector.name for selector in parse_selectors(rule["expr"]) if selector.matchers.get("job") != JOB
    } <= set(CODERD_SERIES)


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_rate_is_applied_to_counters_only(rule: dict[str, Any]) -> None:
    for node in walk_nodes(promql_parser.parse(rule["expr"])):
        if isinstance(node, promql_parser.Call) and node.func.name in COUNTER_FUNCTIONS:
            selector = to_selector(node.args[0])
            assert selector is not None
            family = known_family(selector.name)
            assert family is not None
            assert family.type in {MetricType.COUNTER, MetricType.HISTOGRAM}


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_sums_are_over_summable_labels_only(rule: dict[str, Any]) -> None:
    """A sum counts each series once for any number of replicas, over labels that the catalogue declares.

    Requests are the exception: each replica sends its own.
    """
    for node in walk_nodes(promql_parser.parse(rule["expr"])):
        if not isinstance(node, promql_parser.AggregateExpr) or str(node.op) != "sum":
            continue
        families = [
            family
            for child in walk_nodes(node)
            if (selector := to_selector(child)) and (family := known_family(selector.name))
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
    for selector in parse_selectors(rule["expr"]):
        for operator, value in selector.matchers.values():
            if operator in {"=~", "!~"}:
                assert set(value) & set(".|*+["), "an equality matcher is enough"
                assert not value.startswith("^")
                assert not value.endswith("$")


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alert_expressions_have_a_comparison(rule: dict[str, Any]) -> None:
    """Without a comparison, or the subtraction of present series, an alert fires permanently."""

    def is_conditional(node: Any) -> bool:
        if isinstance(node, (promql_parser.ParenExpr, promql_parser.AggregateExpr)):
            return is_conditional(node.expr)
        if not isinstance(node, promql_parser.BinaryExpr):
            return isinstance(node, promql_parser.Call) and bool(node.func.name == "absent")
        operands, operator = (node.lhs, node.rhs), str(node.op)
        if operator == "or":
            return all(map(is_conditional, operands))
        if operator in {"and", "unless"}:
            is_presence = operator == "unless" and rule["alert"] in PRESENCE_ALERTS
            return is_presence or any(map(is_conditional, operands))
        return operator in COMPARISONS

    assert is_conditional(promql_parser.parse(rule["expr"]))


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alert_expressions_do_not_use_topk(rule: dict[str, Any]) -> None:
    operators = {
        str(node.op) for node in walk_nodes(promql_parser.parse(rule["expr"])) if hasattr(node, "param")
    }

    assert operators <= {"max", "min", "sum", "count", "avg"}


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alerts_have_a_for_duration_and_a_severity(rule: dict[str, Any]) -> None:
    """No label contains the value, because each new value would be another alert."""
    assert DURATION.fullmatch(rule["for"])
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in set(Severity)


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_alerts_have_summary_description_and_links(rule: dict[str, Any]) -> None:
    rule_annotations = rule["annotations"]

    assert list(rule_annotations) == ["summary", "description", "runbook_url", "dashboard_url"]
    assert "{{" not in rule_annotations["summary"]
    operator = str(getattr(promql_parser.parse(rule["expr"]), "op", ""))
    has_constant_value = operator == "==" or rule["alert"] in PRESENCE_ALERTS
    assert ("$value" in rule_annotations["description"]) is not has_constant_value


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_annotations_use_only_labels_of_the_alert(rule: dict[str, Any]) -> None:
    """A missing label leaves a gap in the text and selects nothing on the dashboard."""
    referenced_labels = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))

    assert "job" in referenced_labels
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
    selector = to_selector(node)
    return (
        valid_labels(selector) if selector else _result_labels(node.expr) if hasattr(node, "expr") else set()
    )


def test_alerts_on_single_users_have_info_severity() -> None:
    single_user_alerts = {
        rule["alert"] for rule in alerting_rules() if "$labels.username" in str(rule["annotations"])
    }
    severities = {
        rule["labels"]["severity"] for rule in alerting_rules() if rule["alert"] in single_user_alerts
    }

    assert single_user_alerts == {"CoderInsightsUserLatencyPersistent"}
    assert severities == {"info"}


def test_recording_rules_are_named_level_metric_operations() -> None:
    for rule in recording_rules():
        level, metric, operations = rule["record"].split(":")
        assert level in {"deployment", "template", "template_app", "template_user", "relay", "instance"}
        assert metric.startswith(("coder_insights_", "coderd_"))
        assert operations


def test_recording_rules_have_no_instance_label() -> None:
    """The counters of coderd are the exception: each replica counts its own builds, and resets alone."""
    labels_by_recording = {
        name: labels
        for name, labels in LABELS_BY_RECORDING.items()
        if not name.startswith("instance:coderd_")
    }

    assert {label for labels in labels_by_recording.values() for label in labels} & {
        "instance",
        "pod",
    } == set()


def test_a_cluster_label_is_kept_by_every_rule() -> None:
    """Two deployments with the same job and template names must stay apart."""
    text = alert_files(InstallOptions(cluster_label="cluster"))
    groups = [
        group
        for path in ("prometheus/recording-rules.yml", "prometheus/alerting-rules.yml")
        for group in yaml.safe_load(text[path])["groups"]
    ]
    rules = [rule for group in groups for rule in group["rules"]]

    assert len(rules) == len(RULES)
    for rule in rules:
        for node in walk_nodes(promql_parser.parse(rule["expr"])):
            if isinstance(node, promql_parser.AggregateExpr):
                labels = node.modifier.labels if node.modifier else ()
                assert {"job", "cluster"} <= set(labels), rule_name(rule)
            matching = node.modifier and node.modifier.matching if hasattr(node, "lhs") else None
            if matching is not None and str(node.op) != "or":
                assert {"job", "cluster"} <= set(matching.labels), rule_name(rule)
    for rule in rules:
        if "alert" in rule:
            assert "&var-cluster={{ $labels.cluster | urlquery }}" in rule["annotations"]["dashboard_url"]
    inhibitions = yaml.safe_load(text["alertmanager.yml"])["inhibit_rules"]
    assert all(rule["equal"][:2] == ["job", "cluster"] for rule in inhibitions)
