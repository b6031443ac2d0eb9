"""Each alert fires, resolves, has the expected texts, and stays silent in a near miss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import ALERT_PREFIX
from insights_exporter.bundle.alerts.renderers import alerting_rule_file, recording_rule_file
from insights_exporter.bundle.alerts.rules import rule_groups
from tests.bundle.alerts.cases import exporter, latency, usage, workspaces
from tests.bundle.alerts.cases.series import JOB, FiringCase, Scenario
from tests.bundle.alerts.promtool import promtool_test_passes
from tests.bundle.alerts.rule_files import alerting_rules, recording_rules
from tests.support.promql import parse_selectors

CASES: Final = (*exporter.CASES, *latency.CASES, *usage.CASES, *workspaces.CASES)
SCENARIOS: Final = (*exporter.SCENARIOS, *latency.SCENARIOS, *usage.SCENARIOS)
RULES_BY_ALERT: Final = {rule["alert"]: rule for rule in alerting_rules()}

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")


def expected_annotations(case: FiringCase) -> dict[str, str]:
    """Return the annotations of a firing alert; the dashboard link sets variables from its labels."""
    rule = RULES_BY_ALERT[ALERT_PREFIX + case.alert]["annotations"]
    address = urlsplit(rule["dashboard_url"])
    panel = address.query.split("&", 1)[0]
    return {
        "summary": rule["summary"],
        "description": case.description,
        "runbook_url": f"https://runbooks.example.com/coder-insights/{ALERT_PREFIX}{case.alert}.md",
        "dashboard_url": f"http://localhost:3000{address.path}?{panel}&var-job={JOB}{case.url_variables}",
    }


def expected_labels(alert: str, alert_labels: Mapping[str, str]) -> dict[str, str]:
    return {
        "severity": RULES_BY_ALERT[ALERT_PREFIX + alert]["labels"]["severity"],
        "job": JOB,
        **alert_labels,
    }


def promtool_test(step: str, series: Mapping[str, str], checks: Iterable[tuple[str, str, list[Any]]]) -> Any:
    """Return a unit test of promtool; a check is a time, an alert and the expected instances."""
    return {
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": eval_time, "alertname": ALERT_PREFIX + alert, "exp_alerts": expected_alerts}
            for eval_time, alert, expected_alerts in checks
        ],
    }


def rule_with_dependencies(
    alert: Mapping[str, Any], recorded: Sequence[Mapping[str, Any]] = tuple(recording_rules())
) -> list[Mapping[str, Any]]:
    """Return an alert after the recording rules on which it depends, directly or indirectly."""
    rules, required_names = [alert], _referenced_series(alert)
    for rule in reversed(recorded):
        if rule["record"] in required_names:
            rules.insert(0, rule)
            required_names |= _referenced_series(rule)
    return rules


def _referenced_series(rule: Mapping[str, Any]) -> set[str]:
    return {selector.name for selector in parse_selectors(rule["expr"])}


def promtool_passes(tmp_path: Path, rules: Sequence[Mapping[str, Any]], step: str, *tests: Any) -> bool:
    rule_file = {"groups": [{"name": "tested", "rules": list(rules)}]}
    (tmp_path / "rules.yml").write_text(json.dumps(rule_file))
    document = {"rule_files": ["rules.yml"], "evaluation_interval": step, "tests": list(tests)}
    return promtool_test_passes(tmp_path, document)


promtool_test.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_after_its_for_duration_and_resolves_and_its_near_miss_is_silent(
    case: FiringCase, tmp_path: Path
) -> None:
    """Both replicas serve each series; the alert has one instance."""
    firing = [
        {
            "exp_labels": expected_labels(case.alert, case.labels),
            "exp_annotations": expected_annotations(case),
        }
    ]
    lifecycle = promtool_test(
        case.step,
        case.firing_series,
        [
            (case.pending_at, case.alert, []),
            (case.firing_at, case.alert, firing),
            (case.resolved_at, case.alert, []),
        ],
    )
    near_miss = promtool_test(
        case.step, case.firing_series | case.near_miss_series, [(case.firing_at, case.alert, [])]
    )

    assert promtool_passes(
        tmp_path,
        rule_with_dependencies(RULES_BY_ALERT[ALERT_PREFIX + case.alert]),
        case.step,
        lifecycle,
        near_miss,
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios(scenario: Scenario, tmp_path: Path) -> None:
    """A scenario checks the labels of firing instances, without their texts."""
    expected = [expected_labels(scenario.alert, alert_labels) for alert_labels in scenario.firing_labels]
    query = f'ALERTS{{alertname="{ALERT_PREFIX}{scenario.alert}", alertstate="firing"}}'
    samples_labels = [
        {"alertname": ALERT_PREFIX + scenario.alert, "alertstate": "firing", **item} for item in expected
    ]
    samples = [
        {"labels": "ALERTS{" + ", ".join(f'{k}="{v}"' for k, v in item.items()) + "}", "value": 1}
        for item in samples_labels
    ]
    unit_test = promtool_test(scenario.step, scenario.series, []) | {
        "promql_expr_test": [{"expr": query, "eval_time": scenario.eval_time, "exp_samples": samples}]
    }

    assert promtool_passes(
        tmp_path,
        rule_with_dependencies(RULES_BY_ALERT[ALERT_PREFIX + scenario.alert]),
        scenario.step,
        unit_test,
    )


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.alert)
def test_alerts_fire_with_additional_matchers(case: FiringCase, tmp_path: Path) -> None:
    """Recorded series lack most labels of the target; matchers on these apply to scraped series only."""
    options = InstallOptions(matchers=(f'job="{JOB}"', 'cluster="blue"'))
    recordings, alert_rules = (
        [rule for group in document["groups"] for rule in group["rules"]]
        for document in (
            recording_rule_file(rule_groups(options)),
            alerting_rule_file(rule_groups(options), options),
        )
    )
    (rule,) = (candidate for candidate in alert_rules if candidate["alert"] == ALERT_PREFIX + case.alert)
    firing = [
        {
            "exp_labels": expected_labels(case.alert, case.labels),
            "exp_annotations": expected_annotations(case),
        }
    ]
    firing_series = {
        name.replace("{", '{cluster="blue", ', 1): values for name, values in case.firing_series.items()
    }
    unit_test = promtool_test(case.step, firing_series, [(case.firing_at, case.alert, firing)])

    assert promtool_passes(tmp_path, rule_with_dependencies(rule, recordings), case.step, unit_test)


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.alert)
def test_a_cluster_label_separates_deployments(case: FiringCase, tmp_path: Path) -> None:
    """A healthy second deployment with the same job neither hides the alert nor fires."""
    options = InstallOptions(cluster_label="cluster")
    recordings, alert_rules = (
        [rule for group in document["groups"] for rule in group["rules"]]
        for document in (
            recording_rule_file(rule_groups(options)),
            alerting_rule_file(rule_groups(options), options),
        )
    )
    (rule,) = (candidate for candidate in alert_rules if candidate["alert"] == ALERT_PREFIX + case.alert)
    annotations = expected_annotations(case)
    annotations["dashboard_url"] = annotations["dashboard_url"].replace(
        f"var-job={JOB}", f"var-job={JOB}&var-cluster=blue"
    )
    labels = expected_labels(case.alert, case.labels) | {"cluster": "blue"}
    firing = [{"exp_labels": labels, "exp_annotations": annotations}]
    series = {
        name.replace("{", f'{{cluster="{cluster}", ', 1): values
        for cluster, cluster_series in (
            ("blue", case.firing_series),
            ("green", case.firing_series | case.near_miss_series),
        )
        for name, values in cluster_series.items()
    }
    unit_test = promtool_test(case.step, series, [(case.firing_at, case.alert, firing)])

    assert promtool_passes(tmp_path, rule_with_dependencies(rule, recordings), case.step, unit_test)


def test_every_alert_has_a_firing_case() -> None:
    """The near miss replaces at least one series of the firing case."""
    assert sorted(ALERT_PREFIX + case.alert for case in CASES) == sorted(RULES_BY_ALERT)
    assert [
        case.alert for case in CASES if case.firing_series | case.near_miss_series == case.firing_series
    ] == []
